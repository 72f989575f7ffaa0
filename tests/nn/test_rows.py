import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from kitlib.nn.rows import Rows, chunks, prefetched, shuffled, shuffled_evenly


@dataclass(frozen=True, eq=False)
class Samples(Rows):
    images: np.ndarray
    persons: np.ndarray


def make(count: int) -> Samples:
    return Samples(np.arange(count * 4).reshape(count, 2, 2), np.arange(count))


@pytest.mark.parametrize("index", [np.array([2, 0]), np.array([True, False, True])])
def test_rows_stay_together(index: np.ndarray) -> None:
    taken = make(3).take(index)
    assert type(taken) is Samples
    assert len(taken) == 2
    np.testing.assert_array_equal(taken.images[:, 0, 0], taken.persons * 4)


def test_parts_joined_are_the_whole() -> None:
    whole = make(5)
    joined = Samples.joined([whole.take(np.arange(2)), whole.take(np.arange(2, 5))])
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(joined.arrays()[name], array)
    assert len(make(0)) == 0


def test_shuffled_rows_are_all_rows_once_and_chunks_keep_their_order() -> None:
    rows = np.arange(10, 21)
    parts = shuffled(rows, 4, torch.Generator().manual_seed(0))
    assert [len(part) for part in parts] == [4, 4, 3]
    assert sorted(np.concatenate(parts)) == rows.tolist()
    np.testing.assert_array_equal(np.concatenate(list(chunks(rows, 4))), rows)


@pytest.mark.parametrize(("count", "sizes"), [(3, [3]), (9, [5, 4]), (11, [6, 5]), (12, [4, 4, 4])])
def test_even_batches_have_no_small_rest(count: int, sizes: list[int]) -> None:
    parts = shuffled_evenly(np.arange(count), 4, torch.Generator().manual_seed(0))
    assert [len(part) for part in parts] == sizes
    assert sorted(np.concatenate(parts)) == list(range(count))


def test_loading_runs_a_bounded_way_ahead_and_in_order() -> None:
    asked = 0

    def tasks() -> Iterator[int]:
        nonlocal asked
        for task in range(20):
            asked += 1
            yield task

    loader = prefetched(lambda task: (task, threading.get_ident()), tasks(), ahead=3)
    task, thread = next(loader)
    assert (task, asked) == (0, 4)
    assert thread != threading.get_ident()
    assert [task for task, _ in loader] == list(range(1, 20))
