"""The grid: every experiment of a family on every fold, in parallel processes, going on where it stopped."""

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from kitlib.artefacts import fingerprint
from kitlib.competition.root import Competition
from kitlib.embed.backbone import load_backbone
from kitlib.embed.pretrain.train import cached_or_pretrained
from kitlib.embed.weights.sources import look_for_weights
from kitlib.errors import ExtraMissingError, RootError, WeightsError
from kitlib.evaluate.baselines import baselines, prior_out_of_fold
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.folds import make_folds
from kitlib.experiments.leaks import case_table, deal
from kitlib.experiments.parallel import Group, run_groups
from kitlib.experiments.run import fold_tasks
from kitlib.experiments.run_key import Origin
from kitlib.experiments.status import ORACLE_FILE, begin_run, cases_path, failure, note_skipped
from kitlib.run.data import resolve_competition, resolve_work
from kitlib.run.features import Described, TrainingStudies
from kitlib.run.lock import sole_run
from kitlib.run.profiles import Profile
from kitlib.run.select import grid_experiments

Entry = TypeVar("Entry")
Key = TypeVar("Key", bound=Hashable)
FOLDER = "experiments"
PRETRAINING, LONG_PRETRAINING = {"demo": (40, 2)}, (300, 4)
"""Phantoms and epochs for a backbone without weights, by profile and for the profiles not named."""


@dataclass(frozen=True)
class Outcome:
    """How a grid went: cells done, and by experiment why it failed in a fold or was not run."""

    folder: Path
    cells: int
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    unreadable: int = 0
    """Studies without a series that could be read."""


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
    """Run a family's experiments that are not done, into `<work>/experiments/<name>/fold<k>`.

    A cell that fails becomes a note in its folder; an experiment whose weights or optional library are
    missing is skipped with its reason. `command` is what the table will say of how it was made. UsageError
    on unknown names, RootError where no data is, StepError while another run is in the folder.
    """
    chosen = grid_experiments(profile, family, only)
    work = resolve_work(profile, work_dir)
    with sole_run(work / FOLDER):
        competition = resolve_competition(profile, data_dir, work)
        if not competition.has_images("train"):
            raise RootError(
                "there are no training images", where=competition.root, hint="Experiments read images."
            )
        studies = TrainingStudies.prepared(competition, profile, work)
        grid = Grid(profile, work / FOLDER, competition, studies, command)
        groups = grid.groups(chosen, keep_models)
        run_groups(groups, workers or profile.workers)
    tasks = [task for group in groups for task in group.tasks]
    failed = {task.experiment.name: failure(task.folder) for task in tasks if failure(task.folder)}
    done = sum(task.is_done for task in tasks)
    return Outcome(grid.folder, done, failed, grid.skipped, grid.unreadable)


@dataclass(eq=False)
class Grid:
    """The cells of one profile on one competition's training studies."""

    profile: Profile
    folder: Path
    competition: Competition
    studies: TrainingStudies
    command: str
    skipped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folds = make_folds(self.studies.labels, self.profile.folds, self.profile.seed)
        self.unreadable = self.studies.unreadable
        labels = self.studies.labels
        cases = case_table(labels, self.folds, labels.index.to_series())
        data = fingerprint(self.studies.images, cases.to_json())
        self.origin = Origin(data, self.profile.results())
        begin_run(self.folder, cases, self.origin, command=self.command, unreadable=self.unreadable)
        between = baselines(labels, prior_out_of_fold(labels, self.folds), self.competition.root)
        if "oracle" in between:
            self.origin.save(self.folder / ORACLE_FILE, between["oracle"])

    def groups(self, chosen: list[Experiment], keep_models: bool) -> list[Group]:
        """The cells of experiments in groups; what they see is embedded here, a backbone after the other."""
        found: list[Group] = []
        for seen_by, entries in grouped(
            chosen, lambda entry: (entry.backbone, entry.weights, entry.input_px)
        ):
            try:
                described = self._described(*seen_by, {entry.grey for entry in entries})
            except (WeightsError, ExtraMissingError) as error:
                self.skipped |= {entry.name: str(error) for entry in entries}
                continue
            finally:
                for entry in entries:
                    note_skipped(self.folder / entry.name, self.skipped.get(entry.name, ""))
            for (grey, _), same in grouped(entries, lambda entry: (entry.grey, entry.split)):
                found += self._groups_of(same, described[grey], keep_models)
        return found

    def _described(
        self, backbone: str, weights: str, input_px: int, greys: Collection[str]
    ) -> dict[str, Described]:
        profile = self.profile
        network = load_backbone(
            backbone,
            weights=weights or best_weights(backbone, profile),
            attached_dir=profile.attached_dir,
            input_px=input_px or None,
            view="whole" if input_px else None,
        )
        return {
            grey: self.studies.described(network, grey, batch=profile.embed_batch) for grey in sorted(greys)
        }

    def _groups_of(self, entries: list[Experiment], described: Described, keep_models: bool) -> list[Group]:
        """Groups of experiments on the same features and split."""
        split, counts = entries[0].split, self.studies.series.groupby("study_id").size()
        dealt = deal(
            split,
            described.features,
            self.studies.labels,
            self.folds,
            series_counts=counts,
            seed=self.profile.seed,
        )
        if split != "studies":
            self.origin.save(cases_path(self.folder, split), dealt.cases)
        codes, fold_of = dealt.labels.to_numpy(np.int8), dealt.folds.to_numpy()
        tasks = [
            task
            for entry in entries
            for task in fold_tasks(
                entry,
                fingerprint(described.digest, self.origin.facts),
                codes,
                fold_of,
                self.folder,
                seed=self.profile.seed,
                facts={"weights": weights_label(entry, described), **self.origin.facts},
                keep_model=keep_models,
            )
        ]
        by_fold = grouped(tasks, lambda task: (task.fold, shared_stage(task.experiment)))
        return [Group(same, dealt) for _, same in by_fold]


def best_weights(backbone: str, profile: Profile) -> str:
    """The `weights` to load a backbone with: the profile's for its own, else the best at hand.

    Where none are, the backbone is trained on phantoms first and kept in the kit's cache; in the profile of
    tests it stays random, because what is in the cache is used again.
    """
    if backbone == profile.backbone:
        return profile.weights
    attached_dir = profile.attached_dir
    if profile.name == "smoke":
        return "auto" if look_for_weights(backbone, "auto", attached_dir) else "random"
    studies, epochs = PRETRAINING.get(profile.name, LONG_PRETRAINING)
    cached_or_pretrained(
        backbone, studies=studies, epochs=epochs, workers=profile.workers, attached_dir=attached_dir
    )
    return "auto"


def weights_label(entry: Experiment, described: Described) -> str:
    """What an experiment's features were made with, and the weights that its own network starts from."""
    begin = entry.build().pretrained_source()
    return f"{described.weights}; starts from {begin.name}: {begin.label}" if begin else described.weights


def shared_stage(entry: Experiment) -> str:
    """What a fit begins with, in words: experiments of which it is the same go to one process."""
    if entry.model != "pooled":
        return entry.name
    return " ".join(str(entry.parameters.get(name)) for name in ("pooling", "width"))


def grouped(entries: Iterable[Entry], key: Callable[[Entry], Key]) -> list[tuple[Key, list[Entry]]]:
    """Entries by a key, keys in the order of their first entry."""
    groups: dict[Key, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(key(entry), []).append(entry)
    return list(groups.items())
