"""Figures of levels: every point and cell is shown, and what is missing or guessed is marked."""

import numpy as np
import pytest

from kitlib.inputs.crops import StudyCrops
from kitlib.localise.localiser import Localiser
from kitlib.localise.points import Located
from kitlib.prepare.views import MARGIN_PX, SLOTS, without_margin
from kitlib.report.figures.levels import crop_grid, overlay
from kitlib.terms import AXIAL_T2, LEVELS, SAGITTAL_T1, SAGITTAL_T2
from tests.localise.fakes import (
    NETWORKS,
    fake_reader,
    make_axial,
    make_canal,
    make_places,
    make_sagittal,
    make_study,
)

CANAL = make_canal()
SEQUENCES = {1: SAGITTAL_T1, 2: SAGITTAL_T2, 3: AXIAL_T2}
STUDY = make_study({1: [make_sagittal()], 2: [make_sagittal(count=13)], 3: [make_axial(CANAL)]}, SEQUENCES)


@pytest.fixture(scope="module")
def located() -> Located:
    return Localiser(NETWORKS, read=fake_reader(make_places(CANAL))).locate_study(STUDY)


def titles_of(picture):
    return [axes.get_title(loc="left").split(",")[0] for axes in picture.axes if axes.get_title(loc="left")]


def test_three_planes_and_each_point_named(located):
    picture = overlay(STUDY, located, "a study")
    recesses = [f"recesses L{k}/{below}" for k, below in zip(range(1, 6), ("L2", "L3", "L4", "L5", "S1"))]
    assert titles_of(picture) == ["canal", "left foramina", "right foramina", *recesses]
    names = [text.get_text() for text in picture.axes[0].texts]
    assert names == ["T12/L1", "L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1", "S1/S2"]
    assert {text.get_text() for text in picture.axes[-1].texts} <= {"left", "right"}
    assert picture._repr_png_().startswith(b"\x89PNG")


def test_an_abstention_is_told_and_its_guess_marked_as_one(located):
    unsure = tuple(
        type(point)(**{**vars(point), "confidence": 0.3 * point.confidence}) for point in located.points
    )
    picture = overlay(STUDY, Located(unsure, True, "the count is ambiguous"))
    assert "ABSTAINED: the count is ambiguous" in picture.get_suptitle()
    assert picture.axes[0].texts[0].get_text().startswith("T12/L1 (")


def test_nothing_found_shows_the_middle_slices():
    picture = overlay(STUDY, Located((), True, "no canal"))
    assert titles_of(picture) == ["series 1", "series 2", "series 3"]
    assert "no canal" in picture.get_suptitle()


def test_without_images_there_is_the_reason_alone():
    for series, reason in (({}, "no image can be read"), ({1: []}, None)):
        (text,) = overlay(make_study(series), Located((), True, reason)).axes[0].texts
        assert text.get_text() == (reason or "no image can be shown")


def test_points_of_series_that_are_not_given_are_left_out(located):
    picture = overlay(STUDY.without([SAGITTAL_T1, AXIAL_T2]), located)
    assert titles_of(picture) == ["canal"]
    np.testing.assert_equal(len(picture.axes), 1)


def make_crops() -> StudyCrops:
    images = np.random.default_rng(0).integers(1, 255, (len(SLOTS), 3, MARGIN_PX, MARGIN_PX), np.uint8)
    present = np.ones((len(SLOTS), 3), bool)
    return StudyCrops(images, present, np.zeros((len(SLOTS), 3)), np.ones(len(SLOTS)))


def headings(picture) -> list[str]:
    return [axes.get_title(loc="left") for axes in picture.axes]


def test_a_row_for_each_place_side_and_sequence_and_a_column_for_each_level():
    picture = crop_grid(make_crops(), "a study")
    assert len(picture.axes) == len(SLOTS)
    assert headings(picture)[: len(LEVELS)] == ["L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1"]
    names = [axes.texts[0].get_text() for axes in picture.axes[:: len(LEVELS)]]
    assert names[0] == "canal\nSagittal T2/STIR\n54 x 54 mm"
    assert names[-1] == "right recess\nAxial T2\n43 x 43 mm"
    assert picture._repr_png_().startswith(b"\x89PNG")


def test_the_middle_slice_is_shown_without_its_margin():
    crops = make_crops()
    shown = crop_grid(crops).axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown, without_margin(crops.images[0, 1]))


def test_what_is_guessed_or_missing_is_said():
    crops = make_crops()
    crops.confidences[SLOTS.index((1, 0))] = 0
    crops.present[SLOTS.index((2, 0))] = False
    picture = crop_grid(crops)
    assert headings(picture)[:3] == ["L1/L2", "L2/L3, guessed", "L3/L4"]
    assert not picture.axes[2].images


def test_nothing_to_show():
    crops = make_crops()
    crops.present[:] = False
    assert crop_grid(crops).axes[0].texts[0].get_text() == "no crop to show"
