from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from kitlib.report import maps
from kitlib.terms import SEQUENCES, SEVERITIES
from tests.report.builders import drawn


@dataclass
class Slices:
    vectors: np.ndarray
    places_mm: np.ndarray


def make_tokens(studies=3, slices=4):
    """Vectors that tell sequence and position: neighbours in them are neighbours in the patient."""
    places_mm = np.arange(slices)[:, None] * np.array([5.0, 0.0, 6.0])
    tokens = {}
    for k, sequence in enumerate(SEQUENCES):
        angle = k * 2 + np.arange(slices) * 0.1
        vectors = np.stack([np.cos(angle), np.sin(angle), np.zeros(slices)], axis=1).astype(np.float32)
        tokens[sequence] = [Slices(vectors, places_mm) for _ in range(studies)]
    return tokens


def test_positions_are_counted_from_the_middle_along_the_stack():
    table = maps.slice_table(np.array([7, 8, 9]), make_tokens())
    assert table.vectors.shape == (36, 3)
    by_sequence = table.facts.groupby("sequence")["position_mm"]
    np.testing.assert_allclose(by_sequence.mean(), 0, atol=1e-9)
    assert by_sequence.max()[SEQUENCES[0]] == 7.5  # x of sagittal slices
    assert by_sequence.max()[SEQUENCES[2]] == 9.0  # z of axial ones


def test_the_nearest_neighbour_is_of_another_study_and_finds_the_same_place():
    table = maps.slice_table(np.array([7, 8, 9]), make_tokens())
    studies = table.facts["study_id"].to_numpy()
    partner = maps.nearest_elsewhere(table.vectors, studies)
    assert (studies[partner] != studies).all()
    check = maps.neighbour_check(table)
    assert check.at["nearest", "same sequence"] == 1
    assert check.at["nearest", "median distance (mm)"] == 0
    assert check.at["by chance", "same sequence"] < 1


def test_one_study_has_no_neighbour_elsewhere():
    assert maps.nearest_elsewhere(np.eye(3), np.array([1, 1, 1])).tolist() == [-1, -1, -1]
    assert maps.nearest_elsewhere(np.empty((0, 3)), np.empty(0)).size == 0
    check = maps.neighbour_check(maps.slice_table(np.array([7]), make_tokens(studies=1)))
    assert check.isna().all(axis=None)


def test_a_missing_sequence_has_no_slices():
    tokens = make_tokens(studies=1)
    tokens[SEQUENCES[0]] = [Slices(np.empty((0, 3), np.float32), np.empty((0, 3)))]
    assert len(maps.slice_table(np.array([7]), tokens).facts) == 8


@pytest.mark.parametrize("rows", [0, 2, 30])
def test_a_map_draws_without_a_warning(rows):
    random = np.random.default_rng(0)
    points = maps.principal_map(random.random((rows, 5)))
    colours = {
        "severity": pd.Series(random.choice(SEVERITIES, rows)),
        "position (mm)": pd.Series(random.random(rows)),
    }
    assert points.shape == (rows, 2)
    assert drawn(maps.projection(points, colours, "A map"))
