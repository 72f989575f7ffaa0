"""25 classifiers, one a cell: sampled, fitted and brought to probabilities, as one object."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from kitlib.artefacts import Provenance, load_array, load_json, save_array, save_json
from kitlib.models.common.sampling import Sampler
from kitlib.models.common.svm import THRESHOLDS, Calibration
from kitlib.models.pooled.threshold_classifiers import (
    BaggingThresholdClassifier,
    LightGBMThresholdClassifier,
    SVCThresholdClassifier,
    ThresholdClassifier,
    XGBoostThresholdClassifier,
)
from kitlib.terms import CELL_NAMES, EMPTY

CALIBRATION_FILE = "calibration.json"
CENTRES_FILE = "centres.npy"
PENALTY = 2.0


@dataclass
class CellClassifiers(ABC):
    """What the classifiers of all cells have in common; rows are (n, columns), one a study."""

    sampling: str
    weighted: bool
    balanced: bool = True
    trees: int = 20  # of one booster
    bags: int = 6  # of bagged boosters
    curve: list[dict[str, Any]] = field(default_factory=list)  # of classifiers that have one
    sampler_notes: list[str] = field(default_factory=list)  # one a cell

    @property
    def notes(self) -> list[str]:
        """What a user should know of the fit."""
        counts = Counter(note for note in self.sampler_notes if note)
        return [f"{note} ({count} of {len(CELL_NAMES)} cells)" for note, count in counts.items()]

    @abstractmethod
    def fit(
        self, rows: np.ndarray, labels: np.ndarray, held_out: np.ndarray, prior: np.ndarray, *, seed: int
    ) -> Self:
        """Fit on rows (n, columns) with labels (n, 25); the positions held out stop and calibrate."""

    @abstractmethod
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities (n, 25, 3), none of them 0; a cell of one severity has its prior."""

    @abstractmethod
    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save into a model's folder."""

    @abstractmethod
    def load(self, folder: Path, prior: np.ndarray) -> Self:
        """Open what `save` wrote."""


@dataclass
class CalibratedClassifiers(CellClassifiers):
    """A classifier a cell on sampled rows, calibrated on what a first fit says of rows it did not see.

    Decisions are centred on the training rows, so that the average study keeps about its prior.
    """

    classifier: ClassVar[type[ThresholdClassifier]]

    def fit(
        self, rows: np.ndarray, labels: np.ndarray, held_out: np.ndarray, prior: np.ndarray, *, seed: int
    ) -> Self:
        """As the base says: one fit without the positions held out, and then one on all."""
        rows = self._fit_rows(rows)
        first = np.delete(np.arange(len(rows)), held_out)
        classifiers, centres = self._fit_cells(rows[first], labels[first], seed)
        decisions = _decisions(classifiers, rows[held_out]) - centres
        self.calibration = Calibration.fit(decisions, labels[held_out], prior, penalty=PENALTY)
        self.classifiers, self.centres = self._fit_cells(rows, labels, seed)
        self.prior = prior
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """As the base says."""
        probabilities = self.calibration.probabilities(
            _decisions(self.classifiers, self._rows(rows)) - self.centres
        )
        silent = [name not in self.classifiers for name in CELL_NAMES]
        probabilities[:, silent] = self.prior[silent]
        return probabilities

    def save(self, folder: Path, provenance: Provenance) -> None:
        """As the base says."""
        self.classifier.save_all(self.classifiers, folder, provenance)
        save_array(folder / CENTRES_FILE, self.centres, provenance)
        save_json(folder / CALIBRATION_FILE, self.calibration.to_json(), provenance)

    def load(self, folder: Path, prior: np.ndarray) -> Self:
        """As the base says."""
        self.prior = prior
        self.classifiers = self.classifier.load_all(folder)
        self.centres = load_array(folder / CENTRES_FILE)
        self.calibration = Calibration.from_json(load_json(folder / CALIBRATION_FILE), prior)
        return self

    def _fit_rows(self, rows: np.ndarray) -> np.ndarray:
        """What classifiers read of the training rows."""
        return rows

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        """What classifiers read of any rows."""
        return rows

    def _fit_cells(
        self, rows: np.ndarray, labels: np.ndarray, seed: int
    ) -> tuple[dict[str, ThresholdClassifier], np.ndarray]:
        """Classifiers of the cells with two severities or more, and their mean decisions (25, 2)."""
        classifiers: dict[str, ThresholdClassifier] = {}
        self.sampler_notes = []
        for cell, name in enumerate(CELL_NAMES):
            labelled = labels[:, cell] != EMPTY
            if len(np.unique(labels[labelled, cell])) < 2:
                continue
            sampler = Sampler(self.sampling, seed)
            sampled, severities = sampler.fit_resample(rows[labelled], labels[labelled, cell])
            classifiers[name] = self.classifier(
                weighted=self.weighted, balanced=self.balanced, trees=self.trees, bags=self.bags, seed=seed
            ).fit(sampled, severities)
            self.sampler_notes.append(sampler.note_)
        return classifiers, _decisions(classifiers, rows).mean(axis=0)


@dataclass
class SVCClassifiers(CalibratedClassifiers):
    """Support vector machines. Their kernel sees distances only, so rows are turned into what spans them."""

    classifier: ClassVar[type[ThresholdClassifier]] = SVCThresholdClassifier
    SPAN_FILE: ClassVar[str] = "span.npy"

    def save(self, folder: Path, provenance: Provenance) -> None:
        """As the base says."""
        super().save(folder, provenance)
        save_array(folder / self.SPAN_FILE, np.vstack([self.centre, self.span]), provenance)

    def load(self, folder: Path, prior: np.ndarray) -> Self:
        """As the base says."""
        stacked = load_array(folder / self.SPAN_FILE)
        self.centre, self.span = stacked[0], stacked[1:]
        return super().load(folder, prior)

    def _fit_rows(self, rows: np.ndarray) -> np.ndarray:
        self.centre = rows.mean(axis=0)
        _, lengths, axes = np.linalg.svd(rows - self.centre, full_matrices=False)
        self.span = axes[lengths > 1e-6 * max(lengths[0], 1e-12)]
        return self._rows(rows)

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        """Coordinates in the span of the training rows, and the distance from it: all distances are kept.

        A few hundred columns in place of thousands make machines that are quick, and small on disk.
        """
        centred = rows - self.centre
        inside = centred @ self.span.T
        outside = np.linalg.norm(centred - inside @ self.span, axis=1, keepdims=True)
        return np.hstack([inside, outside])


@dataclass
class LightGBMClassifiers(CalibratedClassifiers):
    """LightGBM."""

    classifier: ClassVar[type[ThresholdClassifier]] = LightGBMThresholdClassifier


@dataclass
class XGBoostClassifiers(CalibratedClassifiers):
    """XGBoost."""

    classifier: ClassVar[type[ThresholdClassifier]] = XGBoostThresholdClassifier


@dataclass
class BaggingClassifiers(CalibratedClassifiers):
    """Bagged XGBoost."""

    classifier: ClassVar[type[ThresholdClassifier]] = BaggingThresholdClassifier


def _decisions(classifiers: Mapping[str, ThresholdClassifier], rows: np.ndarray) -> np.ndarray:
    """Decisions (n, 25, 2) about rows, 0 for a cell without a classifier."""
    decisions = np.zeros((len(rows), len(CELL_NAMES), len(THRESHOLDS)))
    for cell, name in enumerate(CELL_NAMES):
        if name in classifiers and len(rows):
            decisions[:, cell] = classifiers[name].decision_function(rows)
    return decisions
