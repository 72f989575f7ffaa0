"""Support vector machines as arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from scipy.spatial.distance import cdist

from kitlib.artefacts import Provenance, facts_of, load_tensors, save_tensors

THRESHOLDS = (1, 2)
"""Severities are ordered: one decision is for Moderate or worse, one for Severe."""


@dataclass(frozen=True, eq=False)
class RBFSVM:
    """A two-class support vector machine with a radial kernel, as arrays."""

    support: np.ndarray  # (vectors, columns)
    dual: np.ndarray  # (vectors,)
    gamma: float
    intercept: float

    @classmethod
    def silent(cls, columns: int) -> Self:
        """Return a machine that decides 0 on every row, for training rows of a single class."""
        return cls(np.zeros((0, columns)), np.zeros(0), 1.0, 0.0)

    @classmethod
    def fit(
        cls, rows: np.ndarray, positive: np.ndarray, weights: np.ndarray, cost: float, balanced: bool = True
    ) -> Self:
        """Fit on rows (n, columns) with weights (n,).

        If `balanced`, each row's weight is also divided by the frequency of its class.
        """
        from sklearn.svm import SVC  # half a second

        if positive.all() or not positive.any():
            return cls.silent(rows.shape[1])
        gamma = 1 / (rows.shape[1] * max(float(rows.var()), 1e-12))
        svc = SVC(C=cost, gamma=gamma, class_weight="balanced" if balanced else None)
        svc.fit(rows, positive, sample_weight=weights)
        return cls(svc.support_vectors_, svc.dual_coef_[0], gamma, float(svc.intercept_[0]))

    def decide(self, rows: np.ndarray) -> np.ndarray:
        """Return signed distances (n,) of rows (n, columns): positive for the positive class."""
        return np.exp(-self.gamma * cdist(rows, self.support, "sqeuclidean")) @ self.dual + self.intercept


def save_machines(path: Path, machines: Mapping[str, Sequence[RBFSVM]], provenance: Provenance) -> None:
    """Save machines by name, one per threshold of THRESHOLDS for each name."""
    import torch

    tensors: dict[str, torch.Tensor] = {}
    for name, ours in machines.items():
        for threshold, machine in zip(THRESHOLDS, ours):
            scalars = np.array([machine.gamma, machine.intercept])
            parts = {"support": machine.support, "dual": machine.dual, "scalars": scalars}
            prefix = f"{name}.{threshold}."
            tensors |= {prefix + part: torch.from_numpy(values) for part, values in parts.items()}
    save_tensors(path, tensors, provenance, names=list(machines))


def load_machines(path: Path) -> dict[str, list[RBFSVM]]:
    """Load what `save_machines` wrote."""
    arrays = {name: tensor.numpy() for name, tensor in load_tensors(path).items()}

    def machine(prefix: str) -> RBFSVM:
        gamma, intercept = arrays[f"{prefix}.scalars"].tolist()
        return RBFSVM(arrays[f"{prefix}.support"], arrays[f"{prefix}.dual"], gamma, intercept)

    return {name: [machine(f"{name}.{least}") for least in THRESHOLDS] for name in facts_of(path)["names"]}
