import numpy as np
import pandas as pd
import pytest

from kitlib.errors import UsageError
from kitlib.phantom import annotators
from kitlib.phantom import study as module
from kitlib.phantom.annotators import LANDMARK_DEFECTS
from kitlib.phantom.body.anatomy import draw_anatomy
from kitlib.phantom.labels import reading_probabilities
from kitlib.phantom.study import PhantomStudy, draw_study
from kitlib.terms import AXIAL_T2, CELLS, EMPTY, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES, Cell, group2sequence

STUDIES = range(6)


@pytest.fixture(scope="module")
def studies() -> list[PhantomStudy]:
    return [draw_study(study_id, seed=7, size="smoke", missing_rate=0) for study_id in STUDIES]


def truth_of(study_id: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> list:
    """The anatomy behind a study."""
    drawn: list = []
    monkeypatch.setattr(
        module, "draw_anatomy", lambda *given: drawn.append(draw_anatomy(*given)) or drawn[-1]
    )
    draw_study(study_id, seed=seed, size="smoke", missing_rate=0)
    return drawn


def test_three_series_in_the_planes_of_their_names(studies: list[PhantomStudy]) -> None:
    for study in studies:
        found = [series.sequence for series in study.series]
        assert set(found) == set(SEQUENCES)
        assert found == sorted(found, key=SEQUENCES.index)
        planes = {series.sequence: {stack.plane for stack in series.stacks} for series in study.series}
        assert planes == {SAGITTAL_T1: {"sagittal"}, SAGITTAL_T2: {"sagittal"}, AXIAL_T2: {"axial"}}


def test_instances_are_numbered_once(studies: list[PhantomStudy]) -> None:
    for study in studies:
        for series in study.series:
            numbers = np.concatenate([stack.instance_numbers for stack in series.stacks])
            assert len(set(numbers)) == len(numbers)
            assert min(numbers) >= 1


def test_pixels_are_whole_numbers_with_contrast(studies: list[PhantomStudy]) -> None:
    for study in studies:
        for series in study.series:
            for stack in series.stacks:
                assert stack.pixels.dtype == np.float32
                assert np.array_equal(stack.pixels, np.rint(stack.pixels))
                assert stack.pixels.min() >= 0
                assert stack.pixels.std() > 20


def test_a_landmark_for_each_label_on_the_sequence_it_is_graded_on(studies: list[PhantomStudy]) -> None:
    for study in studies:
        sequences = {series.series_id: series.sequence for series in study.series}
        places = list(zip(study.landmarks["condition"], study.landmarks["level"]))
        assert places == [tuple(cell) for cell, label in zip(CELLS, study.labels) if label != EMPTY]
        for cell, series_id in zip(
            (cell for cell, label in zip(CELLS, study.labels) if label != EMPTY), study.landmarks["series_id"]
        ):
            assert sequences[series_id] == group2sequence[cell.group]


def test_landmarks_lie_at_the_anatomy(monkeypatch: pytest.MonkeyPatch) -> None:
    (anatomy,) = truth_of(3, 7, monkeypatch)
    study = draw_study(3, seed=7, size="smoke", missing_rate=0)
    stacks = {series.series_id: series.stacks for series in study.series}
    motion = {series.series_id: series.motion_mm for series in study.series}
    for point in study.landmarks.itertuples():
        place = motion[point.series_id] + anatomy.place_mm(Cell(point.condition, point.level))
        stack, index = next(
            (stack, int(np.flatnonzero(stack.instance_numbers == point.instance_number)[0]))
            for stack in stacks[point.series_id]
            if point.instance_number in stack.instance_numbers
        )
        found = stack.to_patient(point.x, point.y, index)
        off_plane = abs((found - place) @ stack.normal)
        in_plane = np.linalg.norm((found - place) - ((found - place) @ stack.normal) * stack.normal)
        assert in_plane < 0.5 * stack.spacing_mm[0]
        assert off_plane <= 0.5 * stack.step_mm + 1e-6
        assert np.allclose(place, [point.x_mm, point.y_mm, point.z_mm])
        assert 0 <= point.x < stack.pixels.shape[2]
        assert 0 <= point.y < stack.pixels.shape[1]


@pytest.mark.slow
def test_many_plans_hold_all_their_landmarks() -> None:
    """Every point is inside its image and within half a step of its slice, whatever spine was drawn."""
    for study_id in range(100, 108):
        study = draw_study(study_id, seed=2, size="smoke", missing_rate=0)
        for series in study.series:
            points = study.landmarks[study.landmarks["series_id"] == series.series_id]
            for place in points[["x_mm", "y_mm", "z_mm"]].to_numpy():
                nearest = min(
                    series.stacks, key=lambda stack: np.abs(stack.positions_mm - place @ stack.normal).min()
                )
                col, row, index = nearest.to_pixel(place)
                assert -0.5 <= index <= len(nearest) - 0.5
                assert 0 <= col < nearest.pixels.shape[2]
                assert 0 <= row < nearest.pixels.shape[1]


def test_uncovered_levels_have_no_axial_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "draw_uncovered", lambda studies, _: np.full(studies, 2))
    for study_id in range(2):
        study = draw_study(study_id, seed=11, size="smoke", missing_rate=0)
        axial = next(series for series in study.series if series.sequence == AXIAL_T2)
        canal = study.landmarks[study.landmarks["condition"] == "spinal_canal_stenosis"]
        assert len(canal) == 5
        assert axial.stacks
        for place in canal[["x_mm", "y_mm", "z_mm"]].to_numpy()[:2]:
            assert all(place @ stack.normal > stack.positions_mm[-1] + 5 for stack in axial.stacks)


def test_the_same_seed_draws_the_same_study(studies: list[PhantomStudy]) -> None:
    again = draw_study(2, seed=7, size="smoke", missing_rate=0)
    assert np.array_equal(again.labels, studies[2].labels)
    pd.testing.assert_frame_equal(again.landmarks, studies[2].landmarks)
    for one, other in zip(again.series, studies[2].series):
        assert one.series_id == other.series_id
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one.stacks, other.stacks))


def test_other_seeds_and_ids_draw_others(studies: list[PhantomStudy]) -> None:
    assert studies[0].series[0].series_id != studies[1].series[0].series_id
    other = draw_study(0, seed=8, size="smoke", missing_rate=0)
    assert not np.allclose(other.landmarks["z_mm"].iloc[0], studies[0].landmarks["z_mm"].iloc[0])


@pytest.mark.slow
def test_missing_series() -> None:
    missing = [draw_study(study_id, seed=1, size="smoke", missing_rate=1) for study_id in range(6)]
    for study in missing:
        present = {series.sequence for series in study.series}
        assert len(present) == 2
        assert set(study.landmarks["series_id"]) <= {series.series_id for series in study.series}
        if AXIAL_T2 not in present:
            assert (study.labels[15:] == EMPTY).all()
    assert len({frozenset(series.sequence for series in study.series) for study in missing}) > 1


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(UsageError, match="no phantom size 'huge'"):
        draw_study(1, seed=1, size="huge")


def test_given_grades_are_the_truth_and_readers_scatter_around_it() -> None:
    grades = np.linspace(0.2, 2.8, len(CELLS))
    study = draw_study(4, seed=3, size="smoke", missing_rate=0, grades=grades)
    assert np.array_equal(study.grades, grades)
    assert np.array_equal(study.severities, np.floor(grades))
    sure = reading_probabilities(grades[None])[0].max(axis=1) > 0.999
    read = study.labels != EMPTY
    assert (sure & read).any()
    assert np.array_equal(study.labels[sure & read], study.severities[sure & read])


def test_patients_move_between_series_and_not_within_the_first(studies: list[PhantomStudy]) -> None:
    moved = [np.linalg.norm(series.motion_mm) for study in studies for series in study.series[1:]]
    assert not any(study.series[0].motion_mm.any() for study in studies)
    assert 0.2 < max(moved) <= 3


def test_defects_of_the_points_leave_truth_and_images_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotators, "SWAPPED_RATE", 1.0)
    monkeypatch.setattr(annotators, "OFF_BY_ONE_RATES", {SAGITTAL_T1: 1.0, SAGITTAL_T2: 1.0})
    plain, wrong = (
        draw_study(5, seed=3, size="smoke", missing_rate=0, defects=defects)
        for defects in ((), LANDMARK_DEFECTS)
    )
    pd.testing.assert_frame_equal(plain.landmarks, wrong.landmarks)
    assert np.array_equal(plain.series[0].stacks[0].pixels, wrong.series[0].stacks[0].pixels)
    both = plain.points.merge(wrong.points, on=["condition", "level"])
    spinal = both[both["condition"] == "spinal_canal_stenosis"]
    assert ((spinal["y_x"] - spinal["y_y"]).abs() > 3).all()
    left = both[both["condition"] == "left_subarticular_stenosis"]
    assert (left["x_x"] > left["x_y"]).all()
