"""Splits inside the training studies: for stopping early and for calibrating, without a look outside."""

import numpy as np


def inner_splits(labels: np.ndarray, parts: int, *, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(training, held-out) positions of studies with labels (n, 25), disease spread evenly over the parts.

    Every study is held out once. A single study cannot be split: it is trained on and nothing is held out.
    """
    rows = np.arange(len(labels))
    parts = min(parts, len(labels))
    if parts < 2:
        return [(rows, rows[:0])]
    disease = labels.clip(min=0).sum(axis=1) + np.random.default_rng(seed).random(len(labels))
    part = np.empty(len(labels), dtype=np.intp)
    part[np.argsort(disease)] = rows % parts
    return [(rows[part != one], rows[part == one]) for one in range(parts)]
