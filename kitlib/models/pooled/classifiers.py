"""25 classifiers, one per cell, as one object: resampled, fitted and calibrated to probabilities."""

from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from kitlib.artefacts import Provenance, load_array, save_array
from kitlib.models.common.softmax import SoftmaxRegressions
from kitlib.models.common.svm import RBFSVM, THRESHOLDS, load_machines, save_machines
from kitlib.models.common.training_rows import resampled
from kitlib.terms import CELL_NAMES, EMPTY, SEVERITIES, SEVERITY_WEIGHTS

if TYPE_CHECKING:
    from kitlib.models.pooled.model import PooledModel

CALIBRATION_FILE = "calibration.json"
CENTRES_FILE = "centres.npy"
MACHINES_FILE = "machines.safetensors"
SPAN_FILE = "span.npy"
PENALTY = 2.0
COST = 1.0


class CellClassifiers(ABC):
    """Base class of the classifiers of all cells; rows are (n, columns), one per study."""

    def __init__(self, settings: "PooledModel", seed: int) -> None:
        self.settings, self.prior, self.seed = settings, settings.prior, seed
        self.counted = SEVERITY_WEIGHTS if settings.weighted else (1,) * len(SEVERITIES)
        """Weight of a training row by its severity."""
        self.curve: list[dict[str, Any]] = []  # empty for classifiers without one
        self.sampler_notes: list[str] = []  # one per cell

    @property
    def notes(self) -> list[str]:
        """What a user should know about the fit."""
        counts = Counter(note for note in self.sampler_notes if note)
        return [f"{note} ({count} of {len(CELL_NAMES)} cells)" for note, count in counts.items()]

    def _sampled(self, rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Resample the rows that have a label (n,) of one cell; also returns their severities."""
        known, sampling = labels != EMPTY, self.settings.sampling
        rows, severities, note = resampled(sampling, rows[known], labels[known], seed=self.seed)
        self.sampler_notes.append(note)
        return rows, severities

    @abstractmethod
    def fit(self, rows: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> Self:
        """Fit on rows (n, columns) and labels (n, 25); stop or calibrate on the held-out positions."""

    @abstractmethod
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Predict probabilities (n, 25, 3), none of them 0; a cell trained on one severity has its prior."""

    @abstractmethod
    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save into a model's folder."""

    @abstractmethod
    def load(self, folder: Path) -> Self:
        """Load what `save` wrote."""


class CalibratedClassifiers(CellClassifiers):
    """One classifier per cell on resampled rows, calibrated on a first fit's decisions about held-out rows.

    A classifier makes one decision per threshold: is a row Moderate or worse, is it Severe? Decisions are
    signed, and 0 without evidence. They are centred on the training rows, so that the average study stays
    near its prior; calibration corrects the shift that resampling and overfitting cause.
    """

    centres: np.ndarray  # (25, 2)

    def fit(self, rows: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> Self:
        """See the base class: one fit without the held-out positions, then one on all."""
        first = np.delete(np.arange(len(rows)), held_out)
        self._fit_cells(rows[first], labels[first])
        decisions = self._decisions(rows[held_out]) - self.centres
        self.calibration = SoftmaxRegressions.fit(decisions, labels[held_out], self.prior, penalty=PENALTY)
        self._fit_cells(rows, labels)
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """See the base class."""
        decisions = self._decisions(rows) - self.centres
        probabilities = self.calibration.predict(decisions)
        silent = [name not in self.classifiers for name in CELL_NAMES]
        probabilities[:, silent] = self.prior[silent]
        return probabilities

    def save(self, folder: Path, provenance: Provenance) -> None:
        """See the base class; subclasses save the classifiers themselves."""
        save_array(folder / CENTRES_FILE, self.centres, provenance)
        self.calibration.save(folder / CALIBRATION_FILE, provenance)

    def load(self, folder: Path) -> Self:
        """See the base class."""
        self.centres = load_array(folder / CENTRES_FILE)
        self.calibration = SoftmaxRegressions.load(folder / CALIBRATION_FILE, self.prior)
        return self

    def _fit_cells(self, rows: np.ndarray, labels: np.ndarray) -> None:
        """Fit the cells with two severities or more, and compute their mean decisions (25, 2)."""
        self.classifiers: dict[str, Any] = {}
        self.sampler_notes = []
        for name, column in zip(CELL_NAMES, labels.T):
            if len(np.unique(column[column != EMPTY])) > 1:
                sampled, severities = self._sampled(rows, column)
                weights = np.take(self.counted, severities).astype(float)
                self.classifiers[name] = self._fit_cell(sampled, severities, weights)
        self.centres = self._decisions(rows).mean(axis=0)

    def _decisions(self, rows: np.ndarray) -> np.ndarray:
        """Compute decisions (n, 25, 2) about rows, 0 for a cell without a classifier."""
        decisions = np.zeros((len(rows), len(CELL_NAMES), len(THRESHOLDS)))
        for cell, name in enumerate(CELL_NAMES):
            if name in self.classifiers and len(rows):
                decisions[:, cell] = self._decide(self.classifiers[name], rows)
        return decisions

    @abstractmethod
    def _fit_cell(self, rows: np.ndarray, severities: np.ndarray, weights: np.ndarray) -> Any:
        """Fit a cell's classifier on rows (n, columns) of two severities or more, with weights (n,)."""

    @abstractmethod
    def _decide(self, classifier: Any, rows: np.ndarray) -> np.ndarray:
        """Compute a cell's decisions (n, 2), one per threshold, about rows (n, columns)."""


class SVCClassifiers(CalibratedClassifiers):
    """One support vector machine per threshold; if `balanced`, both classes have the same total weight.

    The kernel depends on distances only, so rows are expressed in a basis of their span.
    """

    def fit(self, rows: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> Self:
        """See the base class."""
        self.centre = rows.mean(axis=0)
        _, lengths, axes = np.linalg.svd(rows - self.centre, full_matrices=False)
        self.span = axes[lengths > 1e-6 * max(lengths[0], 1e-12)]
        return super().fit(self._in_span(rows), labels, held_out)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """See the base class."""
        return super().predict(self._in_span(rows))

    def save(self, folder: Path, provenance: Provenance) -> None:
        """See the base class."""
        super().save(folder, provenance)
        save_machines(folder / MACHINES_FILE, self.classifiers, provenance)
        save_array(folder / SPAN_FILE, np.vstack([self.centre, self.span]), provenance)

    def load(self, folder: Path) -> Self:
        """See the base class."""
        self.classifiers = load_machines(folder / MACHINES_FILE)
        stacked = load_array(folder / SPAN_FILE)
        self.centre, self.span = stacked[0], stacked[1:]
        return super().load(folder)

    def _in_span(self, rows: np.ndarray) -> np.ndarray:
        """Coordinates in the span of the training rows, and the distance from it.

        A few hundred columns instead of thousands make the machines fast, and small on disk.
        """
        centred = rows - self.centre
        inside = centred @ self.span.T
        outside = np.linalg.norm(centred - inside @ self.span, axis=1, keepdims=True)
        return np.hstack([inside, outside])

    def _fit_cell(self, rows: np.ndarray, severities: np.ndarray, weights: np.ndarray) -> list[RBFSVM]:
        balanced = self.settings.balanced
        return [RBFSVM.fit(rows, severities >= least, weights, COST, balanced) for least in THRESHOLDS]

    def _decide(self, classifier: list[RBFSVM], rows: np.ndarray) -> np.ndarray:
        return np.stack([machine.decide(rows) for machine in classifier], axis=1)
