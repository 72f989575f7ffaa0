"""Severity frequencies: counted, borrowed from other levels, and weighed against those trained on."""

import numpy as np
import pytest

from kitlib.grade.calibration import AS_LEARNT, EVEN, Calibration, frequencies_of
from kitlib.terms import CELLS, LEVELS, landmark2cell, landmark_of

FORAMEN = landmark2cell[landmark_of(CELLS[len(LEVELS)])]


def test_what_was_seen_often_is_frequent_and_nothing_is_impossible() -> None:
    cells = np.repeat(np.arange(len(CELLS)), 40)
    severities = np.tile([0] * 30 + [1] * 8 + [2] * 2, len(CELLS))
    frequencies = frequencies_of(cells, severities)
    np.testing.assert_allclose(frequencies.sum(axis=1), 1)
    np.testing.assert_allclose(frequencies, np.tile([0.75, 0.2, 0.05], (len(CELLS), 1)), atol=0.02)
    np.testing.assert_allclose(frequencies_of(cells[:0], severities[:0]), EVEN)


def test_a_cell_that_was_not_seen_is_as_the_other_levels_of_its_condition() -> None:
    frequencies = frequencies_of(np.full(100, FORAMEN), np.full(100, 2))
    assert frequencies[FORAMEN, 2] > 0.98
    assert frequencies[FORAMEN + 1, 2] > 0.9
    assert frequencies[0] == pytest.approx(EVEN[0])


def test_a_view_is_weighed_by_its_level_and_not_by_what_its_level_was_in_training() -> None:
    """A view does not show its level: all levels of a condition were trained on together."""
    usual = EVEN.copy()
    usual[FORAMEN] = 0.9, 0.08, 0.02
    assert Calibration(EVEN, usual).of_views[FORAMEN] == pytest.approx(np.log(usual[FORAMEN] * 3))
    own = Calibration(usual, usual).of_views
    assert own[FORAMEN, 2] < own[FORAMEN + 1, 2]
    assert own[0] == pytest.approx(0)


def test_what_was_learnt_is_left_as_it_is_without_a_calibration() -> None:
    assert AS_LEARNT.of_views == pytest.approx(0)
    kept = Calibration.from_facts(Calibration(EVEN, EVEN, 1.8).facts())
    assert kept.temperature == 1.8
    np.testing.assert_allclose(kept.learnt, EVEN, atol=1e-6)
