"""Linked planes: every plane shows the same point, and draws what the model read there."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from kitlib.mri.ledger import Ledger
from kitlib.mri.study import Series, Study
from kitlib.predict.folder import StudyResult
from kitlib.predict.predictor import FULL, Prediction
from kitlib.prepare.views import SLOTS, VIEWS, slots_of
from kitlib.report.figures import linked as figures
from kitlib.report.figures.linked import (
    LinkedPlanes,
    at_shares,
    cell_title,
    linked,
    plane_png,
    slice_title,
)
from kitlib.terms import AXIAL_T2, CELLS, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES, Cell, landmark_of
from tests.mri.test_study import make_stack
from tests.report.builders import drawn, make_examination

PLANE = {SAGITTAL_T1: "sagittal", SAGITTAL_T2: "sagittal", AXIAL_T2: "axial"}
STUDY = Study(
    7, tuple(Series(number, name, (make_stack(PLANE[name]),)) for number, name in enumerate(SEQUENCES))
)
CANAL = CELLS.index(Cell("spinal_canal_stenosis", "l4_l5"))
FORAMEN = CELLS.index(Cell("right_neural_foraminal_narrowing", "l2_l3"))


def make_result(study=STUDY, examination=None) -> StudyResult:
    examination = examination or make_examination(study)
    return StudyResult(study, Prediction.of(examination.probabilities, FULL), examination, Ledger())


PLANES = LinkedPlanes(make_result())


def test_the_planes_meet_in_the_point_where_they_hold_it():
    point_mm = PLANES.start_mm(CANAL)
    for sequence, shown in PLANES.shown(point_mm).items():
        assert shown.series.sequence == sequence
        (stack,) = STUDY.stacks(sequence)
        assert shown.index == np.abs(stack.positions_mm - point_mm @ stack.normal).argmin()
        across_mm = shown.point_mm - point_mm
        np.testing.assert_allclose(across_mm - across_mm @ stack.normal * stack.normal, 0, atol=1e-9)


def test_a_click_moves_the_other_planes_to_where_it_points():
    clicked = at_shares(PLANES.shown(PLANES.start_mm(CANAL))[SAGITTAL_T2], 0.25, 0.8)
    _, height, width = clicked.stack.pixels.shape
    assert clicked.xy.tolist() == pytest.approx([0.25 * width - 0.5, 0.8 * height - 0.5])
    axial = PLANES.shown(clicked.point_mm)[AXIAL_T2]
    heights = axial.stack.centres_mm[:, 2]
    assert axial.index == np.abs(heights - clicked.point_mm[2]).argmin()
    again = PLANES.shown(clicked.point_mm)[SAGITTAL_T2]
    assert (again.stack, again.index) == (clicked.stack, clicked.index)
    np.testing.assert_allclose(again.xy, clicked.xy)


def test_scrolling_goes_through_all_stacks_as_they_lie_in_the_patient():
    (stack,) = STUDY.stacks(AXIAL_T2)
    above = replace(stack, origins_mm=stack.origins_mm + 100 * stack.normal)
    study = Study(7, (Series(1, AXIAL_T2, (above,)), Series(2, AXIAL_T2, (stack,))))
    slices = LinkedPlanes(make_result(study, make_examination(STUDY))).slices(AXIAL_T2, np.zeros(3))
    assert len(slices) == 2 * len(stack)
    assert [shown.series.series_id for shown in slices] == [2] * len(stack) + [1] * len(stack)
    heights = [shown.point_mm[2] for shown in slices]
    assert heights == sorted(heights)


def test_attention_stands_on_the_slices_that_were_looked_at_and_on_no_other():
    examination = PLANES.result.examination
    for cell in (CANAL, FORAMEN):
        for slot in slots_of(cell):
            sequence = VIEWS[SLOTS[slot].view].sequence
            found = [PLANES.attention(shown, cell) for shown in PLANES.slices(sequence, np.zeros(3))]
            assert [weight for number, weight in filter(None, found) if number == slot] == pytest.approx(
                examination.slice_weights[slot].tolist()
            )
            assert found[0] is None
            assert found[-1] is None
    assert PLANES.attention(PLANES.slices(SAGITTAL_T1, np.zeros(3))[2], CANAL) is None


def test_places_are_drawn_on_the_sequences_of_their_views_alone():
    for sequence, shown in PLANES.shown(PLANES.start_mm(CANAL)).items():
        places = {landmark.place for landmark in PLANES.places_on(shown)}
        assert places == {view.place for view in VIEWS if view.sequence == sequence}
    far = PLANES.slices(SAGITTAL_T2, np.zeros(3))[0]  # four slices from the middle, where all places are
    assert PLANES.places_on(far) == {}


def test_the_gravest_cell_is_the_first_to_be_seen():
    chances = np.tile((0.9, 0.1, 0.0), (25, 1))
    chances[FORAMEN] = (0.2, 0.1, 0.7)
    result = replace(PLANES.result, prediction=Prediction.of(chances, FULL))
    assert LinkedPlanes(result).gravest == FORAMEN
    assert cell_title(FORAMEN) == "L2/L3, right foramen"
    assert linked(LinkedPlanes(result)).get_suptitle() == "Study 7: L2/L3, right foramen"


def test_a_place_that_nobody_found_starts_in_the_middle():
    examination = make_examination(STUDY, absent=tuple(slots_of(FORAMEN)))
    planes = LinkedPlanes(make_result(examination=examination))
    assert landmark_of(CELLS[FORAMEN]) not in planes.places
    stack = STUDY.stacks(SAGITTAL_T1)[0]
    assert planes.start_mm(FORAMEN).tolist() == stack.centres_mm[len(stack) // 2].tolist()
    assert drawn(linked(planes, FORAMEN)).count("no view of it") == 1  # each text is named once


def test_without_views_the_localiser_is_asked(monkeypatch):
    asked = []

    class Fake:
        def locate_study(self, study):
            asked.append(study)
            return type("Located", (), {"points": ()})

    monkeypatch.setattr(figures, "shipped_localiser", Fake)
    planes = LinkedPlanes(replace(PLANES.result, examination=None))
    assert planes.places == {}
    assert asked == [STUDY]
    assert drawn(linked(planes, CANAL)).count("no view of it") == 1


def test_the_figure_says_everything_in_words():
    texts = drawn(linked(PLANES, CANAL))
    assert {"H", "F", "A", "P", "R", "L"} <= set(texts)
    for sequence, shown in PLANES.shown(PLANES.start_mm(CANAL)).items():
        assert slice_title(shown) == f"{sequence}, slice {shown.index + 1} of 9"
        assert slice_title(shown) in texts
        if found := PLANES.attention(shown, CANAL):
            assert f"attention {found[1]:.0%}" in texts
    for words in PLANES.result.severities.to_numpy().ravel():
        assert words.replace(", ", "\n") in texts
    assert drawn(linked(LinkedPlanes(make_result(Study(7, ()), make_examination(STUDY, absent=range(40))))))


def test_a_point_out_of_reach_is_said_to_be_so():
    far = PLANES.shown(PLANES.start_mm(CANAL) + np.array([0, 0, 300.0]))[AXIAL_T2]
    assert slice_title(far).endswith(" mm off")


def test_the_letters_say_where_the_patient_lies_however_slices_are_stored():
    shown = PLANES.shown(PLANES.start_mm(CANAL))[AXIAL_T2]
    for flipped in (False, True):
        stack = shown.stack.laid_out(flip_columns=flipped)
        axes = figures.new_figure(2, 2).add_subplot()
        figures._draw_letters(axes, stack)
        places = {text.get_text(): text.get_position()[0] for text in axes.texts}
        assert (places["R"] < places["L"]) != flipped


def test_a_plane_alone_has_no_edge_so_that_clicks_are_shares_of_the_slice():
    shown = PLANES.shown(PLANES.start_mm(CANAL))[SAGITTAL_T2]
    pixels = cv2.imdecode(np.frombuffer(plane_png(PLANES, shown, CANAL), np.uint8), cv2.IMREAD_GRAYSCALE)
    height, width = pixels.shape
    assert height / width == pytest.approx(80 / 100, rel=0.01)
    assert not (pixels[[0, -1]] == 255).all(axis=1).any()
    assert not (pixels[:, [0, -1]] == 255).all(axis=0).any()
