"""One fold of one experiment: fitted on one side, judged on the other, kept whole or not at all."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance, discard, facts_of, is_complete, save_table, verified
from kitlib.competition.submission import to_rows
from kitlib.errors import ArtefactError
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.scenarios import remove
from kitlib.inputs.slices import SliceDataset
from kitlib.machine import peak_memory_mb, reset_peak_memory
from kitlib.models.base import MODEL_FILE, Model

OOF_FILE, CURVE_FILE, RECONSTRUCTION_FILE = "oof.parquet", "curve.parquet", "reconstruction.parquet"


@dataclass(frozen=True)
class FoldTask:
    """What is to be fitted, where its results go, and the fingerprint of all that it is made from."""

    experiment: Experiment
    fold: int
    folder: Path
    made_from: str
    seed: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Kept beside the predictions, such as the weights used."""
    keep_model: bool = True

    @property
    def is_done(self) -> bool:
        """Whether all its results are whole and made from the same, and its model is there if it is to be."""
        try:
            made_from = facts_of(self.folder / OOF_FILE).get("made_from")
        except ArtefactError:
            return False
        has_model = not self.keep_model or is_complete(self.folder / MODEL_FILE)
        return made_from == self.made_from and has_model and not damage(self.folder, self.experiment)


@dataclass(frozen=True, eq=False)
class Sides:
    """The two sides of a fold: studies to fit on with their codes (n, 25), and those held out."""

    train: SliceDataset
    codes: np.ndarray
    judged: SliceDataset

    @classmethod
    def of(
        cls, features: SliceDataset, codes: np.ndarray, held_out: np.ndarray, experiment: Experiment
    ) -> "Sides":
        """The sides for an experiment: the same on both where it is judged on its own training studies."""
        train = np.flatnonzero(~held_out | (experiment.split == "training"))
        return cls(features.take(train), codes[train], features.take(np.flatnonzero(held_out)))


def removed_file(removal: str) -> str:
    """The file of predictions under a scenario of missing sequences."""
    return f"oof_{removal}.parquet"


def result_files(experiment: Experiment) -> list[str]:
    """The tables that a fold of an experiment leaves."""
    removed = [removed_file(removal) for removal in experiment.removals]
    fills = bool(removed) and hasattr(experiment.build(), "reconstruction")
    return [OOF_FILE, CURVE_FILE, *removed, *([RECONSTRUCTION_FILE] if fills else [])]


def damage(folder: Path, experiment: Experiment) -> str:
    """What ails a fold's results: the first that is missing, cut short or altered, "" where all are whole."""
    for name in result_files(experiment):
        try:
            verified(folder / name)
        except ArtefactError as error:
            return f"{name}: {error.what}"
    return ""


def run_fold(task: FoldTask, sides: Sides) -> None:
    """Fit, save the model if it is to be kept, its curve, and last what it says of the studies held out."""
    discard(task.folder / OOF_FILE)  # or, after a kill, older predictions would vouch for newer files
    provenance = Provenance(dict(task.experiment.parameters), {"made_from": task.made_from}, task.seed)
    measurable = reset_peak_memory()
    started_s = time.perf_counter()
    model = task.experiment.build().fit(sides.train, sides.codes, seed=task.seed)
    measured = {
        "fit_s": round(time.perf_counter() - started_s, 3),
        "fit_peak_mb": round(peak_memory_mb()) if measurable else None,
    }
    if task.keep_model:
        model.save(task.folder, provenance)
    save_table(task.folder / CURVE_FILE, model.curve, provenance)
    _judge_removals(task, model, sides.judged, provenance)
    oof = _predicted(task, model, sides.judged)
    facts = {**task.facts, "made_from": task.made_from, "notes": list(model.notes), **measured}
    save_table(task.folder / OOF_FILE, oof, provenance, **facts)


def _predicted(task: FoldTask, model: Model, judged: SliceDataset) -> pd.DataFrame:
    oof = to_rows(judged.study_ids, model.predict(judged))
    return oof.assign(model=task.experiment.name, fold=task.fold)


def _judge_removals(task: FoldTask, model: Model, judged: SliceDataset, provenance: Provenance) -> None:
    """Predict the held-out studies without some of their sequences, and say how well those were filled."""
    reconstructions = []
    for removal in task.experiment.removals:
        left, removed = remove(judged, removal, task.seed)
        save_table(task.folder / removed_file(removal), _predicted(task, model, left), provenance)
        if hasattr(model, "reconstruction"):
            reconstructions.append(model.reconstruction(judged, removed).assign(removal=removal))
    if reconstructions:
        table = pd.concat(reconstructions, ignore_index=True).assign(fold=task.fold)
        save_table(task.folder / RECONSTRUCTION_FILE, table, provenance)
