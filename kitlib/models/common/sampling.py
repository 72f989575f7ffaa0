"""Sampling against imbalance, of training rows only; with fewer neighbours where a class is small."""

from collections.abc import Callable
from typing import Any

import numpy as np
from imblearn.over_sampling import SMOTE, SVMSMOTE
from imblearn.under_sampling import RandomUnderSampler
from sklearn.base import BaseEstimator

from kitlib.errors import known_name

NEIGHBOURS = 5
UNDERSAMPLED_SHARE = 0.33
"""What under-sampling leaves of the commonest class."""

STEPS: dict[str, Callable[[np.ndarray, int], Any]] = {
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
SAMPLERS: dict[str, tuple[str, ...]] = {
    "none": (),
    "smote": ("smote",),
    "svm_smote": ("svm_smote",),
    "undersample": ("undersample",),
    # In this order: after SMOTE no class is the majority, and a third of one would make it the rarest.
    "smote_undersample": ("undersample", "smote"),
}
"""The steps of each way of sampling."""


class Sampler(BaseEstimator):
    """A step of an imbalanced-learn pipeline, which samples where the pipeline is fitted and nowhere else.

    Over-sampling interpolates between neighbours: severities with one example are left as they are.
    """

    def __init__(self, name: str = "none", seed: int = 0) -> None:
        self.name, self.seed = name, seed

    def fit_resample(self, rows: np.ndarray, severities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n, columns) and severities (n,) of a training set after sampling; sets `note_`."""
        known_name(self.name, SAMPLERS, "sampling")
        self.note_ = ""
        several = np.bincount(severities)[severities] > 1
        if not SAMPLERS[self.name] or len(np.unique(severities[several])) < 2:
            return rows, severities
        sampled, codes = rows[several], severities[several]
        for step in SAMPLERS[self.name]:
            sampled, codes = self._step(step, sampled, codes)
        return np.concatenate([sampled, rows[~several]]), np.concatenate([codes, severities[~several]])

    def _step(self, step: str, rows: np.ndarray, severities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts = np.bincount(severities)
        try:
            return STEPS[step](counts, self.seed).fit_resample(rows, severities)
        except ValueError:
            if step != "svm_smote":
                raise
            # It refuses a class whose support vectors all lie among other classes: plain SMOTE takes it.
            self.note_ = "SMOTE stands in for SVM-SMOTE, which refused a class amid the others"
            return self._step("smote", rows, severities)


def _neighbours(counts: np.ndarray) -> int:
    return int(min(NEIGHBOURS, counts[counts > 0].min() - 1))


def _kept(counts: np.ndarray) -> int:
    """No fewer than the second commonest class, or the order of the classes would turn."""
    return int(max(counts.max() * UNDERSAMPLED_SHARE, np.sort(counts)[-2]))
