"""Group things linked by chains of near points, without computing all pairwise distances."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from scipy.spatial.distance import cdist

Thing = TypeVar("Thing")
AT_ONCE = 256  # points whose distances to all others are held in memory at once


def linked(things: Sequence[Thing], points: np.ndarray) -> Iterator[list[Thing]]:
    """Yield groups of things linked by chains of points (n, d) less than 1 apart in every coordinate.

    Groups depend on neither input order nor cell boundaries, and are ordered by their points.
    """
    if np.abs(points - points[0]).max() < 1:  # as in most series
        yield list(things)
        return
    distinct, which = np.unique(points, axis=0, return_inverse=True)
    widest = np.ptp(distinct, axis=0).argmax()
    order = distinct[:, widest].argsort(kind="stable")
    labels = np.empty(len(order), dtype=int)
    labels[order] = _labels(distinct[order], widest)
    groups: list[list[Thing]] = [[] for _ in range(labels.max() + 1)]
    for thing, label in zip(things, labels[which.ravel()], strict=True):
        groups[label].append(thing)
    yield from groups


def _labels(points: np.ndarray, along: int) -> np.ndarray:
    """The group number (n,) of each point; points are sorted along the coordinate `along`."""
    labels = np.full(len(points), -1)
    count = 0
    for seed in range(len(points)):
        if labels[seed] >= 0:
            continue
        added = np.array([seed])
        while len(added):
            labels[added] = count
            reach = points[added, along].min() - 1, points[added, along].max() + 1
            first, end = points[:, along].searchsorted(reach)
            left = first + np.flatnonzero(labels[first:end] < 0)
            added = left[_is_near(points[left], points[added])]
        count += 1
    return labels


def _is_near(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Mask (n,) of points less than 1 from one of the others in every coordinate."""
    is_near = ((points > others.min(axis=0) - 1) & (points < others.max(axis=0) + 1)).all(axis=1)
    if len(others) == 1 or not is_near.any():
        return is_near
    inside = points[is_near]
    found = np.zeros(len(inside), dtype=bool)
    for first in range(0, len(others), AT_ONCE):
        found |= (cdist(inside, others[first : first + AT_ONCE], "chebyshev") < 1).any(axis=1)
    is_near[is_near] = found
    return is_near
