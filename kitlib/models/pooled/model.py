"""`pooled`, the first published project's pipeline: pooled vectors, metadata, one classifier per cell."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance
from kitlib.errors import known_name
from kitlib.inputs.slices import SliceDataset
from kitlib.models.base import CURVE_COLUMNS, Model
from kitlib.models.common.cell_table import METADATA_FILE, StudyTable
from kitlib.models.common.training_rows import SAMPLERS

if TYPE_CHECKING:
    from kitlib.models.pooled.classifiers import CellClassifiers

CLASSIFIERS = {
    "svc": "kitlib.models.pooled.classifiers:SVCClassifiers",
    "lightgbm": "kitlib.models.pooled.trees:LightGBMClassifiers",
    "xgboost": "kitlib.models.pooled.trees:XGBoostClassifiers",
    "bagging": "kitlib.models.pooled.trees:BaggingClassifiers",
    "networks": "kitlib.models.pooled.cell_networks:NetworkClassifiers",
}
"""Import paths: the classes import torch, LightGBM or XGBoost, which listing models must not."""
POOLINGS = ("average", "attention")


@dataclass
class PooledModel(Model):
    """One classifier for each of the 25 cells, all on the same row per study.

    The row holds a vector per sequence, whether the sequence is present, and the imputed, encoded metadata.
    """

    name: ClassVar[str] = "pooled"

    pooling: str = "average"
    width: int = 512  # of the learned projection; 0: the backbone's own
    sampling: str = "none"
    classifier: str = "svc"
    weighted: bool = False
    balanced: bool = True  # of an SVC: both sides of a threshold have the same total weight
    trees: int = 20  # of one booster
    bags: int = 6  # of bagged boosters
    embedder_epochs: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        known_name(self.pooling, POOLINGS, f"{self.name}.pooling")
        known_name(self.classifier, CLASSIFIERS, f"{self.name}.classifier")
        known_name(self.sampling, SAMPLERS, "sampling")

    def shared_stage(self) -> tuple[str, int, int]:
        """Key of the embedder, which all classifiers with one pooling, width and number of epochs share."""
        return self.pooling, self.width, self.embedder_epochs

    def _fit(self, data: SliceDataset, labels: np.ndarray, seed: int) -> None:
        from kitlib.models.pooled.embedder import fit_embedder, stopping_split

        self.embedder = fit_embedder(data, labels, self.prior, *self.shared_stage(), seed)
        self.table = StudyTable.fit(data.metadata, seed=seed)
        _, held_out = stopping_split(labels, seed=seed)
        self.classifiers = self._classifiers(seed).fit(self._rows(data), labels, held_out)
        for note in (*self.classifiers.notes, self.embedder.note):
            self.note(note)
        own = pd.DataFrame(self.classifiers.curve, columns=list(CURVE_COLUMNS)).assign(part=self.classifier)
        curves = [curve for curve in (self.embedder.curve, own) if len(curve)]
        self.curve = pd.concat(curves) if curves else own

    def _predict(self, data: SliceDataset) -> np.ndarray:
        return self.classifiers.predict(self._rows(data))

    def _rows(self, data: SliceDataset) -> np.ndarray:
        """(n, columns) float64."""
        vectors, present = self.embedder.transform(data)
        return np.hstack([vectors.reshape(len(vectors), -1), present, self.table.transform(data.metadata)])

    def _classifiers(self, seed: int = 0) -> "CellClassifiers":
        module, _, name = CLASSIFIERS[self.classifier].partition(":")
        return getattr(import_module(module), name)(self, seed)

    def _save(self, folder: Path, provenance: Provenance) -> None:
        self.embedder.save(folder, provenance)
        self.table.save(folder / METADATA_FILE, provenance)
        self.classifiers.save(folder, provenance)

    def _load(self, folder: Path) -> None:
        from kitlib.models.pooled.embedder import StudyEmbedder

        self.embedder = StudyEmbedder.load(folder)
        self.table = StudyTable.load(folder / METADATA_FILE)
        self.classifiers = self._classifiers().load(folder)
