"""Sagittal series of one study that count their levels differently are found."""

import numpy as np
import pytest

from kitlib.localise.geometry import SPINE
from kitlib.localise.sagittal import disagreement_mm, level_offset
from tests.localise.test_geometry import CANAL

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
