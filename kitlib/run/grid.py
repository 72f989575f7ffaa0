"""The grid: many experiments on every fold, in parallel processes and resumable; and its results."""

import contextlib
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from kitlib.artefacts import fingerprint
from kitlib.competition.root import Competition
from kitlib.ensemble.crossfit import Recipe, crossfit
from kitlib.errors import ExtraMissingError, RootError, WeightsError
from kitlib.evaluate.baselines import baselines, prior_out_of_fold
from kitlib.evaluate.missing import missing_table
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.fold import FoldTask
from kitlib.experiments.leaks import make_split, row_table
from kitlib.experiments.parallel import TaskGroup, run_groups
from kitlib.experiments.questions import pair_table
from kitlib.experiments.run import fold_tasks, make_folds
from kitlib.experiments.status import ORACLE_FILE, RunKey, begin_run, failure, record_skipped, rows_path
from kitlib.experiments.table import (
    BLEND,
    GridResults,
    JudgedRows,
    baseline_table,
    measured,
    out_of_fold,
    result_table,
    scenario_results,
)
from kitlib.inputs.base import Dataset
from kitlib.run import layout
from kitlib.run.data import resolve_competition, resolve_work, sole_run
from kitlib.run.profiles import Profile
from kitlib.run.studies import grid_experiments, open_dataset, open_encoder, prepare_studies


@dataclass(frozen=True)
class Outcome:
    """Outcome of a grid: number of fits done, and the reasons of experiments that failed or were skipped."""

    folder: Path
    fits: int
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    unreadable: int = 0
    """Number of studies without a readable series."""


def run_grid(
    profile: Profile,
    family: str,
    *,
    data_dir: str = "",
    work_dir: str = "",
    only: Collection[str] = (),
    workers: int | None = None,
    keep_models: bool = False,
    command: str = "kitlib.run.grid.run_grid",
) -> Outcome:
    """Run those experiments of a family that are not done, into `<work>/experiments/<name>/fold<k>`.

    A failed fit leaves a note in its folder; an experiment whose weights or optional library are missing is
    skipped with a reason. `command` is recorded in the table as how it was made. Raises UsageError on unknown
    names, RootError if there is no data, and StepError while another run uses the folder.
    """
    chosen = grid_experiments(profile, family, only)
    work = resolve_work(profile, work_dir)
    with sole_run(work):
        competition = resolve_competition(profile, data_dir, work)
        if not competition.has_images("train"):
            raise RootError(
                "there are no training images", where=competition.root, hint="Experiments read images."
            )
        grid = Grid(profile, competition, work, command)
        groups = grid.groups(chosen, keep_models)
        run_groups(groups, workers or profile.workers)
    tasks = [task for group in groups for task in group.tasks]
    failed = {task.experiment.name: failure(task.folder) for task in tasks if failure(task.folder)}
    done = sum(task.is_done for task in tasks)
    return Outcome(grid.folder, done, failed, grid.skipped, grid.studies.unreadable)


class Grid:
    """The fits of one profile on one competition's training studies."""

    def __init__(self, profile: Profile, competition: Competition, work: Path, command: str) -> None:
        self.profile, self.work, self.folder = profile, work, work / layout.GRID
        self.skipped: dict[str, str] = {}
        self.labels, series = competition.train_labels(), competition.series("train")
        self.series_counts = series.groupby("study_id").size()
        self.studies = prepare_studies(profile, series, work, self.labels.index.tolist())
        self.folds = make_folds(self.labels, profile.folds, profile.seed)
        rows = row_table(self.labels, self.folds, self.labels.index.to_series())
        self.key = RunKey(fingerprint(self.studies.fingerprint, rows.to_json()), profile.results())
        begin_run(self.folder, rows, self.key, command=command, unreadable=self.studies.unreadable)
        known = baselines(self.labels, prior_out_of_fold(self.labels, self.folds), competition.root)
        if "oracle" in known:
            self.key.save(self.folder / ORACLE_FILE, known["oracle"])

    def groups(self, chosen: list[Experiment], keep_models: bool) -> list[TaskGroup]:
        """Group the fits of experiments; their datasets are made here, one input after the other."""
        found: list[TaskGroup] = []
        for spec in dict.fromkeys(entry.input for entry in chosen):
            entries = [entry for entry in chosen if entry.input == spec]
            for entry in entries:
                record_skipped(self.folder / entry.name, "")
            with self._skipping(entries):
                encoder = open_encoder(spec, self.profile)
                data = open_dataset(encoder, self.studies, self.work)
                ready = [entry.reading(encoder.spec) for entry in entries if self._can_start(entry)]
                found += self._groups_of(ready, data, encoder.label, keep_models)
        return found

    def _can_start(self, entry: Experiment) -> bool:
        """Whether the model's starting weights are found; if not, the experiment is skipped."""
        with self._skipping([entry]):
            entry.model.pretrained_source()
        return entry.name not in self.skipped

    @contextlib.contextmanager
    def _skipping(self, entries: list[Experiment]) -> Iterator[None]:
        """Skip experiments, recording the reason, if weights or an optional library are missing."""
        try:
            yield
        except (WeightsError, ExtraMissingError) as error:
            # Without `error.where`: paths on this machine do not belong in tables for everyone.
            reason = f"[{error.code}] {error.what}. {error.hint}"
            for entry in entries:
                self.skipped[entry.name] = reason
                record_skipped(self.folder / entry.name, reason)

    def _groups_of(
        self, entries: list[Experiment], data: Dataset, weights: str, keep_models: bool
    ) -> list[TaskGroup]:
        """Group the fits of experiments on one dataset by split, fold and shared first stage."""
        found: list[TaskGroup] = []
        seed, counts = self.profile.seed, self.series_counts
        for name in dict.fromkeys(entry.protocol.split for entry in entries):
            split = make_split(name, data, self.labels, self.folds, series_counts=counts, seed=seed)
            if name != "studies":
                rows = row_table(split.labels, split.folds, split.study_of)
                self.key.save(rows_path(self.folder, name), rows)
            tasks: list[FoldTask] = []
            for entry in (entry for entry in entries if entry.protocol.split == name):
                facts = {"weights": weights_label(entry, weights), **self.key.facts}
                tasks += fold_tasks(entry, split, self.folder, seed=seed, facts=facts, keep_model=keep_models)
            processes = dict.fromkeys(map(_process, tasks))
            found += [
                TaskGroup([task for task in tasks if _process(task) == one], split) for one in processes
            ]
        return found


def weights_label(entry: Experiment, weights: str) -> str:
    """The weights an experiment's input was made with, and those its own network starts from."""
    source = entry.model.pretrained_source()
    return f"{weights}; starts from {source.name}: {source.label}" if source else weights


def _process(task: FoldTask) -> Hashable:
    """Key of a task's process: fits of a fold with the same first stage share one, others run alone."""
    return task.fold, task.experiment.model.shared_stage() or task.experiment.name


def grid_results(folder: Path, entries: Collection[Experiment]) -> GridResults:
    """The result tables of a grid's folder, with the blend as the last row of the experiments.

    Raises ArtefactError if no grid has run.
    """
    results, rows = result_table(folder, entries), JudgedRows.load(folder, "studies")
    done = set(results.loc[(results["state"] == "done") & ~results["leaks"], "experiment"])
    predictions = out_of_fold(folder, [entry for entry in entries if entry.name in done], rows)
    if len(predictions) > 1:
        blend = crossfit(rows.labels, rows.folds, predictions, Recipe(calibrate=())).blended
        results = pd.concat([results, pd.DataFrame([BLEND | measured(rows, blend)])], ignore_index=True)
    return GridResults(
        results,
        baseline_table(folder),
        pair_table(rows.labels, predictions),
        missing_table(rows.labels, *scenario_results(folder, entries)),
    )
