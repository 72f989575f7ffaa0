"""Views: squares of fixed size in mm, the same from any geometry, each with its own grey scale."""

import dataclasses

import numpy as np
import pytest

from kitlib.prepare.views import VIEW_PX, VIEWS, View, cut_view
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, Landmark
from tests.prepare.test_crops import PLACE, dot_at, make_stack

FORAMEN = View("foramen", SAGITTAL_T1)
RECESS = View("recess", AXIAL_T2)
LEFT, RIGHT = (Landmark("recess", "l4_l5", side) for side in ("left", "right"))
BESIDE_MM = np.array([8.0, 0.0, 0.0])  # to the patient's left, which is right on an axial image


def test_a_place_is_the_middle_of_its_view() -> None:
    images, present = cut_view([make_stack(dot_at(PLACE))], FORAMEN, LEFT, PLACE) or ([], [])
    assert images.shape == (3, VIEW_PX, VIEW_PX)
    assert images.dtype == np.uint8
    assert present.all()
    brightest = np.argwhere(images[1] == images[1].max()).mean(axis=0)
    np.testing.assert_allclose(brightest, (VIEW_PX - 1) / 2, atol=0.5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_greys_do_not_depend_on_the_scale_of_pixels(scale: float) -> None:
    stack = make_stack(lambda at: 500 + at @ np.array([1.0, 2.0, -3.0]))
    scaled = dataclasses.replace(stack, pixels=stack.pixels * np.float32(scale))
    (expected, _), (found, _) = (cut_view([which], FORAMEN, LEFT, PLACE) for which in (stack, scaled))
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_right_recess_looks_like_a_left_one() -> None:
    left = cut_view([make_stack(dot_at(PLACE + BESIDE_MM), "axial")], RECESS, LEFT, PLACE)
    right = cut_view([make_stack(dot_at(PLACE - BESIDE_MM), "axial")], RECESS, RIGHT, PLACE)
    assert np.abs(left[0].astype(int) - right[0]).max() <= 1
    assert left[0][1].argmax() % VIEW_PX > VIEW_PX / 2


def test_slices_that_are_not_there_are_told() -> None:
    stack = make_stack(dot_at(PLACE), shape=(2, 120, 100))
    images, present = cut_view([stack], FORAMEN, LEFT, stack.centres_mm[0], slices=5)
    assert present.tolist() == [False, False, True, True, False]
    assert not images[~present].any()


def test_slices_that_nobody_has_numbered_are_there() -> None:
    stack = make_stack(dot_at(PLACE))
    bare = dataclasses.replace(stack, instance_numbers=np.full(len(stack), -1))
    (expected, _), (images, present) = (cut_view([which], FORAMEN, LEFT, PLACE) for which in (stack, bare))
    assert present.all()
    np.testing.assert_array_equal(images, expected)


def test_what_lies_beside_the_image_is_black_and_the_rest_is_not() -> None:
    stack = make_stack(lambda at: 500 + at @ np.array([1.0, 2.0, -3.0]), shape=(3, 40, 40))
    images, _ = cut_view([stack], FORAMEN, LEFT, PLACE)
    shown = images[1] > 0
    assert not shown[0].any()
    assert shown[VIEW_PX // 2].sum() == pytest.approx(40 * 1.1 / 54 * VIEW_PX, abs=2)


def test_there_is_no_view_of_what_no_stack_shows() -> None:
    assert cut_view([make_stack(dot_at(PLACE))], FORAMEN, LEFT, PLACE + 200 * np.eye(3)[0]) is None
    assert cut_view([], FORAMEN, LEFT, PLACE) is None


def test_each_place_has_a_view_on_each_sequence_once() -> None:
    assert len(set(VIEWS)) == len(VIEWS)
    assert {view.place for view in VIEWS} == {"canal", "foramen", "recess"}
