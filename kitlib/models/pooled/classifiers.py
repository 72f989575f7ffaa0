"""25 classifiers, one a cell: sampled, fitted and brought to probabilities, as one object."""

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
    """What the classifiers of all cells have in common; rows are (n, columns), one a study."""

    def __init__(self, settings: "PooledModel", seed: int) -> None:
        self.settings, self.prior, self.seed = settings, settings.prior, seed
        self.counted = SEVERITY_WEIGHTS if settings.weighted else (1,) * len(SEVERITIES)
        """How often a training row counts, by its severity."""
        self.curve: list[dict[str, Any]] = []  # of classifiers that have one
        self.sampler_notes: list[str] = []  # one a cell

    @property
    def notes(self) -> list[str]:
        """What a user should know of the fit."""
        counts = Counter(note for note in self.sampler_notes if note)
        return [f"{note} ({count} of {len(CELL_NAMES)} cells)" for note, count in counts.items()]

    def _sampled(self, rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A sample of the rows that have a label (n,) of one cell, and their severities."""
        known, sampling = labels != EMPTY, self.settings.sampling
        rows, severities, note = resampled(sampling, rows[known], labels[known], seed=self.seed)
        self.sampler_notes.append(note)
        return rows, severities

    @abstractmethod
    def fit(self, rows: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> Self:
        """Fit on rows (n, columns) with labels (n, 25); the positions held out stop and calibrate."""

    @abstractmethod
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities (n, 25, 3), none of them 0; a cell of one severity has its prior."""

    @abstractmethod
    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save into a model's folder."""

    @abstractmethod
    def load(self, folder: Path) -> Self:
        """Open what `save` wrote."""


class CalibratedClassifiers(CellClassifiers):
    """A classifier a cell on sampled rows, calibrated on what a first fit says of rows it did not see.

    A classifier makes one decision a threshold: is a row Moderate or worse, is it Severe? Decisions are
    signed, 0 where it has nothing to go by. They are centred on the training rows, so that the average study
    keeps about its prior; sampling and overfitting have moved them, and calibration brings them back.
    """

    centres: np.ndarray  # (25, 2)

    def fit(self, rows: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> Self:
        """As the base says: one fit without the positions held out, and then one on all."""
        first = np.delete(np.arange(len(rows)), held_out)
        self._fit_cells(rows[first], labels[first])
        decisions = self._decisions(rows[held_out]) - self.centres
        self.calibration = SoftmaxRegressions.fit(decisions, labels[held_out], self.prior, penalty=PENALTY)
        self._fit_cells(rows, labels)
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """As the base says."""
        decisions = self._decisions(rows) - self.centres
        probabilities = self.calibration.predict(decisions)
        silent = [name not in self.classifiers for name in CELL_NAMES]
        probabilities[:, silent] = self.prior[silent]
        return probabilities

    def save(self, folder: Path, provenance: Provenance) -> None:
        """As the base says; classifiers are saved by those who know what they are."""
        save_array(folder / CENTRES_FILE, self.centres, provenance)
        self.calibration.save(folder / CALIBRATION_FILE, provenance)

    def load(self, folder: Path) -> Self:
        """As the base says."""
        self.centres = load_array(folder / CENTRES_FILE)
        self.calibration = SoftmaxRegressions.load(folder / CALIBRATION_FILE, self.prior)
        return self

    def _fit_cells(self, rows: np.ndarray, labels: np.ndarray) -> None:
        """Fit the cells with two severities or more, and take their mean decisions (25, 2)."""
        self.classifiers: dict[str, Any] = {}
        self.sampler_notes = []
        for name, column in zip(CELL_NAMES, labels.T):
            if len(np.unique(column[column != EMPTY])) > 1:
                sampled, severities = self._sampled(rows, column)
                weights = np.take(self.counted, severities).astype(float)
                self.classifiers[name] = self._fit_cell(sampled, severities, weights)
        self.centres = self._decisions(rows).mean(axis=0)

    def _decisions(self, rows: np.ndarray) -> np.ndarray:
        """Decisions (n, 25, 2) about rows, 0 for a cell without a classifier."""
        decisions = np.zeros((len(rows), len(CELL_NAMES), len(THRESHOLDS)))
        for cell, name in enumerate(CELL_NAMES):
            if name in self.classifiers and len(rows):
                decisions[:, cell] = self._decide(self.classifiers[name], rows)
        return decisions

    @abstractmethod
    def _fit_cell(self, rows: np.ndarray, severities: np.ndarray, weights: np.ndarray) -> Any:
        """The classifier of a cell, from rows (n, columns) of two severities or more, with weights (n,)."""

    @abstractmethod
    def _decide(self, classifier: Any, rows: np.ndarray) -> np.ndarray:
        """A cell's decisions (n, 2), one a threshold, about rows (n, columns)."""


class SVCClassifiers(CalibratedClassifiers):
    """A support vector machine a threshold; if `balanced`, its two sides count alike, however many rows.

    Its kernel sees distances only, so rows are turned into what spans them.
    """

    def fit(self, rows: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> Self:
        """As the base says."""
        self.centre = rows.mean(axis=0)
        _, lengths, axes = np.linalg.svd(rows - self.centre, full_matrices=False)
        self.span = axes[lengths > 1e-6 * max(lengths[0], 1e-12)]
        return super().fit(self._in_span(rows), labels, held_out)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """As the base says."""
        return super().predict(self._in_span(rows))

    def save(self, folder: Path, provenance: Provenance) -> None:
        """As the base says."""
        super().save(folder, provenance)
        save_machines(folder / MACHINES_FILE, self.classifiers, provenance)
        save_array(folder / SPAN_FILE, np.vstack([self.centre, self.span]), provenance)

    def load(self, folder: Path) -> Self:
        """As the base says."""
        self.classifiers = load_machines(folder / MACHINES_FILE)
        stacked = load_array(folder / SPAN_FILE)
        self.centre, self.span = stacked[0], stacked[1:]
        return super().load(folder)

    def _in_span(self, rows: np.ndarray) -> np.ndarray:
        """Coordinates in the span of the training rows, and the distance from it: all distances are kept.

        A few hundred columns in place of thousands make machines that are quick, and small on disk.
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
