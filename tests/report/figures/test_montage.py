import numpy as np
import pytest

from kitlib.report.figures import montage
from kitlib.terms import AXIAL_T2, EMPTY, SAGITTAL_T2
from tests.report.builders import SERIES, drawn, make_labels, make_landmarks, make_stack


@pytest.fixture
def points():
    labels = make_labels(1, empty=0)
    return montage.points_of(make_landmarks(labels), labels, 100, SERIES["subarticular"])


@pytest.mark.parametrize("slices", [1, 5, 13])
def test_a_montage_shows_every_slice_with_its_position(slices):
    stack = make_stack(slices)
    texts = drawn(montage.montage([stack], "A series"))
    assert {f"{position:.1f} mm" for position in stack.positions_mm} <= set(texts)


def test_a_montage_of_nothing_says_so():
    assert drawn(montage.montage([], "A series")) == ["no slices"]
    assert (
        drawn(montage.planes({}, {}, "A study"))
        == drawn(montage.planes({AXIAL_T2: []}, {}, ""))
        == ["no image of this study can be shown"]
    )


def test_planes_show_landmarks_with_level_and_side(points):
    stacks = {AXIAL_T2: [make_stack(sequence=AXIAL_T2)], SAGITTAL_T2: [make_stack()]}
    texts = drawn(montage.planes(stacks, {AXIAL_T2: points}, "Study 100"))
    assert "L4/L5 left" in texts
    assert "Sagittal T2/STIR, sagittal\nslice 3 of 5" in texts  # without points: the middle one


def test_points_carry_the_severity_of_their_cell(points):
    labels = make_labels(1, empty=0)
    for row in points.itertuples():
        assert row.severity == labels.at[100, f"{row.condition}_{row.level}"]
    assert (
        montage.points_of(points, labels.iloc[:0], 100, SERIES["subarticular"])["severity"] == EMPTY
    ).all()


def test_the_fullest_slice_is_found_by_instance_number(points):
    stack = make_stack()  # instance numbers 5, 4, 3, 2, 1
    left_only = points[points["instance_number"] == 4]
    small = make_stack(1)  # instance number 1
    assert montage.fullest_slice([small, stack], left_only) == (stack, 1)
    assert montage.fullest_slice([small, stack], left_only.assign(instance_number=1)) == (stack, 4)
    for none in (None, points.iloc[:0]):
        assert montage.fullest_slice([small, stack], none) == (stack, 2)


def test_stacks_of_a_series_are_shown_in_the_order_of_the_patient():
    lower, upper = make_stack(2, sequence=AXIAL_T2), make_stack(2, sequence=AXIAL_T2, first_mm=50.0)
    figure = montage.montage([upper, lower], "Axial")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["-10.0 mm", "-6.0 mm", "50.0 mm", "54.0 mm"]


def test_constant_slices_are_drawn():
    stack = make_stack(2)
    stack.pixels[:] = 7.0
    assert drawn(montage.montage([stack], "constant"))
    assert np.isclose(montage.height_per_width(stack), 10 * 0.9 / (12 * 0.6))
