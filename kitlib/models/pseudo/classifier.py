"""The classifier that judges imputers: one and the same softmax regression, which is told what is real."""

from pathlib import Path
from typing import Self

import numpy as np

from kitlib.artefacts import Provenance, load_json, save_json
from kitlib.competition.metric import group2cells
from kitlib.models.common.positions import cell2level, cell2side
from kitlib.models.common.softmax import fit_softmax, softmax
from kitlib.terms import CELLS, EMPTY, LEVELS

CLASSIFIER_FILE = "classifier.json"
CELL_CODES = np.column_stack([np.ones(len(CELLS)), np.eye(len(LEVELS))[cell2level], cell2side])  # (25, 7)
"""Whom a coefficient is for: all cells of a condition group, those of one level, left against right."""


class ImputedClassifier:
    """One softmax regression a condition group on top of the log prior; it learns in seconds, and exactly."""

    def __init__(self, log_prior: np.ndarray, coefficients: dict[str, np.ndarray]) -> None:
        self.log_prior = log_prior  # (25, 3)
        self.coefficients = coefficients  # per group (7 columns + 1, 3)

    @classmethod
    def fit(cls, rows: np.ndarray, labels: np.ndarray, prior: np.ndarray, penalty: float) -> Self:
        """Learn from rows (n, columns) and labels (n, 25); a group without labels keeps the prior (25, 3)."""
        log_prior, coefficients = np.log(prior), {}
        for group, cells in group2cells.items():
            labelled = labels[:, cells] != EMPTY
            if labelled.any():
                offsets = np.broadcast_to(log_prior[cells], (len(rows), len(cells), 3))
                coefficients[group] = fit_softmax(
                    _design(rows, cells)[labelled],
                    offsets[labelled],
                    labels[:, cells][labelled],
                    penalty=penalty,
                )
        return cls(log_prior, coefficients)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities (n, 25, 3) from rows (n, columns)."""
        logits = np.tile(self.log_prior, (len(rows), 1, 1))
        for group, coefficients in self.coefficients.items():
            cells = group2cells[group]
            logits[:, cells] += _design(rows, cells) @ coefficients[:-1] + coefficients[-1]
        return softmax(logits)

    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save the coefficients into a folder."""
        content = {group: array.tolist() for group, array in self.coefficients.items()}
        save_json(Path(folder) / CLASSIFIER_FILE, content, provenance)

    @classmethod
    def load(cls, folder: Path, prior: np.ndarray) -> Self:
        """Open what `save` wrote."""
        content = load_json(Path(folder) / CLASSIFIER_FILE)
        return cls(np.log(prior), {group: np.array(values) for group, values in content.items()})


def _design(rows: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Each study's row (n, columns) for each code of each cell: (n, cells, 7 columns)."""
    coded = CELL_CODES[cells][None, :, :, None] * rows[:, None, None, :]
    return coded.reshape(len(rows), len(cells), -1)
