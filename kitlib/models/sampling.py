"""Sampling against imbalance, of training rows only; with fewer neighbours where a class is small."""

from collections.abc import Callable
from typing import Any

import numpy as np
from imblearn.over_sampling import SMOTE, SVMSMOTE
from imblearn.under_sampling import RandomUnderSampler

from kitlib.errors import UsageError

NEIGHBOURS = 5
UNDERSAMPLED_SHARE = 0.33
"""What under-sampling leaves of the commonest class."""

SAMPLERS: dict[str, Callable[[np.ndarray, int], Any]] = {
    "none": lambda *_: None,
    "smote": lambda counts, seed: SMOTE(k_neighbors=_neighbours(counts), random_state=seed),
    "svm_smote": lambda counts, seed: SVMSMOTE(
        k_neighbors=_neighbours(counts),
        m_neighbors=int(min(2 * NEIGHBOURS, counts.sum() - 1)),
        random_state=seed,
    ),
    "undersample": lambda counts, seed: RandomUnderSampler(
        sampling_strategy={int(counts.argmax()): _kept(counts)}, random_state=seed
    ),
}


def check_sampling(name: str) -> None:
    """UsageError on an unknown name."""
    if name not in SAMPLERS:
        raise UsageError(f"unknown sampling {name!r}", hint=f"Known: {', '.join(SAMPLERS)}.")


def resample(
    rows: np.ndarray, severities: np.ndarray, name: str, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, columns) and severities (n,) of a training set after sampling.

    Over-sampling interpolates between neighbours: severities with one example are left as they are.
    """
    check_sampling(name)
    counts = np.bincount(severities)
    several = counts[severities] > 1
    if name == "none" or len(np.unique(severities[several])) < 2:
        return rows, severities
    counts = np.bincount(severities[several])
    try:
        sampled, codes = SAMPLERS[name](counts, seed).fit_resample(rows[several], severities[several])
    except ValueError:
        if name != "svm_smote":
            raise
        # It refuses a class whose support vectors all lie among other classes: plain SMOTE takes it.
        sampled, codes = SAMPLERS["smote"](counts, seed).fit_resample(rows[several], severities[several])
    return np.concatenate([sampled, rows[~several]]), np.concatenate([codes, severities[~several]])


def _neighbours(counts: np.ndarray) -> int:
    return int(min(NEIGHBOURS, counts[counts > 0].min() - 1))


def _kept(counts: np.ndarray) -> int:
    """No fewer than the second commonest class, or the order of the classes would turn."""
    return int(max(counts.max() * UNDERSAMPLED_SHARE, np.sort(counts)[-2]))
