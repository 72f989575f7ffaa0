"""Where landmarks usually lie: on the sequence that grades them, and beside a canal that was found."""

import numpy as np
import pytest

from kitlib.localise.geometry import predict_points
from kitlib.localise.points import Point
from kitlib.localise.prior import graded_on, prior_points
from kitlib.terms import AXIAL_T2, LANDMARKS, LEVELS, SAGITTAL_T1, SAGITTAL_T2, Landmark
from tests.localise.fakes import make_axial, make_canal, make_sagittal, make_study

CANAL = make_canal()
STACKS = {1: [make_sagittal()], 2: [make_sagittal(count=13)], 3: [make_axial(CANAL)]}
STUDY = make_study(STACKS, {1: SAGITTAL_T1, 2: SAGITTAL_T2, 3: AXIAL_T2})


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
