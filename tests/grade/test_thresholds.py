"""Severities read off openings, with the thresholds that phantoms themselves follow."""

import numpy as np
import pytest

from kitlib.grade.thresholds import LIMITS_MM, severity_read_off
from kitlib.phantom.body import openings
from kitlib.phantom.body.anatomy import draw_anatomy
from kitlib.terms import CELLS, LEVELS


@pytest.mark.parametrize("cell", range(len(CELLS)))
def test_it_is_the_rule_of_the_phantoms_where_an_opening_is_all_that_is_known(cell: int) -> None:
    openings_mm = np.sort([0.0, 20.0, *LIMITS_MM[cell], *(LIMITS_MM[cell] + 0.01), *(LIMITS_MM[cell] - 0.01)])
    root_mm = openings.ROOT_MM[LEVELS.index(CELLS[cell].level)]
    by_rule = [
        openings.severity(
            CELLS[cell].group,
            {"depth_mm": opening, "area_mm2": np.inf, "width_mm": opening, "root_mm": root_mm},
        )
        for opening in openings_mm
    ]
    found = severity_read_off(openings_mm, np.full(len(openings_mm), cell))
    assert found.tolist() == by_rule
    assert sorted(by_rule, reverse=True) == by_rule
    assert set(by_rule) == {0, 1, 2}


def test_what_a_phantom_measures_is_read_off_as_it_is() -> None:
    """Root thickness varies between persons, so a foramen near a threshold may be misgraded."""
    right = []
    for seed, grade in enumerate((0.3, 1.5, 2.5)):
        anatomy = draw_anatomy(np.full(len(CELLS), grade), np.random.default_rng(seed))
        openings_mm = np.array([anatomy.opening_mm(cell) for cell in CELLS])
        found = severity_read_off(openings_mm, np.arange(len(CELLS)))
        right += (found == int(grade)).tolist()
    assert np.mean(right) > 0.95
