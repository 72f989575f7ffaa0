"""Sweeps: a run of the notebooks for each combination of parameter values, and one table of results.

Every run has its own folder; runs with the same data and prepared volumes share those. The first of the runs
that read the same inputs makes them before the others begin, so that no two write the same file.
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
"""Parameters that volumes and phantoms depend on; phantoms also depend on the seed."""
COLUMNS = {
    "score": (layout.SCORES, CALIBRATED_BLEND, "total"),
    "low": (layout.SCORES, CALIBRATED_BLEND, "low"),
    "high": (layout.SCORES, CALIBRATED_BLEND, "high"),
    "prior": (layout.SCORES, "prior", "total"),
    "test": (layout.TEST_SCORES, "submission", "total"),
}
"""Columns of the sweep's table: file, prediction and column in a run's results."""
LAST_OF_INPUTS = step_named(layout.EMBEDDINGS).number
KILLED = "its process, or one running beside it, was killed; repeat the command to continue"


@dataclass(frozen=True)
class SweptRun:
    """One combination of parameter values, and the resulting profile."""

    values: Mapping[str, Any]
    profile: Profile

    @property
    def name(self) -> str:
        """The name of its folder."""
        return folder_name(self.values)


def folder_name(values: Mapping[str, Any]) -> str:
    """The name of the folder for these values, such as `experiments-vit,seed-1`."""
    return ",".join(f"{name}-{UNNAMEABLE.sub('-', str(value))}" for name, value in values.items())


def planned(base: Profile, swept: Mapping[str, str]) -> list[SweptRun]:
    """Plan a run for each combination of values, given as `a,b,c` or, for integers, as a range `1-3`.

    Raises UsageError on invalid names and values, and if two runs would have the same folder.
    """
    lists = [list(dict.fromkeys(_values(base, name, text))) for name, text in swept.items()]
    combinations = [dict(zip(swept, values)) for values in product(*lists)]
    runs = [SweptRun(values, base.with_overrides(values)) for values in combinations]
    for one in runs:
        selected_experiments(one.profile)  # an unknown experiment is an error before any work starts
    if len({one.name for one in runs}) < len(runs):
        raise UsageError("two runs of the sweep would have the same folder", where=", ".join(swept))
    return runs


def _values(base: Profile, name: str, text: str) -> Iterator[Any]:
    if name in vars(base).keys() - base.results().keys():
        raise UsageError(f"{name} sets how a run works, not its results", hint="Give it once, with -p.")
    for value in map(str.strip, text.split(",")):
        if not value:
            raise UsageError(f"a value of {name} is empty", hint="Remove the extra comma.")
        ends = RANGE.fullmatch(value)
        if ends and isinstance(getattr(base, name, None), int):
            first, last = map(int, ends.groups())
            if first > last:
                raise UsageError(f"{name}: the range {value} is empty", hint="Put the smaller number first.")
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
    """Run every combination of `swept` in parallel; returns the sweep's folder and the table saved there.

    `overrides` apply to all runs; the other arguments are those of `run`. A run that fails has its reason in
    the table. Finished steps are not repeated.
    """
    fixed = dict(overrides or {})
    if both := sorted(fixed.keys() & swept.keys()):
        raise UsageError(f"{both[0]} is both fixed and swept", hint="Leave one of them out.")
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
    """Make all attempts, in parallel once their inputs exist; returns why each failed, or "".

    The first attempt with a key makes the inputs; if it fails it is not continued, and the next one tries.
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
    """The results of attempts; KILLED for those lost when a process died."""
    reasons: list[str] = []
    with contextlib.suppress(TerminatedWorkerError):
        reasons.extend(tqdm(done, "runs", count, mininterval=1))
    return reasons + [KILLED] * (count - len(reasons))


def shared_folder(base: Profile, profile: Profile, *, phantoms: bool) -> str:
    """Sub-folder of the work folder for a run's phantoms and caches; "" if it shares those of `base`."""
    names = (*PREPARED, "seed") if phantoms else PREPARED[:1]
    others = {name: getattr(profile, name) for name in names if getattr(profile, name) != getattr(base, name)}
    return f"{layout.SWEEP}/{SHARED}/{folder_name(others)}" if others else ""


def attempt(folder: Path, cache: Path, *, overrides: dict[str, Any], workers: int, **asked: Any) -> str:
    """Run the notebooks in a folder, with a log there; returns why that failed, or ""."""
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
    """One row per run: its values, COLUMNS as far as they are known, and why it failed."""
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
