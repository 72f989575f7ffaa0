"""Softmax regressions on top of given logits: they start from them and are regularised towards them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from scipy.special import softmax

from kitlib.artefacts import Provenance, load_json, save_json
from kitlib.competition.metric import group2cells
from kitlib.terms import EMPTY, SEVERITY_WEIGHTS


@dataclass(frozen=True, eq=False)
class SoftmaxRegressions:
    """Map rows about cells to probabilities: one regression per condition group, on top of the log prior.

    To calibrate decisions, fit on rows that the classifiers were not fitted on: decisions about their own
    training rows are overconfident.
    """

    log_prior: np.ndarray  # (25, 3)
    coefficients: dict[str, np.ndarray]  # per group (columns + 1, 3); a group without labels is absent

    @classmethod
    def fit(cls, rows: np.ndarray, labels: np.ndarray, prior: np.ndarray, *, penalty: float) -> Self:
        """Fit on rows (n, 25, columns) and labels (n, 25) with EMPTY; `penalty` pulls towards the prior."""
        log_prior, coefficients = np.log(prior), {}
        offsets = np.broadcast_to(log_prior, (*labels.shape, log_prior.shape[1]))
        for group, cells in group2cells.items():
            labelled = labels[:, cells] != EMPTY
            if labelled.any():
                coefficients[group] = fit_softmax(
                    cls._of_cells(rows, cells)[labelled],
                    offsets[:, cells][labelled],
                    labels[:, cells][labelled],
                    penalty=penalty,
                )
        return cls(log_prior, coefficients)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Predict probabilities (n, 25, 3) of rows (n, 25, columns); the prior for a group without labels."""
        logits = np.tile(self.log_prior, (len(rows), 1, 1))
        for group, coefficients in self.coefficients.items():
            cells = group2cells[group]
            logits[:, cells] += self._of_cells(rows, cells) @ coefficients[:-1] + coefficients[-1]
        return softmax(logits, axis=-1)

    def save(self, path: Path, provenance: Provenance) -> None:
        """Save the coefficients as JSON."""
        save_json(path, {group: array.tolist() for group, array in self.coefficients.items()}, provenance)

    @classmethod
    def load(cls, path: Path, prior: np.ndarray) -> Self:
        """Load what `save` wrote, on top of a prior (25, 3)."""
        return cls(np.log(prior), {group: np.array(values) for group, values in load_json(path).items()})

    @staticmethod
    def _of_cells(rows: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """The rows (n, cells, columns) of some cells."""
        return rows[:, cells]


def fit_softmax(
    rows: np.ndarray, offsets: np.ndarray, severities: np.ndarray, *, penalty: float
) -> np.ndarray:
    """Fit coefficients (columns + 1, 3), the last row the intercepts: logits = offsets + rows @ coefficients.

    They minimise the mean log loss, weighted 1/2/4, plus `penalty` / (2 n) times their sum of squares.
    """
    from scipy.optimize import minimize  # half a second

    design = np.hstack([rows, np.ones((len(rows), 1))])
    weights = np.take(SEVERITY_WEIGHTS, severities) / np.take(SEVERITY_WEIGHTS, severities).sum()
    truth = np.eye(offsets.shape[1])[severities]
    shape = (design.shape[1], offsets.shape[1])
    ridge = penalty / len(rows)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        coefficients = flat.reshape(shape)
        probabilities = softmax(offsets + design @ coefficients, axis=-1)
        log_loss = -weights @ np.log(np.maximum((probabilities * truth).sum(axis=1), 1e-300))
        gradient = design.T @ ((probabilities - truth) * weights[:, None]) + ridge * coefficients
        return log_loss + ridge / 2 * flat @ flat, gradient.ravel()

    return minimize(loss, np.zeros(np.prod(shape)), jac=True, method="L-BFGS-B").x.reshape(shape)
