"""The fault bench: what damaged data, mutated files, kills and lack of space do to the kit, as tables."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

import kitlib.faults.kinds  # noqa: F401 - registers the damages
from kitlib.errors import StepError, UsageError
from kitlib.faults.cases import combined_cases, single_cases
from kitlib.faults.judge import Judge, Outcome
from kitlib.faults.kills import Ending, endings, predicting, running
from kitlib.faults.mutants import encoded_originals, mutant_table, mutants
from kitlib.faults.naive import naive_reading, verdict
from kitlib.faults.registry import DAMAGES
from kitlib.faults.subject import IMAGES, Bed
from kitlib.machine import peak_memory_mb, reset_peak_memory
from kitlib.phantom.archive import write_competition
from kitlib.predict.predictor import Predictor

FEWEST_STUDIES = 8  # so that a third can be damaged and others left untouched
RUN_STUDIES, RUN_TEST_STUDIES = 12, 4


@dataclass(frozen=True, eq=False)
class Bench:
    """Result tables of the bench; those of parts that were not run are empty."""

    damages: (
        pd.DataFrame
    )  # a row per case: kind, name, what, touched, untold, failures, seconds, grown_mb, naive
    mutants: pd.DataFrame  # as `mutant_table`
    endings: pd.DataFrame  # a row per trial, as `kills.Ending`
    facts: Mapping[str, str]


def run_bench(folder: Path, *, studies: int, seed: int, mutants: int, kills: int, run_kills: int) -> Bench:
    """Run the bench in an empty folder; raises UsageError if there are too few studies."""
    if studies < FEWEST_STUDIES or min(seed, mutants, kills, run_kills) < 0:
        raise UsageError("too little to judge", hint=f"Give {FEWEST_STUDIES} studies or more.")
    bed = Bed.draw(folder / "phantoms", studies=studies, seed=seed)
    judge = Judge.of(bed, Predictor.shipped(), folder)
    damages = pd.DataFrame(damaged_rows(judge, folder, seed))
    spoilt, fact = spoilt_rows(bed, folder, mutants, seed)
    data = f"{studies} phantoms of size smoke, seed {seed}"
    facts = {"data": data, "weights": "those that ship, which learned on other phantoms", **fact}
    return Bench(damages, spoilt, interrupted_rows(bed, folder, kills, run_kills, seed), facts)


def damaged_rows(judge: Judge, folder: Path, seed: int) -> Iterator[dict[str, Any]]:
    """A row per case: every damage alone, in pairs and in storms; the naive loader gets the smallest dose."""
    studies, damages = [*judge.bed.origins], [*DAMAGES.values()]
    whole = naive_reading(judge.bed.root)
    if whole is None:
        raise StepError("the naive loader did not read the intact phantoms", hint="Is the machine busy?")
    cases = [*single_cases(studies, damages, seed), *combined_cases(studies, damages, seed)]
    for case in tqdm(cases, "damaged copies", mininterval=1):
        root = judge.damage(case, folder / "copy", str(seed))
        naive = ""
        if len(case.damages) == 1:
            (study_id,) = case.damages
            naive = verdict(naive_reading(root), whole, study_id, judge.bed.origins[study_id])
        yield {**_row(judge.judge(case, root)), "naive": naive}


def spoilt_rows(bed: Bed, folder: Path, count: int, seed: int) -> tuple[pd.DataFrame, dict[str, str]]:
    """The table of mutants of one slice in each transfer syntax, and their highest cost."""
    if not count:
        return pd.DataFrame(), {}
    path = random.Random(seed).choice(sorted((bed.root / IMAGES).glob("*/*/*.dcm")))
    (here := folder / "mutants").mkdir()
    originals = encoded_originals(path, here)
    reset_peak_memory()
    before_mb = peak_memory_mb()
    found = list(tqdm(mutants(originals, count, seed, here), "mutants", total=count, mininterval=1))
    cost = (
        f"at most {max(one.seconds for one in found):.2f} s of processors and "
        f"{max(one.decoder_mb for one in found):.0f} MB in a process that decodes, "
        f"{peak_memory_mb() - before_mb:.0f} MB more in the one that reads"
    )
    return mutant_table(found), {"mutants": f"{count:,} of {len(originals)} transfer syntaxes: {cost}"}


def interrupted_rows(bed: Bed, folder: Path, kills: int, run_kills: int, seed: int) -> pd.DataFrame:
    """The outcomes of commands that were killed or ran out of space."""
    rows: list[Ending] = []
    if kills:
        few = bed.copy(folder / "few", [*bed.origins][:FEWEST_STUDIES])
        rows += tqdm(endings(predicting(few), kills, seed, folder / "ends"), "predict", 3 * kills)
    if run_kills:
        data = write_competition(
            folder / "run", studies=RUN_STUDIES, test_studies=RUN_TEST_STUDIES, seed=seed, size="smoke"
        )
        rows += tqdm(endings(running(data), run_kills, seed, folder / "ends"), "run", 3 * run_kills)
    return pd.DataFrame(map(vars, rows))


def _row(outcome: Outcome) -> dict[str, Any]:
    case = outcome.case
    known = DAMAGES.get(case.name)
    return {
        "kind": known.kind if known else case.name,
        "name": case.name,
        "what": known.what if known else "",
        "touched": len(case.damages),
        "untold": len(outcome.untold),
        "failures": "; ".join(outcome.failures),
        "seconds": outcome.seconds,
        "grown_mb": outcome.grown_mb,
    }
