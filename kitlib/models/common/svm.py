"""Support vector machines as arrays, and their decisions as probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from scipy.spatial.distance import cdist

from kitlib.artefacts import Provenance, facts_of, load_tensors, save_tensors
from kitlib.competition.metric import group2cells
from kitlib.models.common.softmax import fit_softmax, softmax
from kitlib.terms import EMPTY

THRESHOLDS = (1, 2)
"""Severities are ordered: one decision asks for Moderate or worse, one for Severe."""


@dataclass(frozen=True, eq=False)
class RBFSVM:
    """A two-class support vector machine with a radial kernel, as arrays."""

    support: np.ndarray  # (vectors, columns)
    dual: np.ndarray  # (vectors,)
    gamma: float
    intercept: float

    @classmethod
    def silent(cls, columns: int) -> Self:
        """A machine that decides 0 on every row: it has seen one class only."""
        return cls(np.zeros((0, columns)), np.zeros(0), 1.0, 0.0)

    @classmethod
    def fit(
        cls,
        rows: np.ndarray,
        positive: np.ndarray,
        weights: np.ndarray,
        cost: float,
        *,
        balanced: bool = True,
    ) -> Self:
        """Fit on rows (n, columns) with weights (n,).

        Where `balanced`, a row counts as much more as its class is rarer than the other, times its weight.
        """
        from sklearn.svm import SVC  # half a second

        if positive.all() or not positive.any():
            return cls.silent(rows.shape[1])
        gamma = 1 / (rows.shape[1] * max(float(rows.var()), 1e-12))
        svc = SVC(C=cost, gamma=gamma, class_weight="balanced" if balanced else None)
        svc.fit(rows, positive, sample_weight=weights)
        return cls(svc.support_vectors_, svc.dual_coef_[0], gamma, float(svc.intercept_[0]))

    def decide(self, rows: np.ndarray) -> np.ndarray:
        """Signed distances (n,) of rows (n, columns): positive for the positive class."""
        return np.exp(-self.gamma * cdist(rows, self.support, "sqeuclidean")) @ self.dual + self.intercept


@dataclass(frozen=True, eq=False)
class Calibration:
    """From decisions to probabilities: per condition group a softmax regression on top of the log prior.

    Fit it on decisions about rows that the machines have not been fitted on: those on their own rows lie.
    """

    log_prior: np.ndarray  # (25, 3)
    coefficients: dict[str, np.ndarray]  # per group (decisions + 1, 3); a group without labels is absent

    @classmethod
    def fit(cls, decisions: np.ndarray, labels: np.ndarray, prior: np.ndarray, *, penalty: float) -> Self:
        """From decisions (n, 25, 2) and labels (n, 25) with EMPTY; `penalty` pulls to the prior."""
        log_prior, coefficients = np.log(prior), {}
        offsets = np.broadcast_to(log_prior, (*labels.shape, log_prior.shape[1]))
        for group, cells in group2cells.items():
            labelled = labels[:, cells] != EMPTY
            if labelled.any():
                coefficients[group] = fit_softmax(
                    decisions[:, cells][labelled],
                    offsets[:, cells][labelled],
                    labels[:, cells][labelled],
                    penalty=penalty,
                )
        return cls(log_prior, coefficients)

    def probabilities(self, decisions: np.ndarray) -> np.ndarray:
        """(n, 25, 3) of decisions (n, 25, 2); the prior where nothing was known to calibrate on."""
        logits = np.tile(self.log_prior, (len(decisions), 1, 1))
        for group, coefficients in self.coefficients.items():
            cells = group2cells[group]
            logits[:, cells] += decisions[:, cells] @ coefficients[:-1] + coefficients[-1]
        return softmax(logits)

    def to_json(self) -> dict[str, list[list[float]]]:
        """The coefficients as plain values."""
        return {group: coefficients.tolist() for group, coefficients in self.coefficients.items()}

    @classmethod
    def from_json(cls, values: dict[str, list[list[float]]], prior: np.ndarray) -> Self:
        """The calibration that `to_json` described, on top of a prior (25, 3)."""
        return cls(np.log(prior), {group: np.array(coefficients) for group, coefficients in values.items()})


def save_machines(path: Path, machines: Mapping[str, Sequence[RBFSVM]], provenance: Provenance) -> None:
    """Save machines by name, as many for each name as there are THRESHOLDS."""
    import torch

    tensors: dict[str, torch.Tensor] = {}
    for name, ours in machines.items():
        for threshold, machine in zip(THRESHOLDS, ours):
            scalars = np.array([machine.gamma, machine.intercept])
            parts = {"support": machine.support, "dual": machine.dual, "scalars": scalars}
            tensors |= {
                f"{name}.{threshold}.{part}": torch.from_numpy(values) for part, values in parts.items()
            }
    save_tensors(path, tensors, provenance, names=list(machines))


def load_machines(path: Path) -> dict[str, list[RBFSVM]]:
    """Open what `save_machines` wrote."""
    arrays = {name: tensor.numpy() for name, tensor in load_tensors(path).items()}

    def machine(prefix: str) -> RBFSVM:
        gamma, intercept = arrays[f"{prefix}.scalars"].tolist()
        return RBFSVM(arrays[f"{prefix}.support"], arrays[f"{prefix}.dual"], gamma, intercept)

    return {name: [machine(f"{name}.{least}") for least in THRESHOLDS] for name in facts_of(path)["names"]}
