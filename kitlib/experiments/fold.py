"""One fold of one experiment: fitted, evaluated on the held-out studies, and saved whole or not at all."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance, discard, facts_of, is_complete, opened, save_table, verified
from kitlib.competition.submission import to_rows
from kitlib.errors import ArtefactError
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.leaks import Split
from kitlib.experiments.scenarios import ablate
from kitlib.inputs.base import Dataset, InputSpec, load_input
from kitlib.machine import peak_memory_mb, reset_peak_memory
from kitlib.models.base import MODEL_FILE, Model
from kitlib.models.registry import load_model

OOF_FILE, CURVE_FILE, RECONSTRUCTION_FILE = "oof.parquet", "curve.parquet", "reconstruction.parquet"


@dataclass(frozen=True)
class FoldTask:
    """What to fit, where to save its results, and the fingerprint of everything they are made from."""

    experiment: Experiment
    fold: int
    folder: Path
    made_from: str
    seed: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Saved with the predictions, such as the weights used."""
    keep_model: bool = True

    @property
    def is_done(self) -> bool:
        """Whether all results are complete and up to date, and the model is saved if it has to be."""
        try:
            made_from = facts_of(self.folder / OOF_FILE).get("made_from")
        except ArtefactError:
            return False
        has_model = not self.keep_model or is_complete(self.folder / MODEL_FILE)
        return made_from == self.made_from and has_model and not damage(self.folder, self.experiment)


@dataclass(frozen=True, eq=False)
class FoldData:
    """The two sides of a fold: training studies with labels (n, 25), and held-out studies."""

    train: Dataset
    labels: np.ndarray
    held_out: Dataset

    @classmethod
    def of(cls, split: Split, fold: int, experiment: Experiment) -> Self:
        """The sides of a fold; with the split "training", held-out studies are trained on as well."""
        labels, held_out = split.labels.to_numpy(np.int8), (split.folds == fold).to_numpy()
        train = np.flatnonzero(~held_out | (experiment.protocol.split == "training"))
        return cls(split.data.take(train), labels[train], split.data.take(np.flatnonzero(held_out)))


def fold_folder(folder: Path, fold: int) -> Path:
    """The folder of one fold in an experiment's folder."""
    return Path(folder) / f"fold{fold}"


def load_fold(folder: Path) -> tuple[InputSpec, Model]:
    """Load a fold's input and fitted model; raises ArtefactError if the folder is damaged."""
    return opened(folder, lambda own: (load_input(own), load_model(own)))


def scenario_file(scenario: str) -> str:
    """File name of the predictions under a scenario of missing sequences."""
    return f"oof_{scenario}.parquet"


def result_files(experiment: Experiment) -> list[str]:
    """File names of the tables that a fold of an experiment writes."""
    ablated = [scenario_file(scenario) for scenario in experiment.protocol.missing]
    imputes = bool(ablated) and hasattr(experiment.model, "reconstruction")
    return [OOF_FILE, CURVE_FILE, *ablated, *([RECONSTRUCTION_FILE] if imputes else [])]


def damage(folder: Path, experiment: Experiment) -> str:
    """The first of a fold's results that is missing, truncated or altered; "" if all are intact."""
    for name in result_files(experiment):
        try:
            verified(folder / name)
        except ArtefactError as error:
            return f"{name}: {error.what}"
    return ""


def run_fold(task: FoldTask, data: FoldData) -> None:
    """Fit the model, save it and its input if they are kept, its learning curve, and last its predictions."""
    discard(task.folder / OOF_FILE)  # or, after a kill, old predictions would mark newer files as complete
    parameters = asdict(task.experiment.model)
    provenance = Provenance(parameters, {"made_from": task.made_from}, task.seed)
    measurable = reset_peak_memory()
    started_s = time.perf_counter()
    model = task.experiment.build().fit(data.train, data.labels, seed=task.seed)
    measured = {
        "fit_s": round(time.perf_counter() - started_s, 3),
        "fit_peak_mb": round(peak_memory_mb()) if measurable else None,
    }
    if task.keep_model:
        task.experiment.input.save(task.folder, provenance)
        model.save(task.folder, provenance)
    save_table(task.folder / CURVE_FILE, model.curve, provenance)
    _judge_scenarios(task, model, data.held_out, provenance)
    oof = _predicted(task, model, data.held_out)
    facts = {**task.facts, "made_from": task.made_from, "notes": list(model.notes), **measured}
    save_table(task.folder / OOF_FILE, oof, provenance, **facts)


def _predicted(task: FoldTask, model: Model, held_out: Dataset) -> pd.DataFrame:
    oof = to_rows(held_out.study_ids, model.predict(held_out))
    return oof.assign(model=task.experiment.name, fold=task.fold)


def _judge_scenarios(task: FoldTask, model: Model, held_out: Dataset, provenance: Provenance) -> None:
    """Predict the held-out studies without some of their sequences, and score how those are imputed."""
    reconstructions = []
    for scenario in task.experiment.protocol.missing:
        left, removed = ablate(held_out, scenario, task.seed)
        save_table(task.folder / scenario_file(scenario), _predicted(task, model, left), provenance)
        if hasattr(model, "reconstruction"):
            reconstructions.append(model.reconstruction(held_out, removed).assign(scenario=scenario))
    if reconstructions:
        table = pd.concat(reconstructions, ignore_index=True).assign(fold=task.fold)
        save_table(task.folder / RECONSTRUCTION_FILE, table, provenance)
