"""The fault bench: what damaged data, mutated files, kills and lack of space do to the kit, as tables."""

import random
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

import kitlib.faults.kinds  # noqa: F401 - registers the damages
from kitlib.artefacts import fingerprint
from kitlib.code import kit_fingerprint
from kitlib.errors import StepError, UsageError
from kitlib.faults.cases import combined_cases, single_cases
from kitlib.faults.codecs import CODECS
from kitlib.faults.journal import Journal, Row
from kitlib.faults.judge import Judge, Outcome
from kitlib.faults.kills import TRIALS, Job, endings, predicting, running
from kitlib.faults.mutants import Mutant, encoded_originals, mutant_table, mutants
from kitlib.faults.naive import naive_reading, verdict
from kitlib.faults.registry import DAMAGES
from kitlib.faults.subject import IMAGES, Bed
from kitlib.phantom.archive import write_competition
from kitlib.predict.predictor import Predictor
from kitlib.run.data import sole_run

FEWEST_STUDIES = 8  # so that a third can be damaged and others left untouched
RUN_STUDIES, RUN_TEST_STUDIES = 12, 4


@dataclass(frozen=True, eq=False)
class Bench:
    """Result tables of the bench; those of parts that were not run are empty."""

    damages: (
        pd.DataFrame
    )  # a row per case: kind, name, what, touched, unreported, failures, seconds, grown_mb, naive
    mutants: pd.DataFrame  # as `mutant_table`
    endings: pd.DataFrame  # a row per trial, as `kills.Ending`
    facts: Mapping[str, str]


def run_bench(work: Path, *, studies: int, seed: int, mutants: int, kills: int, run_kills: int) -> Bench:
    """Run the bench; a stopped one goes on from the rows that it left in the folder `work`.

    Raises UsageError if there are too few studies, StepError if another process works in the folder.
    """
    if studies < FEWEST_STUDIES or min(seed, mutants, kills, run_kills) < 0:
        raise UsageError("too little to judge", hint=f"Give {FEWEST_STUDIES} studies or more.")
    journal = Journal(work, fingerprint(kit_fingerprint(), studies, seed))
    with sole_run(work), emptied(work / "scratch") as folder:
        bed = Bed.draw(folder / "phantoms", studies=studies, seed=seed)
        damages = damaged_rows(journal, bed, folder, seed)
        spoilt, fact = spoilt_rows(journal, bed, folder, mutants, seed)
        rows = interrupted_rows(journal, bed, folder, kills, run_kills, seed)
    data = f"{studies} phantoms of size smoke, seed {seed}"
    facts = {"data": data, "weights": "those that ship, which learned on other phantoms", **fact}
    return Bench(damages, spoilt, rows, facts)


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """An empty folder for as long as it is used."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def damaged_rows(journal: Journal, bed: Bed, folder: Path, seed: int) -> pd.DataFrame:
    """A row per case: every damage alone, in pairs and in storms; the naive loader gets the smallest dose."""
    studies, damages = [*bed.origins], [*DAMAGES.values()]
    cases = [*single_cases(studies, damages, seed), *combined_cases(studies, damages, seed)]

    def judged(after: int) -> Iterator[Row]:
        judge = Judge.of(bed, Predictor.shipped(), folder)
        whole = naive_reading(bed.root)
        if whole is None:
            raise StepError("the naive loader did not read the intact phantoms", hint="Is the machine busy?")
        for case in tqdm(cases[after:], "damaged copies", initial=after, total=len(cases), mininterval=1):
            root = judge.damage(case, folder / "copy", str(seed))
            naive = ""
            if len(case.damages) == 1:
                (study_id,) = case.damages
                naive = verdict(naive_reading(root), whole, study_id, bed.origins[study_id])
            yield {**_row(judge.judge(case, root)), "naive": naive}

    return pd.DataFrame(journal.rows("damages", len(cases), judged))


def spoilt_rows(
    journal: Journal, bed: Bed, folder: Path, count: int, seed: int
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The table of mutants of one slice in each transfer syntax, and their highest cost."""
    if not count:
        return pd.DataFrame(), {}
    path = random.Random(seed).choice(sorted((bed.root / IMAGES).glob("*/*/*.dcm")))

    def read(after: int) -> Iterator[Row]:
        (here := folder / "mutants").mkdir()
        made = mutants(encoded_originals(path, here), count, seed, here, after)
        yield from map(vars, tqdm(made, "mutants", initial=after, total=count, mininterval=1))

    found = [Mutant(**row) for row in journal.rows("mutants", count, read)]
    cost = (
        f"at most {max(one.seconds for one in found):.2f} s of processors and "
        f"{max(one.decoder_mb for one in found):.0f} MB in a process that decodes, "
        f"{max(one.grown_mb for one in found):.0f} MB more in the one that reads"
    )
    return mutant_table(found), {"mutants": f"{count:,} of {len(CODECS)} transfer syntaxes: {cost}"}


def interrupted_rows(
    journal: Journal, bed: Bed, folder: Path, kills: int, run_kills: int, seed: int
) -> pd.DataFrame:
    """The outcomes of commands that were killed or ran out of space."""

    def predicted(after: int) -> Iterator[Row]:
        few = bed.copy(folder / "few", [*bed.origins][:FEWEST_STUDIES])
        return ended(predicting(few), kills, after)

    def run(after: int) -> Iterator[Row]:
        data = write_competition(
            folder / "run", studies=RUN_STUDIES, test_studies=RUN_TEST_STUDIES, seed=seed, size="smoke"
        )
        return ended(running(data), run_kills, after)

    def ended(job: Job, moments: int, after: int) -> Iterator[Row]:
        trials = endings(job, moments, seed, folder / "ends", after)
        return map(vars, tqdm(trials, job.name, initial=after, total=TRIALS * moments))

    rows = journal.rows("predict", TRIALS * kills, predicted)
    return pd.DataFrame([*rows, *journal.rows("run", TRIALS * run_kills, run)])


def _row(outcome: Outcome) -> dict[str, Any]:
    case = outcome.case
    known = DAMAGES.get(case.name)
    return {
        "kind": known.kind if known else case.name,
        "name": case.name,
        "what": known.what if known else "",
        "touched": len(case.damages),
        "unreported": len(outcome.unreported),
        "failures": "; ".join(outcome.failures),
        "seconds": outcome.seconds,
        "grown_mb": outcome.grown_mb,
    }
