"""A study: its sequences, the slice that shows a point, and rows touched by missing or doubtful images."""

from dataclasses import replace

import numpy as np
import pytest

from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.stack import Stack
from kitlib.mri.study import Series, Study, note_missing_sequences, rows_graded_on, rows_in_doubt
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES


def make_stack(plane: str, *, count: int = 9, step_mm: float = 4.0, first_number: int = 1) -> Stack:
    """Slices about the origin, oblique by 5 degrees."""
    turn = np.radians(5)
    axes = {
        "sagittal": ([0, 1, 0], [0, 0, -1]),
        "axial": ([1, 0, 0], [0, np.cos(turn), np.sin(turn)]),
    }[plane]
    row, column = (np.array(axis, dtype=float) for axis in axes)
    normal = np.cross(row, column)
    normal *= np.sign(normal[np.abs(normal).argmax()])
    steps = (np.arange(count) - (count - 1) / 2)[:, None] * step_mm * normal
    return Stack(
        pixels=np.zeros((count, 80, 100), np.uint8),
        origins_mm=steps - 39.5 * column - 49.5 * row,
        row_direction=row,
        column_direction=column,
        spacing_mm=(1.0, 1.0),
        instance_numbers=np.arange(first_number, first_number + count),
        files=("",) * count,
    )


T1 = Series(11, SAGITTAL_T1, (make_stack("sagittal"),))
T2 = Series(12, SAGITTAL_T2, (make_stack("sagittal", count=7, step_mm=5.0),))
BLOCKS = Series(13, AXIAL_T2, (make_stack("axial"), make_stack("axial", count=3, first_number=50)))
OTHER = Series(14, None, (make_stack("axial", count=5),))
EMPTY = Series(15, AXIAL_T2, ())
STUDY = Study(7, (BLOCKS, EMPTY, T2, OTHER, T1))


def test_stacks_are_found_by_sequence_and_by_plane() -> None:
    assert STUDY.sequences == SEQUENCES
    assert STUDY.stacks(AXIAL_T2) == list(BLOCKS.stacks)
    assert [series.series_id for series, _ in STUDY.of_plane("axial")] == [13, 13, 14]
    assert STUDY.of_plane("coronal") == []


def test_a_sequence_without_an_image_is_none_of_the_study() -> None:
    assert Study(7, (EMPTY, T1)).sequences == (SAGITTAL_T1,)
    assert Study(7, (EMPTY,)).stacks(AXIAL_T2) == []


def test_without_leaves_the_others_and_the_study_as_they_are() -> None:
    rest = STUDY.without([AXIAL_T2, SAGITTAL_T1])
    assert (rest.study_id, rest.sequences) == (7, (SAGITTAL_T2,))
    assert rest.series == (T2, OTHER)
    assert len(STUDY.series) == 5
    assert STUDY.without([]).series == STUDY.series


def test_the_slice_at_a_point_is_the_nearest_that_shows_it() -> None:
    random = np.random.default_rng(0)
    for point_mm in random.uniform(-60, 60, (300, 3)):
        shown = STUDY.slice_at(point_mm)
        held = {}
        for series in STUDY.series:
            for order, stack in enumerate(series.stacks):
                col, row, depth = stack.to_pixel(point_mm)
                if 0 <= col <= 99 and 0 <= row <= 79 and -0.5 <= depth <= len(stack) - 0.5:
                    away_mm = np.abs(stack.positions_mm - point_mm @ stack.normal).min()
                    held[series.series_id, order] = (away_mm, stack, np.array([col, row]))
        assert (shown is None) == (not held)
        if shown is not None:
            order = [stack is shown.stack for stack in shown.series.stacks].index(True)
            away_mm, stack, xy = held[shown.series.series_id, order]
            np.testing.assert_array_equal(shown.xy, xy)
            assert shown.index == round(float(np.clip(stack.to_pixel(point_mm)[2], 0, len(stack) - 1)))
            assert shown.away_mm == away_mm
            assert away_mm <= min(other for other, *_ in held.values()) + 1e-6
            assert shown.instance_number == stack.instance_numbers[shown.index]


def test_a_series_shows_a_point_as_a_study_of_it_does() -> None:
    point_mm = BLOCKS.stacks[1].to_patient(30, 20, 2)
    for series in STUDY.series:
        alone, own = Study(7, (series,)).slice_at(point_mm), series.slice_at(point_mm)
        assert (alone is None) == (own is None)
        if own is not None:
            assert (alone.series, alone.stack, alone.index) == (own.series, own.stack, own.index)


def test_beyond_the_images_and_half_a_slice_off_the_last_nothing_is_shown() -> None:
    (stack,) = T1.stacks
    middle = (50.0, 40.0)
    assert T1.slice_at(stack.to_patient(*middle, 8.49)).index == 8
    assert T1.slice_at(stack.to_patient(*middle, 8.51)) is None
    assert T1.slice_at(stack.to_patient(99.1, 40, 3)) is None
    assert T1.slice_at(stack.to_patient(50, -0.1, 3)) is None


def test_of_slices_acquired_twice_the_first_by_number_is_shown() -> None:
    (stack,) = T1.stacks
    again = replace(stack, instance_numbers=stack.instance_numbers + 20)
    for both in ((stack, again), (again, stack)):
        shown = Series(1, SAGITTAL_T1, both).slice_at(np.array([0.3, 0, 0]))
        assert (shown.stack, shown.instance_number) == (stack, 5)


def test_the_nearest_slice_is_found_among_all_stacks_of_a_sequence_and_beyond_their_ends() -> None:
    random = np.random.default_rng(0)
    for point_mm in random.uniform(-150, 150, (100, 3)):
        for sequence in STUDY.sequences:
            shown = STUDY.nearest(sequence, point_mm)
            assert shown.series.sequence == sequence
            assert np.linalg.norm(shown.point_mm - point_mm) == pytest.approx(shown.away_mm)
            col, row = shown.xy
            assert -1e-6 <= col <= 99 + 1e-6
            assert -1e-6 <= row <= 79 + 1e-6
            for stack in STUDY.stacks(sequence):
                centres = stack.to_patient(*random.uniform((0, 0), (99, 79)), np.arange(len(stack)))
                assert (np.linalg.norm(centres - point_mm, axis=1) >= shown.away_mm - 1e-6).all()
    assert STUDY.without([AXIAL_T2]).nearest(AXIAL_T2, np.zeros(3)) is None


def test_where_a_slice_holds_the_point_the_nearest_is_the_one_that_shows_it() -> None:
    point_mm = T1.stacks[0].to_patient(30.5, 20.25, 4.2)
    shown, held = STUDY.nearest(SAGITTAL_T1, point_mm), T1.slice_at(point_mm)
    assert (shown.stack, shown.index) == (held.stack, held.index)
    np.testing.assert_allclose(shown.xy, held.xy)
    assert shown.away_mm == pytest.approx(held.away_mm)


def test_an_instance_is_found_in_its_own_series_alone() -> None:
    assert STUDY.instance(13, 51) == (BLOCKS.stacks[1], 1)
    assert BLOCKS.instance(9) == (BLOCKS.stacks[0], 8)
    assert STUDY.instance(12, 51) is None
    assert STUDY.instance(99, 1) is None


def test_a_lacking_sequence_names_the_rows_it_leaves_bare() -> None:
    ledger = Ledger()
    note_missing_sequences(7, {SAGITTAL_T2}, ledger)
    sequence2rows = {fault.detail: fault.row_ids for fault in ledger if fault.code == "study.sequence"}
    assert sorted(sequence2rows) == [f"no {AXIAL_T2}", f"no {SAGITTAL_T1}"]
    assert len(sequence2rows[f"no {SAGITTAL_T1}"]) == 10
    assert all(row.startswith("7_") and "foraminal" in row for row in sequence2rows[f"no {SAGITTAL_T1}"])
    assert all("subarticular" in row for row in sequence2rows[f"no {AXIAL_T2}"])


def test_a_study_without_series_leaves_all_rows_bare_and_a_whole_one_none() -> None:
    ledger = Ledger()
    note_missing_sequences(5, SEQUENCES, ledger)
    assert not len(ledger)
    note_missing_sequences(5, [], ledger)
    assert len(ledger) == len(SEQUENCES)
    assert len({row for fault in ledger for row in fault.row_ids}) == 25


@pytest.mark.parametrize(
    ("fault", "sequence"),
    [
        (Fault("slice.sign", "slice kept", 5, 11), SAGITTAL_T1),
        (Fault("slice.sign", "slice kept", 6, 11), None),  # of another study
        (Fault("slice.sign", "slice kept", 5, 13), None),  # of a series that is not read
        (Fault("slice.pixels", "slice dropped", 5, 11), None),
        (Fault("study.strangers", "series kept", 5), SAGITTAL_T1),
    ],
)
def test_rows_are_in_doubt_whose_own_sequence_is(fault: Fault, sequence: str | None) -> None:
    lost = Series(13, AXIAL_T2, ())
    rows = rows_in_doubt(Study(5, (T1, lost)), [fault])
    assert rows == rows_graded_on(sequence, 5)
    assert all("foraminal" in row for row in rows)
