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


def resampled(
    sampling: str, rows: np.ndarray, severities: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows (n, columns) and severities (n,) of a training set after sampling; a note where it went otherwise.

    Over-sampling interpolates between neighbours: severities with one example are left as they are.
    """
    known_name(sampling, SAMPLERS, "sampling")
    several = np.bincount(severities)[severities] > 1
    if not SAMPLERS[sampling] or len(np.unique(severities[several])) < 2:
        return rows, severities, ""
    sampled, codes, note = rows[several], severities[several], ""
    for step in SAMPLERS[sampling]:
        try:
            sampled, codes = _library_sampler(step, codes, seed).fit_resample(sampled, codes)
        except ValueError:
            if step != "svm_smote":
                raise
            # It refuses a class whose support vectors all lie among other classes: plain SMOTE takes it.
            note = "SMOTE stands in for SVM-SMOTE, which refused a class amid the others"
            sampled, codes = _library_sampler("smote", codes, seed).fit_resample(sampled, codes)
    single = ~several
    return np.concatenate([sampled, rows[single]]), np.concatenate([codes, severities[single]]), note


def _library_sampler(step: str, severities: np.ndarray, seed: int) -> Any:
    """Imbalanced-learn's sampler of a step, for a training set of these severities."""
    from imblearn.over_sampling import SMOTE, SVMSMOTE  # more than a second
    from imblearn.under_sampling import RandomUnderSampler

    counts = np.bincount(severities)
    if step == "undersample":
        # No fewer than the second commonest class, or the order of the classes would turn.
        kept = int(max(counts.max() * UNDERSAMPLED_SHARE, np.sort(counts)[-2]))
        return RandomUnderSampler(sampling_strategy={int(counts.argmax()): kept}, random_state=seed)
    neighbours = int(min(NEIGHBOURS, counts[counts > 0].min() - 1))
    if step == "smote":
        return SMOTE(k_neighbors=neighbours, random_state=seed)
    around = int(min(2 * NEIGHBOURS, counts.sum() - 1))
    return SVMSMOTE(k_neighbors=neighbours, m_neighbors=around, random_state=seed)
