"""Chains of nearby points are found in any order, without computing all pairwise distances."""

import time
import tracemalloc

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from kitlib.mri.grouping import linked


def groups_of(points):
    return [sorted(group) for group in linked(range(len(points)), np.asarray(points, dtype=float))]


@pytest.mark.parametrize("dimensions", [1, 2, 10])
@pytest.mark.parametrize("seed", range(8))
def test_groups_are_the_connected_components_of_all_distances(dimensions, seed):
    lots = np.random.default_rng(seed)
    count = int(lots.integers(2, 400))
    points = lots.uniform(0, count ** lots.uniform(0.2, 1.1), (count, dimensions)) * [
        1,
        *[0.3] * (dimensions - 1),
    ]
    points = points[lots.integers(0, count, count)]  # some more than once
    _, labels = connected_components(cdist(points, points, "chebyshev") < 1, directed=False)
    expected = {tuple(np.flatnonzero(labels == label)) for label in set(labels)}
    found = groups_of(points)
    assert set(map(tuple, found)) == expected
    assert sum(map(len, found)) == count


def test_two_diagonals_that_overlap_along_every_coordinate_are_two_groups():
    steps = np.arange(20) * 0.5
    points = np.concatenate([np.column_stack([steps, steps]), np.column_stack([steps, steps + 3])])
    assert groups_of(points) == [list(range(20)), list(range(20, 40))]


def test_the_order_of_groups_is_that_of_their_points():
    points = np.array([[9.0], [0.0], [5.0], [9.5]])
    assert groups_of(points) == [[1], [2], [0, 3]]


@pytest.mark.parametrize("kind", ["two heaps", "one chain", "all apart"])
def test_eight_thousand_points_take_neither_their_square_nor_its_memory(kind):
    count = 8000
    heaps = np.repeat([[0.0, 0.0], [50.0, 50.0]], count // 2, axis=0)
    heaps += np.random.default_rng(0).uniform(-0.3, 0.3, heaps.shape)
    points = {
        "two heaps": heaps,
        "one chain": np.arange(count)[:, None] * [0.5, 0.5],
        "all apart": np.arange(count)[:, None] * [2.0, 2.0],
    }[kind]
    tracemalloc.start()
    before = time.process_time()
    assert len(groups_of(points)) == {"two heaps": 2, "one chain": 1, "all apart": count}[kind]
    seconds, (_, peak) = time.process_time() - before, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    assert seconds < 5
