"""Blending: a weighted mean of models' probabilities, with weights that optimise the competition metric."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy.optimize import minimize

from kitlib.competition.metric import score_arrays
from kitlib.errors import ModelError, UsageError

SHRINKAGE = 1.0
"""Shrinkage towards equal weights, in studies: with few studies the best weights are mostly luck."""
LEAST_WEIGHT = 1e-3
"""A model with a smaller weight is dropped: it would cost inference time and change nothing."""


@dataclass(frozen=True)
class Blend:
    """A weighted mean of the models' probabilities."""

    weights: dict[str, float]

    name: ClassVar[str] = "blend"

    @classmethod
    def fit(cls, labels: np.ndarray, candidates: Mapping[str, np.ndarray]) -> Self:
        """Fit on labels (n, 25) and out-of-fold probabilities (n, 25, 3) by model."""
        return cls(fit_blend(labels, candidates))

    def apply(self, candidates: Mapping[str, np.ndarray]) -> np.ndarray:
        """Combine the models' arrays into one (n, 25, 3); raises ModelError if that of a member is absent."""
        if absent := [name for name in self.members if name not in candidates]:
            raise ModelError(
                f"no predictions of {', '.join(absent)}, which the blend needs", hint="Add them."
            )
        stacked = np.stack([candidates[name] for name in self.members])
        return np.tensordot([self.weights[name] for name in self.members], stacked, axes=1)

    @property
    def members(self) -> list[str]:
        """Names of the models with a weight above zero."""
        return [name for name, weight in self.weights.items() if weight > 0]

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return {"weights": self.weights}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from the values of `to_json`."""
        return cls(**values)


def fit_blend(
    labels: np.ndarray, candidates: Mapping[str, np.ndarray], *, shrinkage: float = SHRINKAGE
) -> dict[str, float]:
    """Fit non-negative weights that sum to 1 and minimise the metric of the blend on labels (n, 25).

    Candidates are out-of-fold probabilities (n, 25, 3) of the same studies. The penalty is `shrinkage` / n
    times the squared distance to equal weights.
    """
    if not candidates:
        raise UsageError("nothing to blend", hint="Give the predictions of at least one model.")
    stacked = np.stack(list(candidates.values()))
    equal = np.full(len(stacked), 1 / len(stacked))
    strength = shrinkage / max(len(labels), 1)

    def loss(weights: np.ndarray) -> float:
        blended = np.tensordot(weights, stacked, axes=1)
        return metric(labels, blended) + strength * float(((weights - equal) ** 2).sum())

    found = minimize(
        loss, equal, method="SLSQP", bounds=[(0, 1)] * len(equal),
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1}, options={"ftol": 1e-7},
    )  # fmt: skip
    best = found.x if np.isfinite(found.x).all() and found.fun <= loss(equal) else equal
    best = np.where(best < LEAST_WEIGHT, 0, best)
    return dict(zip(candidates, (best / best.sum()).tolist()))


def metric(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The competition metric; components without labels are left out of the mean, which is 0 if all are."""
    score = score_arrays(labels, probabilities)
    components = np.array([score.spinal, score.foraminal, score.subarticular, score.any_severe_spinal])
    known = components[~np.isnan(components)]
    return float(known.mean()) if len(known) else 0.0
