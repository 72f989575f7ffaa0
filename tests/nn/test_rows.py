from dataclasses import dataclass

import numpy as np
import pytest

from kitlib.nn.rows import Rows


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
