"""Cells of the grid, one experiment on one fold each: run in parallel processes, watched, failing alone."""

import contextlib
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm.auto import tqdm

from kitlib.training.fold import FoldTask, Sides, run_fold
from kitlib.training.outcomes import DIED, contained, failure, forget_failure
from kitlib.training.splits import Dealt

POLL_S = 0.5
TRIES = 2
"""A process that dies takes those beside it along: cells that were under way are tried once more."""


@dataclass(frozen=True, eq=False)
class Group:
    """Cells of one fold on the same features, run by one process: they share what they learn first."""

    tasks: list[FoldTask]
    dealt: Dealt

    @property
    def todo(self) -> list[FoldTask]:
        """The cells that are neither done nor noted as failed."""
        return [task for task in self.tasks if not task.is_done and not failure(task.folder)]

    def sides(self) -> Sides:
        """The fold's two sides."""
        first = self.tasks[0]
        codes, held_out = self.dealt.labels.to_numpy(np.int8), (self.dealt.folds == first.fold).to_numpy()
        return Sides.of(self.dealt.features, codes, held_out, first.experiment)


def run_groups(groups: list[Group], workers: int) -> None:
    """Run the cells that are not done, under one bar over all; those that failed before are tried again."""
    tasks = [task for group in groups for task in group.tasks]
    deaths: Counter[Path] = Counter()
    for task in tasks:
        forget_failure(task.folder)
    with watched(tasks):
        while todo := [group for group in groups if group.todo]:
            runs = (joblib.delayed(run_group)(group.todo, group.sides()) for group in todo)
            try:
                with warnings.catch_warnings():
                    # loky renews processes that have grown, and warns of what costs nothing here.
                    warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
                    joblib.Parallel(n_jobs=min(workers, len(todo)))(runs)
            except TerminatedWorkerError:
                died = [one.folder for one in tasks if failure(one.folder) == DIED]
                if all(deaths[folder] >= TRIES for folder in died):
                    raise  # before any cell began: there is nothing to try without
                deaths.update(died)
                for folder in died:
                    if deaths[folder] < TRIES:
                        forget_failure(folder)


def run_group(tasks: list[FoldTask], sides: Sides) -> None:
    """Run the cells of a group one after the other; what fails is noted and the rest go on."""
    for task in tasks:
        with contained(task):
            run_fold(task, sides)


@contextlib.contextmanager
def watched(tasks: list[FoldTask]) -> Iterator[None]:
    """Show how many cells are done or have failed, and how long the others will take."""
    open_tasks = [task for task in tasks if not task.is_done]
    ended = threading.Event()
    bar = tqdm(
        total=len(tasks), initial=len(tasks) - len(open_tasks), desc="experiments", unit="fit", smoothing=0.1
    )

    def look() -> None:
        for task in list(open_tasks):
            if failure(task.folder) not in ("", DIED) or task.is_done:
                open_tasks.remove(task)
                bar.update()

    def watch() -> None:
        while not ended.wait(POLL_S):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        look()
        bar.close()
