import numpy as np
import pytest

from kitlib.localise.localiser import Localiser
from kitlib.localise.points import Located
from kitlib.report.figures.overlay import overlay
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2
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


def test_nothing_to_show():
    assert overlay(make_study({}), Located((), True, "no image can be read")).axes[0].texts
    assert overlay(make_study({1: []}), Located((), True, None)).axes[0].texts


def test_points_of_series_that_are_not_given_are_left_out(located):
    picture = overlay(STUDY.without([SAGITTAL_T1, AXIAL_T2]), located)
    assert titles_of(picture) == ["canal"]
    np.testing.assert_equal(len(picture.axes), 1)
