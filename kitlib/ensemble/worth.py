"""Whether a correction is worth making: only if it clearly improves studies held out by inner splits.

Models trained on the weighted loss are nearly calibrated, and what is fitted on few studies does harm.
"""

from collections.abc import Callable, Collection, Iterable

import numpy as np

from kitlib.competition.metric import study_sums
from kitlib.models.common.training_rows import inner_splits
from kitlib.terms import GROUPS

MIN_GAIN_IN_SE = 2.0
"""A gain must exceed zero by this many standard errors. What the rule costs and gains: docs/ensemble.md."""
INNER_PARTS = 4

Rows = np.ndarray | slice
"""A selection of studies."""
ALL_ROWS = slice(None)

Refit = Callable[[float, np.ndarray, np.ndarray], np.ndarray]
"""From a strength and positions of training and held-out studies to probabilities of the held-out ones."""


def worthwhile(
    labels: np.ndarray,
    probabilities: np.ndarray,
    refit: Refit,
    strengths: Iterable[float],
    *,
    groups: Collection[str] = GROUPS,
) -> dict[str, float]:
    """The best strength for each condition group that clearly gains on held-out studies.

    `labels` are (n, 25); `probabilities` (n, 25, 3) are uncorrected and their rows sum to 1; `groups` are
    those that the correction can change. Groups without a clear gain are left out.
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
    """Each study's contribution (n, groups) to the metric; any_severe_spinal is added to the spinal group."""
    losses, weights = study_sums(labels, probabilities)
    shares = losses / np.maximum(weights.sum(axis=0), 1)
    shares[:, GROUPS.index("spinal")] += shares[:, -1]
    return shares[:, :-1]
