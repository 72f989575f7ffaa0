import numpy as np
import pandas as pd
import pytest

from kitlib.errors import DataError
from kitlib.mri.study import Series, Study
from kitlib.prepare.grey import GREY_OPTIONS
from kitlib.report.figures import images
from kitlib.report.figures.images import first_readable
from kitlib.terms import AXIAL_T2, EMPTY, SAGITTAL_T2
from tests.report.builders import SERIES, drawn, make_labels, make_landmarks, make_stack

AXIAL_ID = SERIES["subarticular"]


@pytest.fixture
def points():
    labels = make_labels(1, empty=0)
    return images.points_of(make_landmarks(labels), labels, 100)


def make_study(*series: Series) -> Study:
    return Study(100, series)


@pytest.mark.parametrize("slices", [1, 5, 13])
def test_a_montage_shows_every_slice_with_its_position(slices):
    stack = make_stack(slices)
    texts = drawn(images.montage([stack], "A series"))
    assert {f"{position:.1f} mm" for position in stack.positions_mm} <= set(texts)


def test_a_montage_of_nothing_says_so():
    assert drawn(images.montage([], "A series")) == ["no slices"]
    for study in (make_study(), make_study(Series(1, AXIAL_T2, ()))):
        assert drawn(images.planes(study, "A study")) == ["no image of this study can be shown"]
        assert drawn(images.stack_positions(study, "A study")) == ["no stack to place"]


def test_planes_show_landmarks_with_level_and_side(points):
    axial = Series(AXIAL_ID, AXIAL_T2, (make_stack(sequence=AXIAL_T2),))
    texts = drawn(images.planes(make_study(axial, Series(1, SAGITTAL_T2, (make_stack(),))), "100", points))
    assert "L4/L5 left" in texts
    assert "Sagittal T2/STIR, sagittal\nslice 3 of 5" in texts  # no point of this series: the middle one


def test_points_carry_the_severity_of_their_cell(points):
    labels = make_labels(1, empty=0)
    for row in points.itertuples():
        assert row.severity == labels.at[100, f"{row.condition}_{row.level}"]
    assert (images.points_of(points, labels.iloc[:0], 100)["severity"] == EMPTY).all()
    assert images.points_of(points, labels, 101).empty


def test_the_fullest_slice_is_found_by_instance_number_in_its_own_series(points):
    stack, small = make_stack(), make_stack(1)  # instance numbers 5, 4, 3, 2, 1; and 1
    left = points[(points["instance_number"] == 4) & (points["series_id"] == AXIAL_ID)]
    series = [Series(AXIAL_ID, AXIAL_T2, (small, stack)), Series(99, AXIAL_T2, (make_stack(9),))]
    for number, index in ((4, 1), (1, 4)):
        found, at, own = images.fullest_slice(series, left.assign(instance_number=number))
        assert (found, at, len(own)) == (stack, index, len(left))
    assert images.fullest_slice(series[:1], images.NO_POINTS)[:2] == (stack, 2)
    assert len(images.fullest_slice(series, left.assign(series_id=1))[0]) == 9  # of another series: none


def test_stacks_of_a_series_are_shown_in_the_order_of_the_patient():
    lower, upper = make_stack(2, sequence=AXIAL_T2), make_stack(2, sequence=AXIAL_T2, first_mm=50.0)
    figure = images.montage([upper, lower], "Axial")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["-10.0 mm", "-6.0 mm", "50.0 mm", "54.0 mm"]


def test_constant_slices_are_drawn():
    stack = make_stack(2)
    stack.pixels[:] = 7.0
    limits = [axes.images[0].get_clim() for axes in images.montage([stack], "constant").axes]
    assert limits == [(7, 8)] * 2  # a window of some width
    assert np.isclose(images.height_per_width(stack), 10 * 0.9 / (12 * 0.6))


@pytest.mark.slow
@pytest.mark.parametrize("slices", [1, 4, 15])
def test_an_order_is_drawn_with_its_units(slices):
    stack = make_stack(slices)
    order = np.argsort(np.array(stack.files))
    texts = drawn(images.slice_order(stack, order, "By file name"))
    assert "position along\nthe normal (mm)" in texts
    lines = images.slice_order(stack, order, "").findobj(lambda artist: artist.__class__.__name__ == "Line2D")
    assert any(np.array_equal(line.get_ydata(), stack.positions_mm[order]) for line in lines)


def test_an_empty_order_says_so():
    assert drawn(images.slice_order(make_stack(), [], "")) == ["no slices"]


def test_stacks_are_drawn_in_both_views_at_their_places():
    axial = make_stack(3, sequence=AXIAL_T2)
    study = make_study(Series(1, SAGITTAL_T2, (make_stack(),)), Series(2, AXIAL_T2, (axial,)))
    figure = images.stack_positions(study, "A study")
    assert {"seen from the side", "seen from the front", AXIAL_T2, "foot to head, z (mm)"} <= set(
        drawn(figure)
    )
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert low <= axial.positions_mm.min()
        assert high >= axial.positions_mm.max()


def test_every_grey_option_is_shown_with_its_histogram():
    pixels = np.random.default_rng(0).integers(0, 255, (20, 16), dtype=np.uint8)
    texts = drawn(images.grey_options(pixels, GREY_OPTIONS, "One slice"))
    assert {*GREY_OPTIONS, "grey value (0-255)", "pixels"} <= set(texts)


SAGITTAL, AXIAL = make_stack(), make_stack(sequence=AXIAL_T2)
ROWS = pd.DataFrame({"study_id": [1, 1, 2], "folder": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("readable", "expected"),
    [
        ({"b": AXIAL, "c": SAGITTAL}, (2, SAGITTAL)),
        ({"a": SAGITTAL, "c": SAGITTAL}, (1, SAGITTAL)),
        ({"b": AXIAL}, (1, AXIAL)),
    ],
)
def test_a_sagittal_series_is_preferred_to_the_first_that_can_be_read(monkeypatch, readable, expected):
    def read(folder, _):
        return [readable[folder.name]] if folder.name in readable else []

    monkeypatch.setattr(images, "read_series", read)
    assert first_readable(ROWS) == expected


def test_nothing_to_read_is_said_clearly(tmp_path):
    with pytest.raises(DataError, match="none of 3 series can be read"):
        first_readable(ROWS.assign(folder=str(tmp_path / "absent")))
