"""Sampling against imbalance, of training rows only; with fewer neighbours where a class is small."""

from typing import Any

import numpy as np

from kitlib.errors import known_name

NEIGHBOURS = 5
UNDERSAMPLED_SHARE = 0.33
"""What under-sampling leaves of the commonest class."""

SAMPLERS: dict[str, tuple[str, ...]] = {
    "none": (),
    "smote": ("smote",),
    "svm_smote": ("svm_smote",),
    "undersample": ("undersample",),
    # In this order: after SMOTE no class is the majority, and a third of one would make it the rarest.
    "smote_undersample": ("undersample", "smote"),
}
"""The steps of each way of sampling."""


class Sampler:
    """Samples the rows of a training set by one of SAMPLERS.

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
            return _library_sampler(step, counts, self.seed).fit_resample(rows, severities)
        except ValueError:
            if step != "svm_smote":
                raise
            # It refuses a class whose support vectors all lie among other classes: plain SMOTE takes it.
            self.note_ = "SMOTE stands in for SVM-SMOTE, which refused a class amid the others"
            return self._step("smote", rows, severities)


def _library_sampler(step: str, counts: np.ndarray, seed: int) -> Any:
    """Imbalanced-learn's sampler of a step, for a training set of `counts` rows a class."""
    from imblearn.over_sampling import SMOTE, SVMSMOTE  # more than a second
    from imblearn.under_sampling import RandomUnderSampler

    if step == "undersample":
        kept = {int(counts.argmax()): _kept(counts)}
        return RandomUnderSampler(sampling_strategy=kept, random_state=seed)
    neighbours = int(min(NEIGHBOURS, counts[counts > 0].min() - 1))
    if step == "smote":
        return SMOTE(k_neighbors=neighbours, random_state=seed)
    around = int(min(2 * NEIGHBOURS, counts.sum() - 1))
    return SVMSMOTE(k_neighbors=neighbours, m_neighbors=around, random_state=seed)


def _kept(counts: np.ndarray) -> int:
    """No fewer than the second commonest class, or the order of the classes would turn."""
    return int(max(counts.max() * UNDERSAMPLED_SHARE, np.sort(counts)[-2]))
