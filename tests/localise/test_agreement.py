"""Agreement: series of one study that count differently are found, and mended where something tells."""

import numpy as np
import pytest

from kitlib.localise.agreement import disagreement_mm, level_offset, mending_shifts
from kitlib.localise.geometry import SPINE
from kitlib.terms import LEVELS
from tests.localise.test_carry import CANAL

COUNTED_DOWN = {SPINE[index]: CANAL[SPINE[index + 1]] for index in range(6)}  # names one level too high
COUNTED_UP = {SPINE[index + 1]: CANAL[SPINE[index]] for index in range(6)}


def scattered(points: dict[str, np.ndarray], seed: int, sd_mm: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {level: place + rng.normal(0, sd_mm, 3) for level, place in points.items()}


def test_disagreement_is_the_median_distance_in_the_patient() -> None:
    shift = np.array([3, 0, -4])
    moved = {level: place + shift for level, place in CANAL.items() if level != "l3_l4"}
    assert disagreement_mm(CANAL, moved) == pytest.approx(5)
    assert disagreement_mm(CANAL, moved) == disagreement_mm(moved, CANAL)
    assert np.isnan(disagreement_mm(CANAL, {}))


def test_an_offset_by_one_is_found_and_has_a_direction() -> None:
    for seed in range(5):
        noisy = scattered(CANAL, seed)
        assert level_offset(CANAL, noisy) == 0
        assert level_offset(noisy, COUNTED_DOWN) == 1
        assert level_offset(noisy, COUNTED_UP) == -1
        assert level_offset(COUNTED_UP, noisy) == 1
    assert level_offset(CANAL, {}) == level_offset({}, CANAL) == 0


def test_series_that_agree_outvote_one_that_does_not() -> None:
    series = {3: COUNTED_UP, 1: CANAL, 2: scattered(CANAL, 0)}
    assert mending_shifts(series) == {3: -1, 1: 0, 2: 0}
    assert mending_shifts({1: CANAL, 2: scattered(CANAL, 0)}) == {1: 0, 2: 0}
    assert mending_shifts({3: {}, 1: CANAL}) == {1: 0}
    assert mending_shifts({}) == mending_shifts({3: {}}) == {}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_the_shape_tells_which_is_odd(order: tuple[int, int]) -> None:
    graded = {level: CANAL[level] for level in LEVELS}
    for odd, shift in ((COUNTED_DOWN, 1), (COUNTED_UP, -1)):
        for right in (CANAL, graded):
            pairs = [(1, right), (2, odd)]
            assert mending_shifts(dict(pairs[index] for index in order)) == {1: 0, 2: shift}


def test_where_nothing_tells_nothing_is_said() -> None:
    even = {level: np.array([0, 0, -31.0 * index]) for index, level in enumerate(SPINE)}
    three = dict(list(even.items())[1:4])
    odd = {SPINE[index]: even[SPINE[index + 1]] for index in range(1, 4)}
    assert level_offset(three, odd) == 1
    assert mending_shifts({1: three, 2: odd}) is None
