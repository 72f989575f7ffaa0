"""Calibration: vector scaling of a condition group's log probabilities, where it is seen to pay.

Models trained on the weighted loss come out nearly calibrated, and a calibrator fitted on few studies does
harm. So each group is scaled only when studies held out inside the given ones gain by it, clearly.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from kitlib.competition.metric import group2cells, study_sums
from kitlib.models.common.cv import inner_splits
from kitlib.models.common.softmax import softmax
from kitlib.terms import EMPTY, GROUPS, SEVERITIES, SEVERITY_WEIGHTS

SHRINKAGES = (10.0, 100.0, 1000.0)
"""Strengths of the shrinkage to the identity that are tried, in labels' worth."""
MIN_GAIN_IN_SE = 1.5
"""Standard errors by which a gain must exceed nothing. Measured on the predictions of a medal team: fitted
on 48 studies, scaling costs .002 to .018 in the mean, by this rule .0002; on 1,975 this rule gains .0003."""
INNER_PARTS = 4
SMALLEST = 1e-9
IDENTITY = np.stack([np.ones(len(SEVERITIES)), np.zeros(len(SEVERITIES))])


@dataclass(frozen=True)
class VectorScaling:
    """By condition group the scale and shift (2, 3) of log probabilities; a group not named is left alone."""

    group2scaling: Mapping[str, np.ndarray]

    @classmethod
    def fit(cls, labels: np.ndarray, probabilities: np.ndarray) -> "VectorScaling":
        """Fit on labels (n, 25) and out-of-fold probabilities (n, 25, 3) of the same studies."""
        group2shrinkage = _worthwhile_shrinkages(labels, probabilities)
        return cls(
            {
                group: _fit_group(labels, probabilities, group, shrinkage)
                for group, shrinkage in group2shrinkage.items()
            }
        )

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (n, 25, 3)."""
        calibrated = probabilities / probabilities.sum(axis=-1, keepdims=True)
        for group, (scale, shift) in self.group2scaling.items():
            cells = group2cells[group]
            calibrated[:, cells] = softmax(_log(calibrated[:, cells]) * scale + shift)
        return calibrated

    def to_json(self) -> dict[str, list[list[float]]]:
        """Plain values."""
        return {group: scaling.tolist() for group, scaling in self.group2scaling.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, list[list[float]]]) -> "VectorScaling":
        """What `to_json` described."""
        return cls({group: np.array(scaling) for group, scaling in values.items()})


def _worthwhile_shrinkages(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """For each group that gains clearly by scaling, the shrinkage with which held-out studies gain most."""
    if len(labels) < INNER_PARTS:
        return {}
    splits = inner_splits(labels, INNER_PARTS, seed=0)
    before = _group_losses(labels, probabilities)
    best: dict[str, tuple[float, float]] = {}
    for shrinkage in SHRINKAGES:
        scaled = probabilities.copy()
        for train, held_out in splits:
            fitted = {
                name: _fit_group(labels[train], probabilities[train], name, shrinkage) for name in group2cells
            }
            scaled[held_out] = VectorScaling(fitted).apply(probabilities[held_out])
        gains = before - _group_losses(labels, scaled)
        errors = gains.std(axis=0) * len(gains) ** 0.5
        for group, gain, error in zip(GROUPS, gains.sum(axis=0), errors):
            if gain > MIN_GAIN_IN_SE * error and gain > best.get(group, (0.0, 0.0))[0]:
                best[group] = (gain, shrinkage)
    return {group: shrinkage for group, (_, shrinkage) in best.items()}


def _group_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """What each study adds (n, groups) to the metric; any_severe_spinal counts with the spinal group."""
    losses, weights = study_sums(labels, probabilities)
    shares = losses / np.maximum(weights.sum(axis=0), SMALLEST)
    shares[:, GROUPS.index("spinal")] += shares[:, -1]
    return shares[:, :-1]


def _fit_group(labels: np.ndarray, probabilities: np.ndarray, group: str, shrinkage: float) -> np.ndarray:
    """Scale and shift (2, 3) by weighted log loss plus half the squared distance to the identity."""
    cells = group2cells[group]
    labelled = labels[:, cells] != EMPTY
    severities = labels[:, cells][labelled]
    # Severities first, (3, n): numpy sums three numbers of each of many rows several times slower.
    logs = np.ascontiguousarray(_log(probabilities[:, cells][labelled]).T)
    weights = np.take(SEVERITY_WEIGHTS, severities)
    truth = np.ascontiguousarray(np.eye(len(SEVERITIES))[severities].T)
    size = max(weights.sum(), 1)  # of the loss: makes the optimiser's tolerance mean the same for any n

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        scale, shift = flat.reshape((*IDENTITY.shape, 1))
        powers = logs * scale + shift
        powers = np.exp(powers - powers.max(axis=0))
        scaled = powers / powers.sum(axis=0)
        away = flat - IDENTITY.ravel()
        log_loss = -weights @ np.log(np.maximum((scaled * truth).sum(axis=0), SMALLEST))
        slope = (scaled - truth) * weights
        gradient = np.concatenate([(slope * logs).sum(axis=1), slope.sum(axis=1)])
        return (log_loss + shrinkage / 2 * away @ away) / size, (gradient + shrinkage * away) / size

    return minimize(loss, IDENTITY.ravel(), jac=True, method="L-BFGS-B").x.reshape(IDENTITY.shape)


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, SMALLEST))
