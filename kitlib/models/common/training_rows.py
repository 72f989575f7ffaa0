"""Training rows: inner splits of the training studies, for early stopping and calibration.

Also resampling against class imbalance, of training rows only; a small class uses fewer neighbours.
"""

from typing import Any

import numpy as np

from kitlib.errors import known_name

NEIGHBOURS = 5
UNDERSAMPLED_SHARE = 0.33
"""Share of the commonest class that under-sampling keeps."""

SAMPLERS: dict[str, tuple[str, ...]] = {
    "none": (),
    "smote": ("smote",),
    "svm_smote": ("svm_smote",),
    "undersample": ("undersample",),
    # In this order: SMOTE makes all classes equal, and keeping a third of one would then make it the rarest.
    "smote_undersample": ("undersample", "smote"),
}
"""The steps of each sampling method."""


def inner_splits(labels: np.ndarray, parts: int, *, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split studies with labels (n, 25) into (training, held-out) positions, stratified by disease burden.

    Every study is held out once. A single study cannot be split: it is trained on and nothing is held out.
    """
    rows = np.arange(len(labels))
    parts = min(parts, len(labels))
    if parts < 2:
        return [(rows, rows[:0])]
    rng = np.random.default_rng(seed)
    disease = labels.clip(min=0).sum(axis=1) + rng.random(len(labels))
    part = dealt(np.argsort(disease), parts, rng)
    return [(rows[part != number], rows[part == number]) for number in range(parts)]


def dealt(order: np.ndarray, parts: int, random: np.random.Generator) -> np.ndarray:
    """Assign positions to parts so that every `parts` neighbours in `order` go to different parts.

    Each group of neighbours is permuted at random: in a fixed order one part would always get the mildest.
    """
    part = np.empty(len(order), dtype=np.int64)
    turns = [random.permutation(parts) for _ in range(0, len(order), parts)]
    part[order] = np.concatenate(turns)[: len(order)]
    return part


def resampled(
    sampling: str, rows: np.ndarray, severities: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Resample rows (n, columns) and severities (n,) of a training set; also returns a note, usually empty.

    The note says if another method was substituted. Over-sampling interpolates between neighbours, so
    severities with a single example are left as they are.
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
            # It rejects a class whose support vectors all lie among other classes; plain SMOTE accepts it.
            note = "SMOTE stands in for SVM-SMOTE, which refused a class amid the others"
            sampled, codes = _library_sampler("smote", codes, seed).fit_resample(sampled, codes)
    single = ~several
    return np.concatenate([sampled, rows[single]]), np.concatenate([codes, severities[single]]), note


def _library_sampler(step: str, severities: np.ndarray, seed: int) -> Any:
    """Build imbalanced-learn's sampler of a step, for a training set of these severities."""
    from imblearn.over_sampling import SMOTE, SVMSMOTE  # more than a second
    from imblearn.under_sampling import RandomUnderSampler

    counts = np.bincount(severities)
    if step == "undersample":
        # No fewer than the second commonest class, so that the order of the classes is kept.
        kept = int(max(counts.max() * UNDERSAMPLED_SHARE, np.sort(counts)[-2]))
        return RandomUnderSampler(sampling_strategy={int(counts.argmax()): kept}, random_state=seed)
    neighbours = int(min(NEIGHBOURS, counts[counts > 0].min() - 1))
    if step == "smote":
        return SMOTE(k_neighbors=neighbours, random_state=seed)
    around = int(min(2 * NEIGHBOURS, counts.sum() - 1))
    return SVMSMOTE(k_neighbors=neighbours, m_neighbors=around, random_state=seed)
