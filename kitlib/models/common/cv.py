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
    random = np.random.default_rng(seed)
    disease = labels.clip(min=0).sum(axis=1) + random.random(len(labels))
    part = dealt(np.argsort(disease), parts, random)
    return [(rows[part != number], rows[part == number]) for number in range(parts)]


def dealt(order: np.ndarray, parts: int, random: np.random.Generator) -> np.ndarray:
    """The part of each position, where every `parts` neighbours in `order` go to one part each.

    Which of them goes where is drawn anew each time: in a fixed order one part would get the mildest of all.
    """
    part = np.empty(len(order), dtype=np.int64)
    part[order] = np.concatenate([random.permutation(parts) for _ in range(0, len(order), parts)])[
        : len(order)
    ]
    return part
