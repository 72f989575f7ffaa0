"""`svc`: support vector machines on the cell rows of `lightgbm`, calibrated to probabilities."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from kitlib.artefacts import Provenance
from kitlib.competition.metric import group2cells
from kitlib.errors import known_name
from kitlib.inputs.slices import SliceDataset
from kitlib.models.base import Model
from kitlib.models.common.cell_table import CellTable
from kitlib.models.common.softmax import SoftmaxRegressions
from kitlib.models.common.svm import RBFSVM, THRESHOLDS, load_machines, save_machines
from kitlib.models.common.training_rows import SAMPLERS, inner_splits, resampled
from kitlib.terms import EMPTY, SEVERITY_WEIGHTS

CALIBRATION_FILE = "calibration.json"
MACHINES_FILE = "machines.safetensors"


@dataclass
class SVCModel(Model):
    """Two machines per condition group; cross-validated decisions are calibrated on top of the prior."""

    name: ClassVar[str] = "svc"

    components: int = 24
    cost: float = 0.3
    penalty: float = 2.0
    inner_parts: int = 4
    sampling: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        known_name(self.sampling, SAMPLERS, "sampling")
        self.machines: dict[str, list[RBFSVM]] = {}

    def _fit(self, data: SliceDataset, labels: np.ndarray, seed: int) -> None:
        self.table = CellTable().fit(data, self.prior, components=self.components, seed=seed)
        rows = self.table.transform(data)
        decisions = np.zeros((*labels.shape, len(THRESHOLDS)))
        for train, held_out in inner_splits(labels, self.inner_parts, seed=seed):
            decisions[held_out] = decide(self._machines(rows[train], labels[train], seed), rows[held_out])
        self.machines = self._machines(rows, labels, seed)
        self.calibration = SoftmaxRegressions.fit(decisions, labels, self.prior, penalty=self.penalty)

    def _machines(self, rows: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, list[RBFSVM]]:
        """Fit the machines of each condition group on rows (n, 25, columns) with labels (n, 25)."""
        return {
            group: self._group_machines(rows[:, cells], labels[:, cells], seed)
            for group, cells in group2cells.items()
        }

    def _group_machines(self, rows: np.ndarray, labels: np.ndarray, seed: int) -> list[RBFSVM]:
        labelled = labels != EMPTY
        if not labelled.any():
            return [RBFSVM.silent(rows.shape[-1]) for _ in THRESHOLDS]
        sampled, severities, note = resampled(self.sampling, rows[labelled], labels[labelled], seed=seed)
        self.note(note)
        weights = np.take(SEVERITY_WEIGHTS, severities)
        return [RBFSVM.fit(sampled, severities >= least, weights, self.cost) for least in THRESHOLDS]

    def _predict(self, data: SliceDataset) -> np.ndarray:
        return self.calibration.predict(decide(self.machines, self.table.transform(data)))

    def _save(self, folder: Path, provenance: Provenance) -> None:
        self.table.save(folder, provenance)
        save_machines(folder / MACHINES_FILE, self.machines, provenance)
        self.calibration.save(folder / CALIBRATION_FILE, provenance)

    def _load(self, folder: Path) -> None:
        self.table = CellTable.load(folder, self.prior)
        self.machines = load_machines(folder / MACHINES_FILE)
        self.calibration = SoftmaxRegressions.load(folder / CALIBRATION_FILE, self.prior)


def decide(group2machines: dict[str, list[RBFSVM]], rows: np.ndarray) -> np.ndarray:
    """Compute decisions (n, 25, thresholds) for rows (n, 25, columns)."""
    decisions = np.zeros((*rows.shape[:2], len(THRESHOLDS)))
    for group, machines in group2machines.items():
        cells = group2cells[group]
        flat = rows[:, cells].reshape(-1, rows.shape[-1])
        for threshold, machine in enumerate(machines):
            decisions[:, cells, threshold] = machine.decide(flat).reshape(len(rows), len(cells))
    return decisions
