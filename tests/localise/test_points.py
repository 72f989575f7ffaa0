"""Points: saved, projected onto the slices that show them, and at the usual positions of landmarks."""

import json

import numpy as np
import pytest

from kitlib.localise.geometry import predict_points
from kitlib.localise.points import (
    Located,
    Point,
    displaced,
    graded_on,
    point_on,
    prior_points,
    recess_points,
)
from kitlib.mri.study import Series
from kitlib.terms import AXIAL_T2, CONDITIONS, LANDMARKS, LEVELS, SAGITTAL_T1, SAGITTAL_T2, Landmark
from tests.localise import test_geometry as geometry_cases
from tests.localise.fakes import make_axial, make_canal, make_sagittal, make_study

CANAL = make_canal()
STACKS = {1: [make_sagittal()], 2: [make_sagittal(count=13)], 3: [make_axial(CANAL)]}
STUDY = make_study(STACKS, {1: SAGITTAL_T1, 2: SAGITTAL_T2, 3: AXIAL_T2})


def test_a_point_is_written_with_the_levels_of_the_competition_and_rounded():
    at_mm = np.array([1.23456, -2.0, 3.999])
    left = Point(Landmark("recess", "l5_s1", "left"), 12, 3, 10.126, 20.0, at_mm, 0.98765)
    assert left.to_json() == {
        "landmark": "recess",
        "level": "L5/S1",
        "side": "left",
        "series_id": 12,
        "instance_number": 3,
        "x": 10.13,
        "y": 20.0,
        "patient_mm": [1.23, -2.0, 4.0],
        "confidence": 0.9877,
    }


def test_levels_beside_the_graded_ones_are_spelled_alike_and_an_abstention_has_its_reason():
    above = Point(Landmark("canal", "t12_l1", None), 1, 1, 0.0, 0.0, np.zeros(3), 1.0)
    found = json.loads(json.dumps(Located((above,), True, "in doubt").to_json()))
    assert (found["points"][0]["level"], found["points"][0]["side"]) == ("T12/L1", None)
    assert (found["abstained"], found["reason"]) == (True, "in doubt")


def test_what_is_written_is_plain_numbers_though_points_are_computed_with_numpy():
    point = Point(Landmark("canal", "l1_l2", None), 1, 1, 0.0, 0.0, np.zeros(3), np.float64(0.5))
    assert type(point.to_json()["confidence"]) is float


def test_expected_recesses_lie_on_the_best_slice_whatever_its_order() -> None:
    stacks = [(Series(7, AXIAL_T2, (block,)), block) for block in map(geometry_cases.make_block, LEVELS[1:])]
    points = recess_points(stacks, geometry_cases.CANAL, 0.8)
    assert len(points) == 8
    assert {point.landmark.level for point in points} == set(LEVELS[1:])
    for point in points:
        own = next(stack for _, stack in stacks if np.abs(stack.to_pixel(point.patient_mm)[2] - 1) < 1e-6)
        assert own.to_pixel(point.patient_mm)[:2] == pytest.approx([point.x, point.y])
        assert (point.x > 31.5) == (point.landmark.side == "left")  # patient left is right on an axial image
        expected = predict_points(geometry_cases.CANAL, "recess")[point.landmark]
        assert np.linalg.norm(point.patient_mm - expected) < 1.5
    moved = recess_points(stacks[::-1], geometry_cases.CANAL, 0.8)
    assert {one.landmark: one.x for one in moved} == {one.landmark: one.x for one in points}


def test_a_point_keeps_its_place_on_the_slice_that_shows_it() -> None:
    blocks = Series(1, AXIAL_T2, tuple(geometry_cases.make_block(level, count=5) for level in LEVELS))
    mark, at_mm = Landmark("recess", "l5_s1", "left"), geometry_cases.PLACES[5] + [9, -5, 0]
    point = point_on(blocks, mark, at_mm, 0.7)
    assert (point.landmark, point.series_id, point.confidence) == (mark, 1, 0.7)
    assert point.patient_mm is at_mm
    assert blocks.slice_at(at_mm).xy.tolist() == [point.x, point.y]
    assert point_on(blocks, mark, np.array([500.0, 0, 0]), 1.0) is None


@pytest.mark.parametrize("study_id", range(2))
def test_true_landmarks_fall_on_their_own_instances(study_id: int) -> None:
    study = geometry_cases.phantom(study_id)
    for sequence, condition in ((SAGITTAL_T2, CONDITIONS[0]), (SAGITTAL_T1, CONDITIONS[1])):
        (series,) = (series for series in study.series if series.sequence == sequence)
        rows = study.landmarks[study.landmarks.condition == condition]
        for row in rows.itertuples():
            point = point_on(
                series, Landmark("canal", row.level, None), np.array([row.x_mm, row.y_mm, row.z_mm]), 1.0
            )
            assert (point.series_id, point.instance_number) == (row.series_id, row.instance_number)
            assert [point.x, point.y] == pytest.approx([row.x, row.y])


def found_canal() -> list[Point]:
    return [Point(Landmark("canal", level, None), 2, 1, 0.0, 0.0, CANAL[level], 0.9) for level in LEVELS]


def test_every_landmark_lies_on_the_sequence_that_grades_it_and_within_its_image() -> None:
    points = prior_points(STUDY, [])
    assert [point.landmark for point in points] == list(LANDMARKS)
    assert {(point.landmark.place, point.series_id) for point in points} == {
        ("canal", 2), ("foramen", 1), ("recess", 3),
    }  # fmt: skip
    for point in points:
        _, height, width = STACKS[point.series_id][0].pixels.shape
        assert point.confidence == 0
        assert 0 <= point.x <= width - 1
        assert 0 <= point.y <= height - 1


def test_levels_follow_each_other_downwards_and_left_is_left() -> None:
    id2point = {point.landmark: point for point in prior_points(STUDY, [])}
    for place, side in (("canal", None), ("foramen", "left"), ("recess", "right")):
        heights = [id2point[Landmark(place, level, side)].patient_mm[2] for level in LEVELS]
        assert (np.diff(heights) < 0).all()
    for place in ("foramen", "recess"):
        for level in LEVELS:
            left, right = (id2point[Landmark(place, level, side)].patient_mm[0] for side in ("left", "right"))
            assert left > right


def test_foramina_lie_beside_the_canal_where_that_was_found() -> None:
    points = prior_points(STUDY, found_canal())
    assert not {point.landmark for point in points} & {point.landmark for point in found_canal()}
    expected = predict_points(CANAL, "foramen")
    foramina = [point for point in points if point.landmark.place == "foramen"]
    assert len(foramina) == 10
    for point in foramina:
        assert np.linalg.norm(point.patient_mm - expected[point.landmark]) < 3


def test_no_recess_is_guessed_at_a_level_that_no_axial_slice_shows() -> None:
    (axial,) = STACKS[3]
    lower = axial.positions_mm < CANAL["l3_l4"] @ axial.normal - 20
    kept = axial.slices(np.flatnonzero(lower))
    study = make_study({**STACKS, 3: [kept]}, {1: SAGITTAL_T1, 2: SAGITTAL_T2, 3: AXIAL_T2})
    guessed = {
        point.landmark.level
        for point in prior_points(study, found_canal())
        if point.landmark.place == "recess"
    }
    assert guessed == {"l4_l5", "l5_s1"}
    unfound = {point.landmark.level for point in prior_points(study, []) if point.landmark.place == "recess"}
    assert unfound == set(LEVELS)


@pytest.mark.parametrize(
    ("missing", "series_id"), [([SAGITTAL_T2], 1), ([SAGITTAL_T1], 2), ([SAGITTAL_T1, SAGITTAL_T2], None)]
)
def test_another_sequence_of_the_plane_stands_in(missing: list[str], series_id: int | None) -> None:
    points = prior_points(STUDY.without(missing), [])
    sagittal = {point.series_id for point in points if point.landmark.place != "recess"}
    assert sagittal == ({series_id} if series_id else set())


def test_the_sequence_that_grades_a_place_comes_first() -> None:
    assert [series.series_id for series in graded_on("canal", STUDY)] == [2, 1]
    assert [series.series_id for series in graded_on("foramen", STUDY)] == [1, 2]
    assert [series.series_id for series in graded_on("recess", STUDY)] == [3]
    assert graded_on("recess", STUDY.without([AXIAL_T2])) == ()


def test_displaced_points_are_each_off_by_the_distance_in_one_direction_whatever_it_is():
    found = Located(tuple(prior_points(STUDY, [])), True, "in doubt")
    places_mm = np.array([point.patient_mm for point in found.points])

    def ways(far_mm):
        moved = displaced(found, far_mm, np.random.default_rng(3))
        assert (moved.abstained, moved.reason) == (True, "in doubt")
        assert [point.landmark for point in moved.points] == [point.landmark for point in found.points]
        return np.array([point.patient_mm for point in moved.points]) - places_mm

    assert not ways(0.0).any()
    np.testing.assert_allclose(np.linalg.norm(ways(5.0), axis=1), 5.0)
    np.testing.assert_allclose(ways(20.0), 4 * ways(5.0))
    assert len(np.unique(ways(5.0).round(6), axis=0)) == len(found.points) == len(LANDMARKS)
    assert not displaced(Located((), True), 5.0, np.random.default_rng(3)).points
