"""`svc`: support vector machines on the cells of `lightgbm`, their decisions turned into probabilities."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.svm import SVC

from kitlib.artefacts import Provenance, facts_of, load_array, load_json, save_array, save_json
from kitlib.competition.metric import group2cells
from kitlib.embed.features import Features
from kitlib.models.base import Model
from kitlib.models.cell_table import CellTable
from kitlib.models.inner import inner_splits
from kitlib.models.sampling import check_sampling, resample
from kitlib.models.softmax import fit_softmax, softmax
from kitlib.terms import EMPTY, SEVERITIES, SEVERITY_WEIGHTS

CALIBRATIONS_FILE = "calibrations.json"
THRESHOLDS = (1, 2)
"""Severities are ordered: one machine asks for Moderate or worse, one for Severe."""


@dataclass
class SVCModel(Model):
    """Two machines a condition group; their cross-validated decisions are calibrated on top of the prior."""

    name: ClassVar[str] = "svc"

    components: int = 24
    cost: float = 0.3
    penalty: float = 2.0
    inner_parts: int = 4
    sampling: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sampling(self.sampling)
        self.machines: dict[str, list[Machine]] = {}
        self.calibrations: dict[str, np.ndarray] = {}

    def _fit(self, features: Features, labels: np.ndarray, seed: int) -> None:
        self.table = CellTable().fit(features, self.prior, components=self.components, seed=seed)
        rows = self.table.transform(features)
        splits = inner_splits(labels, self.inner_parts, seed=seed)
        self.machines, self.calibrations = {}, {}
        for group, cells in group2cells.items():
            if (labels[:, cells] != EMPTY).any():
                self._fit_group(group, rows[:, cells], labels[:, cells], splits, seed)

    def _fit_group(
        self,
        group: str,
        rows: np.ndarray,
        labels: np.ndarray,
        splits: list[tuple[np.ndarray, np.ndarray]],
        seed: int,
    ) -> None:
        decisions = np.zeros((*labels.shape, len(THRESHOLDS)))
        for train, held_out in splits:
            decisions[held_out] = decide(self._machines(rows[train], labels[train], seed), rows[held_out])
        labelled = labels != EMPTY
        self.machines[group] = self._machines(rows, labels, seed)
        self.calibrations[group] = fit_softmax(
            decisions[labelled], rows[labelled][:, -len(SEVERITIES) :], labels[labelled], penalty=self.penalty
        )

    def _machines(self, rows: np.ndarray, labels: np.ndarray, seed: int) -> list["Machine"]:
        labelled = labels != EMPTY
        if not labelled.any():
            return [Machine.silent(rows.shape[-1]) for _ in THRESHOLDS]
        sampled, severities = resample(rows[labelled], labels[labelled], self.sampling, seed=seed)
        weights = np.take(SEVERITY_WEIGHTS, severities)
        return [Machine.fit(sampled, severities >= least, weights, self.cost) for least in THRESHOLDS]

    def _predict(self, features: Features) -> np.ndarray:
        rows = self.table.transform(features)
        logits = rows[..., -len(SEVERITIES) :].copy()
        for group, machines in self.machines.items():
            cells, calibration = group2cells[group], self.calibrations[group]
            logits[:, cells] += decide(machines, rows[:, cells]) @ calibration[:-1] + calibration[-1]
        return softmax(logits)

    def _save(self, folder: Path, provenance: Provenance) -> None:
        self.table.save(folder, provenance)
        for group, machines in self.machines.items():
            for least, machine in zip(THRESHOLDS, machines):
                machine.save(folder / f"{group}_{least}.npy", provenance)
        calibrations = {group: one.tolist() for group, one in self.calibrations.items()}
        save_json(folder / CALIBRATIONS_FILE, calibrations, provenance)

    def _load(self, folder: Path) -> None:
        self.table = CellTable.load(folder, self.prior)
        saved = load_json(folder / CALIBRATIONS_FILE)
        self.calibrations = {group: np.array(one) for group, one in saved.items()}
        self.machines = {
            group: [Machine.load(folder / f"{group}_{least}.npy") for least in THRESHOLDS] for group in saved
        }


@dataclass(frozen=True, eq=False)
class Machine:
    """A two-class support vector machine with a radial kernel, as arrays."""

    support: np.ndarray  # (vectors, columns)
    dual: np.ndarray  # (vectors,)
    gamma: float
    intercept: float

    @classmethod
    def silent(cls, columns: int) -> "Machine":
        """A machine that decides 0 on every row: it has seen one class only."""
        return cls(np.zeros((0, columns)), np.zeros(0), 1.0, 0.0)

    @classmethod
    def fit(cls, rows: np.ndarray, positive: np.ndarray, weights: np.ndarray, cost: float) -> "Machine":
        """Fit on rows (n, columns); the classes are balanced within the rows' weights."""
        if positive.all() or not positive.any():
            return cls.silent(rows.shape[1])
        gamma = 1 / (rows.shape[1] * rows.var())
        svc = SVC(C=cost, gamma=gamma, class_weight="balanced").fit(rows, positive, sample_weight=weights)
        return cls(svc.support_vectors_, svc.dual_coef_[0], gamma, float(svc.intercept_[0]))

    def decide(self, rows: np.ndarray) -> np.ndarray:
        """Signed distances (n,) of rows (n, columns): positive for the positive class."""
        return np.exp(-self.gamma * cdist(rows, self.support, "sqeuclidean")) @ self.dual + self.intercept

    def save(self, path: Path, provenance: Provenance) -> None:
        """Save as one array, the dual coefficients in its first column."""
        stacked = np.column_stack([self.dual, self.support])
        save_array(path, stacked, provenance, gamma=self.gamma, intercept=self.intercept)

    @classmethod
    def load(cls, path: Path) -> "Machine":
        """Open what `save` wrote."""
        stacked, facts = load_array(path), facts_of(path)
        return cls(stacked[:, 1:], stacked[:, 0], facts["gamma"], facts["intercept"])


def decide(machines: list[Machine], rows: np.ndarray) -> np.ndarray:
    """Decisions (n, cells, machines) on rows (n, cells, columns)."""
    flat = rows.reshape(-1, rows.shape[-1])
    decisions = [machine.decide(flat).reshape(rows.shape[:2]) for machine in machines]
    return np.stack(decisions, axis=-1)
