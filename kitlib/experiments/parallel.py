"""Cells of the grid, one experiment on one fold each: run in parallel processes, watched, failing alone."""

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import joblib
import numpy as np
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm.auto import tqdm

from kitlib.experiments.fold import FoldTask, Sides, run_fold
from kitlib.experiments.leaks import Dealt
from kitlib.experiments.status import DIED, contained, failure, forget, is_begun, note

POLL_S = 0.5


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
    for task in tasks:
        forget(task.folder)
    with watched(tasks):
        while todo := [group for group in groups if group.todo]:
            runs = (joblib.delayed(run_group)(group.todo, group.sides()) for group in todo)
            try:
                with warnings.catch_warnings():
                    # loky renews processes that have grown, and warns of what costs nothing here.
                    warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
                    joblib.Parallel(n_jobs=min(workers, len(todo)))(runs)
            except TerminatedWorkerError:
                # One process died and took those beside it along: which cell it was shows one at a time.
                suspects = [(one, task) for one in todo for task in one.todo if is_begun(task.folder)]
                if not suspects:
                    raise  # before any cell began: there is nothing to try without
                for group, task in suspects:
                    run_alone(task, group.sides())


def run_alone(task: FoldTask, sides: Sides) -> None:
    """Run a cell with no other beside it, in a process of its own; if that dies too, the cell is noted."""
    with ProcessPoolExecutor(max_workers=1) as process:
        try:
            process.submit(run_group, [task], sides).result()
        except TerminatedWorkerError:
            note(task, DIED)


def run_group(tasks: list[FoldTask], sides: Sides) -> None:
    """Run the cells of a group one after the other; what fails is noted and the rest go on.

    A worker whose run was killed ends with the cell that it is at: another run may want the others.
    """
    run = os.getppid()
    for task in tasks:
        if os.getppid() != run:
            return
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
            if failure(task.folder) or task.is_done:
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
