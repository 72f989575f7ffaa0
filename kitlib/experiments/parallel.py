"""Run fold tasks in parallel processes, under one progress bar; one that fails does not stop the others."""

import contextlib
import os
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from joblib import delayed
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm.auto import tqdm

from kitlib.experiments.fold import FoldData, FoldTask, run_fold
from kitlib.experiments.leaks import Split
from kitlib.experiments.status import BEGUN, DIED, clear, failure, noted, record
from kitlib.machine import end_with, in_processes, one_gpu, repeating


@dataclass(frozen=True, eq=False)
class TaskGroup:
    """Tasks of one fold on the same data, run in one process because they share a first stage."""

    tasks: list[FoldTask]
    split: Split

    @property
    def todo(self) -> list[FoldTask]:
        """The tasks that are neither done nor recorded as failed."""
        return [task for task in self.tasks if not task.is_done and not failure(task.folder)]

    def data(self) -> FoldData:
        """The fold's two sides; what its tasks share with those of other folds is made first."""
        for task in self.todo:
            with contextlib.suppress(Exception):  # it fails again in the fit, where it is recorded
                task.experiment.model.make_shared(self.split.data)
        first = self.tasks[0]
        return FoldData.of(self.split, first.fold, first.experiment)


def run_groups(groups: list[TaskGroup], workers: int, *, progress: bool = True) -> None:
    """Run the tasks that are not done, under one progress bar; tasks that failed before are tried again."""
    tasks = [task for group in groups for task in group.tasks]
    for task in tasks:
        clear(task.folder)
    with watched(tasks, progress):
        while todo := [group for group in groups if group.todo]:
            runs = (delayed(run_group)(group.todo, group.data()) for group in todo)
            try:
                with warnings.catch_warnings():
                    # loky restarts processes that have grown, with a warning that is harmless here.
                    warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
                    list(in_processes(runs, min(workers, len(todo))))
            except TerminatedWorkerError:
                # One process died and took the others with it: run one by one to find which task it was.
                suspects = [
                    (group, one) for group in todo for one in group.todo if noted(one.folder) == BEGUN
                ]
                if not suspects:
                    raise  # no task had begun: there is none to single out
                for group, task in suspects:
                    run_alone(task, group.data())


def run_alone(task: FoldTask, data: FoldData) -> None:
    """Run a task on its own in a new process; if that process dies too, the task has failed."""
    with ProcessPoolExecutor(max_workers=1, initializer=end_with, initargs=(os.getpid(),)) as process:
        try:
            process.submit(run_group, [task], data).result()
        except TerminatedWorkerError:
            record(task, DIED)


def run_group(tasks: list[FoldTask], data: FoldData) -> None:
    """Run a group's tasks one after the other; a failure is recorded with its traceback, and the rest go on.

    A process that dies leaves the note that its task had begun. If there are several GPUs, a fold uses one.
    """
    for task in tasks:
        record(task, BEGUN)
        try:
            with one_gpu(task.fold):
                run_fold(task, data)
        except Exception as error:
            record(task, f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}")
        else:
            clear(task.folder)


@contextlib.contextmanager
def watched(tasks: list[FoldTask], progress: bool = True) -> Iterator[None]:
    """Show how many tasks are done or have failed, and the estimated time for the rest."""
    open_tasks = [task for task in tasks if not task.is_done]
    names = dict.fromkeys(task.experiment.name for task in tasks)
    bar = tqdm(
        total=len(tasks),
        initial=len(tasks) - len(open_tasks),
        desc="experiments" if len(names) > 1 else "".join(names),
        unit="fit",
        smoothing=0.1,
        mininterval=1,
        disable=not progress,
    )

    def look() -> None:
        for task in list(open_tasks):
            if failure(task.folder) or task.is_done:
                open_tasks.remove(task)
                bar.update()

    with bar:
        try:
            with repeating(look):
                yield
        finally:
            look()
