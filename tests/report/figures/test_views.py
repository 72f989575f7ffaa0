"""Figures of views: slices in order, attention below them, the right side as radiologists see it."""

import cv2
import numpy as np
import pandas as pd

from kitlib.mri.study import Series, Study
from kitlib.prepare.views import SLOTS, VIEW_PX, VIEWS
from kitlib.report.figures.views import BAR_PX, GAP_PX, gallery, located_in, slot_png, view_bgr
from kitlib.terms import AXIAL_T2, CELLS, SEQUENCES, group2sequence
from tests.report.builders import make_examination, make_stack

STUDY = Study(
    7, tuple(Series(number, name, (make_stack(sequence=name),)) for number, name in enumerate(SEQUENCES))
)


def test_slices_stand_side_by_side_over_their_attention():
    images = np.stack([np.full((20, 20), grey, np.uint8) for grey in (50, 100, 150)])
    present = np.array([True, False, True])
    picture = view_bgr(images, present, np.array([0.25, 0.0, 0.75]), is_mirrored=False)
    assert picture.shape == (20 + GAP_PX + BAR_PX, 3 * 20 + 2 * GAP_PX, 3)
    assert [int(picture[10, 10 + index * (20 + GAP_PX), 0]) for index in range(3)] == [50, 0, 150]
    bars = picture[-1].std(axis=-1) > 20  # coloured, not grey
    widths = [int(bars[start : start + 20].sum()) for start in (0, 20 + GAP_PX, 2 * (20 + GAP_PX))]
    assert widths == [5, 0, 15]


def test_mirrored_views_are_turned_back():
    ramp = np.tile(np.arange(0, 200, 10, dtype=np.uint8), (1, 20, 1))
    plain, turned = (
        view_bgr(ramp, np.ones(1, bool), np.ones(1), is_mirrored=way)[:20] for way in (False, True)
    )
    np.testing.assert_array_equal(plain, turned[:, ::-1])
    examination = make_examination(STUDY)
    for number, slot in enumerate(SLOTS):
        png = np.frombuffer(slot_png(examination, number), np.uint8)
        picture = cv2.imdecode(png, cv2.IMREAD_COLOR)
        first = picture[:VIEW_PX, :VIEW_PX, 0]
        edge = (examination.crops.images.shape[-1] - VIEW_PX) // 2
        stored = examination.crops.images[number, 0, edge : edge + VIEW_PX, edge : edge + VIEW_PX]
        is_mirrored = CELLS[slot.cell].side == "right" and VIEWS[slot.view].sequence == AXIAL_T2
        np.testing.assert_array_equal(first, stored[:, ::-1] if is_mirrored else stored)


def test_points_lie_on_the_sequence_that_grades_them():
    missing = next(number for number, slot in enumerate(SLOTS) if CELLS[slot.cell].group == "foraminal")
    located = located_in(STUDY, make_examination(STUDY, absent=(missing,)).crops)
    assert len(located.points) == len(CELLS) - 1
    place2group = {"canal": "spinal", "foramen": "foraminal", "recess": "subarticular"}
    for point in located.points:
        sequence = group2sequence[place2group[point.landmark.place]]
        assert STUDY.series[point.series_id].sequence == sequence
        assert point.confidence == 0.9
    fewer = located_in(STUDY.without([AXIAL_T2]), make_examination(STUDY).crops)
    assert {point.landmark.place for point in fewer.points} == {"canal", "foramen"}


def test_a_gallery_has_a_row_for_each_cell_and_says_what_was_read():
    cells = pd.DataFrame(
        {
            "study_id": [7, 7],
            "cell": [0, 16],
            "severity": [2, 0],
            "probability": [0.01, 0.2],
            "loss": [9.0, 1.6],
        }
    )
    picture = gallery(cells, 2 * [make_examination(STUDY)])
    assert len(picture.axes) == 4
    assert [len(axes.images) for axes in picture.axes] == [1, 1, 1, 0]  # the canal on two sequences
    said = picture.axes[0].texts[0].get_text()
    assert "study 7" in said
    assert "label Severe,\npredicted 1.0%" in said
    assert gallery(cells, []).axes[0].texts[0].get_text() == "no cell to show"
