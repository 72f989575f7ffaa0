"""Sweeps: a run of the notebooks for each combination of values, in a folder of its own, and one table.

Runs whose data and prepared volumes are the same share them. Of runs that read the same inputs the first
makes these before the others begin, so that no two make the same file.
"""

import contextlib
import math
import re
import traceback
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm.auto import tqdm

from kitlib.artefacts import load_table, write_csv
from kitlib.competition.root import find_root
from kitlib.ensemble.names import CALIBRATED_BLEND
from kitlib.errors import KitError, RootError, UsageError
from kitlib.machine import environment, in_processes
from kitlib.run import layout
from kitlib.run.data import CACHE, resolve_competition, resolve_work, sole_run
from kitlib.run.profiles import Profile, profile_named
from kitlib.run.runner import run
from kitlib.run.steps import step_named
from kitlib.run.studies import selected_experiments

RANGE = re.compile(r"(\d+)-(\d+)")
UNNAMEABLE = re.compile(r"[^\w.]+")
LOG, TABLE, SHARED = "run.log", "scores.csv", "shared"
PREPARED = ("longest_px", "phantom_studies", "phantom_test_studies", "phantom_size")
"""Parameters on which volumes and phantoms depend; of phantoms, the seed is one too."""
COLUMNS = {
    "score": (layout.SCORES, CALIBRATED_BLEND, "total"),
    "low": (layout.SCORES, CALIBRATED_BLEND, "low"),
    "high": (layout.SCORES, CALIBRATED_BLEND, "high"),
    "prior": (layout.SCORES, "prior", "total"),
    "test": (layout.TEST_SCORES, "submission", "total"),
}
"""Where the numbers in a row of the table stand in a run's results."""
LAST_OF_INPUTS = step_named(layout.EMBEDDINGS).number
KILLED = "its process, or one beside it, was killed; the same command goes on"


@dataclass(frozen=True)
class SweptRun:
    """One combination of values, by parameter, and the profile that they make."""

    values: Mapping[str, Any]
    profile: Profile

    @property
    def name(self) -> str:
        """What its folder is called."""
        return folder_name(self.values)


def folder_name(values: Mapping[str, Any]) -> str:
    """What a folder with results of these values is called, such as `experiments-vit,seed-1`."""
    return ",".join(f"{name}-{UNNAMEABLE.sub('-', str(value))}" for name, value in values.items())


def planned(base: Profile, swept: Mapping[str, str]) -> list[SweptRun]:
    """A run for each combination of values, which are written as `a,b,c` or, of whole numbers, `1-3`.

    UsageError on names and values that are none, and where two runs would have one folder.
    """
    lists = [list(dict.fromkeys(_values(base, name, text))) for name, text in swept.items()]
    combinations = [dict(zip(swept, values)) for values in product(*lists)]
    runs = [SweptRun(values, base.with_overrides(values)) for values in combinations]
    for one in runs:
        selected_experiments(one.profile)  # an experiment that is none is known before any work
    if len({one.name for one in runs}) < len(runs):
        raise UsageError("two runs of the sweep would have the same folder", where=", ".join(swept))
    return runs


def _values(base: Profile, name: str, text: str) -> Iterator[Any]:
    if name in vars(base).keys() - base.results().keys():
        raise UsageError(f"{name} says how a run works, not what comes out", hint="Give it once, by -p.")
    for value in map(str.strip, text.split(",")):
        if not value:
            raise UsageError(f"a value of {name} is empty", hint="Leave out the comma beside it.")
        ends = RANGE.fullmatch(value)
        if ends and isinstance(getattr(base, name, None), int):
            first, last = map(int, ends.groups())
            if first > last:
                raise UsageError(f"{name} has no values {value}", hint="Write the smaller number first.")
            yield from range(first, last + 1)
        else:
            yield getattr(base.with_overrides({name: value}), name)


def run_sweep(
    profile: str,
    swept: Mapping[str, str],
    *,
    data_dir: str = "",
    work_dir: str = "",
    first: int = 1,
    last: int = 6,
    overrides: Mapping[str, Any] | None = None,
    **how: Any,
) -> tuple[Path, pd.DataFrame]:
    """Run every combination of `swept`, side by side; the sweep's folder, and its table, which lies there.

    `overrides` are for all runs; the other arguments are those of `run`. A run that fails is a reason in the
    table. What is done is not done again.
    """
    fixed = dict(overrides or {})
    if both := sorted(fixed.keys() & swept.keys()):
        raise UsageError(f"{both[0]} is given one value and is swept", hint="Leave one of them out.")
    base = profile_named(profile).with_overrides(fixed)
    runs = planned(base, swept)
    if not data_dir:
        with contextlib.suppress(RootError):
            data_dir = str(find_root().root)
    work = resolve_work(base, work_dir)
    folder, attempts, keys = work / layout.SWEEP, [], []
    with sole_run(work):
        for one in runs:
            shared = work / shared_folder(base, one.profile, phantoms=not data_dir)
            data = str(resolve_competition(one.profile, data_dir, shared).root)
            asked = {"profile": profile, "data_dir": data, "overrides": {**fixed, **one.values}, **how}
            attempts.append(partial(attempt, folder / one.name, shared, first=first, **asked))
            inputs = frozenset(entry.input for entry in selected_experiments(one.profile))
            keys.append((shared, inputs))
        reasons = attempt_all(attempts, keys, base.workers, first, last)
        table = sweep_table(folder, runs, reasons)
        write_csv(folder / TABLE, table)
    return folder, table


def attempt_all(
    attempts: Sequence[Callable[..., str]], keys: Sequence[Hashable], workers: int, first: int, last: int
) -> list[str]:
    """Why each attempt failed, "" where it did not: side by side, once the inputs of a key are made.

    The first run of a key makes them; where it fails it goes no further, and the next one tries.
    """
    made = set() if first <= LAST_OF_INPUTS else set(keys)
    reasons = [""] * len(attempts)
    for number, key in enumerate(tqdm(keys, "inputs of the runs", mininterval=1)):
        if key not in made:
            reasons[number] = attempts[number](workers=workers, last=min(last, LAST_OF_INPUTS))
        if not reasons[number]:
            made.add(key)
    ready = [number for number, reason in enumerate(reasons) if not reason]
    side_by_side = max(1, min(workers, len(ready)))
    calls = (delayed(attempts[number])(workers=workers // side_by_side, last=last) for number in ready)
    for number, reason in zip(ready, _reasons(in_processes(calls, side_by_side), len(ready))):
        reasons[number] = reason
    return reasons


def _reasons(done: Iterator[str], count: int) -> list[str]:
    """What attempts return; KILLED for those that were lost with a process."""
    reasons: list[str] = []
    with contextlib.suppress(TerminatedWorkerError):
        reasons.extend(tqdm(done, "runs", count, mininterval=1))
    return reasons + [KILLED] * (count - len(reasons))


def shared_folder(base: Profile, profile: Profile, *, phantoms: bool) -> str:
    """Where under the work folder phantoms and caches of a run lie: "" where they are those of `base`."""
    names = (*PREPARED, "seed") if phantoms else PREPARED[:1]
    others = {name: getattr(profile, name) for name in names if getattr(profile, name) != getattr(base, name)}
    return f"{layout.SWEEP}/{SHARED}/{folder_name(others)}" if others else ""


def attempt(folder: Path, cache: Path, *, overrides: dict[str, Any], workers: int, **asked: Any) -> str:
    """Run the notebooks in a folder, with a log of it there; why that failed, "" where it did not."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        open(folder / LOG, "a", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
        environment(**{CACHE: str(cache)}),
    ):
        try:
            run(work_dir=str(folder), overrides={**overrides, "workers": workers}, **asked)
        except Exception as error:
            traceback.print_exc()
            return str(error) if isinstance(error, KitError) else f"{type(error).__name__}: {error}"
    return ""


def sweep_table(folder: Path, runs: list[SweptRun], reasons: list[str]) -> pd.DataFrame:
    """A row a run: its values, COLUMNS as far as they are known, and why it failed."""
    rows = []
    for one, reason in zip(runs, reasons):
        found = {} if reason else _scores(folder / one.name)
        rows.append({**one.values, **{name: found.get(name, math.nan) for name in COLUMNS}, "failed": reason})
    return pd.DataFrame(rows)


def _scores(work: Path) -> dict[str, Any]:
    tables = {
        file: load_table(file.under(work)).set_index("prediction")
        for file, _, _ in COLUMNS.values()
        if file.under(work).is_file()
    }
    return {
        name: tables[file].loc[prediction, column]
        for name, (file, prediction, column) in COLUMNS.items()
        if file in tables and prediction in tables[file].index
    }
