"""Robustness of a finished run: out-of-fold predictions of every study under changed conditions."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from kitlib.artefacts import (
    Provenance,
    fingerprint,
    fingerprint_of,
    load_json,
    load_table,
    parameters_of,
    save_table,
)
from kitlib.code import library_code
from kitlib.competition.root import Competition, find_root
from kitlib.competition.submission import to_rows
from kitlib.errors import UsageError, known_name
from kitlib.evaluate.baselines import baselines, prior_out_of_fold
from kitlib.evaluate.robustness import robustness_table
from kitlib.experiments.fold import OOF_FILE
from kitlib.inputs.base import Dataset, Encoder, Resources
from kitlib.inputs.cropping import CropEncoder, cut_located
from kitlib.inputs.crops import CropDataset
from kitlib.localise.localiser import shipped_localiser
from kitlib.models.base import Model
from kitlib.models.crop.model import CropModel
from kitlib.mri.ledger import Ledger
from kitlib.mri.study import Study
from kitlib.phantom.truth import read_marker
from kitlib.predict.predictor import Member, open_encoders
from kitlib.prepare.studies import PreparedStudies
from kitlib.prepare.volumes import is_current
from kitlib.run import layout
from kitlib.run.conditions import CONDITIONS, SEED, Condition, Subject
from kitlib.run.data import resolve_cache, sole_run
from kitlib.run.finished import check_finished, fold_folders
from kitlib.terms import PROBABILITIES


@dataclass(frozen=True, eq=False)
class Judged:
    """The table of `robustness_table`, and facts about how it was made."""

    table: pd.DataFrame
    facts: Mapping[str, str]


def judge_robustness(
    work: Path,
    names: Collection[str],
    *,
    data_dir: str = "",
    studies: int | None = None,
    conditions: Collection[Condition] = CONDITIONS,
) -> Judged:
    """Score experiments of a finished run under all conditions, on its first `studies` or all of them.

    Predictions are cached in the work folder, one file per study. Raises StepError if the run is not finished
    or another one uses the folder, and UsageError on an unknown experiment.
    """
    if not names or (studies is not None and studies < 1):
        raise UsageError("nothing to judge", hint="Name an experiment, and one study or more.")
    check_finished(work)
    for name in names:
        known_name(name, load_json(layout.EXPERIMENTS.under(work)), "experiment")
    with sole_run(work):
        run = FinishedRun.open(work, names, data_dir)
        study_ids = run.folds.index[:studies]
        for study_id in tqdm(study_ids, "studies under all conditions", mininterval=1):
            run.make(study_id, conditions)
    return Judged(run.table(study_ids, conditions), _run_facts(work) | run.facts(study_ids))


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """The parts of a run needed to predict its own studies again."""

    folder: Path
    competition: Competition
    labels: pd.DataFrame
    folds: pd.Series  # study_id to fold
    studies: PreparedStudies
    members: Mapping[str, Member]  # by experiment, models in the order of the folds
    encoders: Mapping[str, Encoder]  # by the fingerprint of their input
    fitted: str  # changes when a model or the kit's code does

    @classmethod
    def open(cls, work: Path, names: Collection[str], data_dir: str) -> "FinishedRun":
        """Open the fold models and studies of a run; raises RootError if its data are not found."""
        folds = load_table(layout.FOLDS.under(work)).set_index("study_id")["fold"].sort_index()
        folders = fold_folders(partial(layout.File.under, root=work), names)
        members = {name: Member.load(of_folds) for name, of_folds in folders.items()}
        encoders = open_encoders(members.values(), Resources())
        competition = _competition(work, data_dir)
        studies = PreparedStudies.build(
            competition.series("train"),
            layout.VOLUMES.under(resolve_cache(work)),
            longest_px=next(iter(encoders.values())).spec.longest_px,
            study_ids=folds.index.tolist(),
        )
        prints = [[fingerprint_of(fold / OOF_FILE) for fold in of_folds] for of_folds in folders.values()]
        fitted = fingerprint(library_code(), list(names), prints)
        labels = competition.train_labels().loc[folds.index]
        folder = work / layout.ROBUSTNESS
        return cls(folder, competition, labels, folds, studies, members, encoders, fitted)

    def make(self, study_id: int, conditions: Collection[Condition]) -> None:
        """Predict one study under all conditions, unless cached predictions are current."""
        names = [condition.name for condition in conditions]
        state = fingerprint(self.fitted, SEED, names, self.studies.of([study_id]).fingerprint)
        if is_current(path := self._path(study_id), state):
            return
        study, fold = self.studies.study(study_id), sorted(self.folds.unique()).index(self.folds[study_id])
        parts = []
        for condition, changed, data_of in self._encoded(study, conditions):
            for name, member in self.members.items():
                predicted = _held_out(member.models[fold], changed, data_of[member.input.fingerprint])
                parts.append(to_rows([study_id], predicted).assign(condition=condition, experiment=name))
        provenance = Provenance({"conditions": names}, {"state": state}, SEED)
        save_table(path, pd.concat(parts), provenance, state=state)

    def table(self, study_ids: pd.Index, conditions: Collection[Condition]) -> pd.DataFrame:
        """The robustness table of the predicted studies."""
        rows = pd.concat(
            load_table(self._path(study_id)).astype({"condition": "category", "experiment": "category"})
            for study_id in study_ids
        )
        groups = dict(iter(rows.groupby(["experiment", "condition"], observed=True)[list(PROBABILITIES)]))
        predictions = {
            name: {condition.name: groups[name, condition.name] for condition in conditions}
            for name in self.members
        }
        prior = prior_out_of_fold(self.labels, self.folds)
        labels = self.labels.loc[study_ids]
        return robustness_table(labels, predictions, baselines(labels, prior, self.competition.root))

    def facts(self, study_ids: pd.Index) -> dict[str, str]:
        """The data and the weights as text."""
        made = read_marker(self.competition.root)
        phantoms = f", phantoms of size {made['size']} and seed {made['seed']}" if made else ""
        data = f"{len(study_ids)} studies of {len(self.folds)} in {self.folds.nunique()} folds{phantoms}"
        weights = [f"{name}: {self._weights(member)}" for name, member in self.members.items()]
        return {"data": data, "weights": "; ".join(weights)}

    def _encoded(
        self, study: Study, conditions: Collection[Condition]
    ) -> Iterator[tuple[str, Study, dict[str, Dataset]]]:
        """Yield name, changed study and its datasets by condition, encoded one condition at a time."""
        subject = Subject(study, shipped_localiser().locate_study(study, fill=True))
        as_it_is = {name: encoder.encode(study, Ledger()) for name, encoder in self.encoders.items()}
        for condition in conditions:
            if condition.displaced_mm:
                crops = {
                    name: _displaced(encoder, condition, subject)
                    for name, encoder in self.encoders.items()
                    if isinstance(encoder, CropEncoder)
                }
                yield condition.name, study, as_it_is | crops
                continue
            changed = condition.change(subject)
            encoders = self.encoders.items()
            yield condition.name, changed, {name: one.encode(changed, Ledger()) for name, one in encoders}

    def _weights(self, member: Member) -> str:
        label = self.encoders[member.input.fingerprint].label
        models = [model for model in member.models if isinstance(model, CropModel)]
        views = dict.fromkeys(model.fitted.views[:12] or "trained in each fold" for model in models)
        return f"{label}, views {', '.join(views)}" if views else label

    def _path(self, study_id: int) -> Path:
        return self.folder / f"{int(study_id)}.parquet"


def _run_facts(work: Path) -> dict[str, str]:
    """The run's profile as text."""
    profile = parameters_of(layout.FOLDS.under(work))
    named = [f"{name} {profile[name]}" for name in ("seed", "longest_px", "epochs") if name in profile]
    return {"run": ", ".join([f"profile {profile.get('name', 'unknown')}", *named])}


def _competition(work: Path, data_dir: str) -> Competition:
    """The competition in `data_dir`, else the run's own phantoms, else the mounted one."""
    if not data_dir and read_marker(phantoms := work / layout.PHANTOMS):
        return Competition(phantoms)
    return find_root(Path(data_dir).expanduser() if data_dir else None)


def _displaced(encoder: CropEncoder, condition: Condition, subject: Subject) -> CropDataset:
    crops = cut_located(subject.study, condition.displaced(subject), encoder.spec.slices)
    return CropDataset.of([subject.study.study_id], [crops])


def _held_out(model: Model, study: Study, data: Dataset) -> np.ndarray:
    """Probabilities (1, 25, 3) of a study; the prior if it has no image left, as in a `Predictor`."""
    return model.predict(data) if study.sequences else model.prior[None]
