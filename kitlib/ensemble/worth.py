"""Whether a correction is worth making: only where studies held out inside the given ones gain, clearly.

Models trained on the weighted loss come out nearly calibrated, and what is fitted on few studies does harm.
"""

from collections.abc import Callable, Collection, Iterable

import numpy as np

from kitlib.competition.metric import study_sums
from kitlib.models.common.training_rows import inner_splits
from kitlib.terms import GROUPS

MIN_GAIN_IN_SE = 2.0
"""Standard errors by which a gain must exceed nothing. What the rule costs and brings: docs/ensemble.md."""
INNER_PARTS = 4

Rows = np.ndarray | slice
"""Which studies."""
ALL_ROWS = slice(None)

Refit = Callable[[float, np.ndarray, np.ndarray], np.ndarray]
"""From a strength and the positions of training and held-out studies to probabilities of the latter."""


def worthwhile(
    labels: np.ndarray,
    probabilities: np.ndarray,
    refit: Refit,
    strengths: Iterable[float],
    *,
    groups: Collection[str] = GROUPS,
) -> dict[str, float]:
    """By condition group that gains clearly on held-out studies, the strength with which it gains most.

    `labels` are (n, 25), `probabilities` (n, 25, 3) those without the correction, whose rows sum to 1;
    `groups` are those that the correction can change.
    """
    if len(labels) < INNER_PARTS:
        return {}
    splits = inner_splits(labels, INNER_PARTS, seed=0)
    before = _group_losses(labels, probabilities)
    best: dict[str, tuple[float, float]] = {}
    for strength in strengths:
        corrected = np.empty_like(probabilities)
        for train, held_out in splits:
            corrected[held_out] = refit(strength, train, held_out)
        gains = before - _group_losses(labels, corrected)
        errors = gains.std(axis=0) * len(gains) ** 0.5
        for group, gain, error in zip(GROUPS, gains.sum(axis=0), errors):
            if group in groups and gain > MIN_GAIN_IN_SE * error and gain > best.get(group, (0.0, 0.0))[0]:
                best[group] = (gain, strength)
    return {group: strength for group, (_, strength) in best.items()}


def _group_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """What each study adds (n, groups) to the metric; any_severe_spinal counts with the spinal group."""
    losses, weights = study_sums(labels, probabilities)
    shares = losses / np.maximum(weights.sum(axis=0), 1)
    shares[:, GROUPS.index("spinal")] += shares[:, -1]
    return shares[:, :-1]
