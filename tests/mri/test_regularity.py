"""Contradictions between slice positions, instance numbers and planned spacing are reported."""

import pytest

from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from tests.mri.builders import AXIAL, FIRST_MM, make_series, make_slice_dataset, write


def reported(folder):
    """The details of the faults reported on a series' slice positions."""
    ledger = Ledger()
    read_series(folder, ledger)
    assert all(fault.doubts for fault in ledger if fault.code == "stack.uneven")
    return [fault.detail for fault in ledger if fault.code == "stack.uneven"]


def test_of_evenly_spaced_slices_nothing_is_said(tmp_path):
    assert reported(make_series(tmp_path / "a", SpacingBetweenSlices=4.0, SliceThickness=3.6)) == []
    assert reported(make_series(tmp_path / "b", SpacingBetweenSlices=0.4, SliceThickness=3.6)) == []
    assert reported(make_series(tmp_path / "c", SpacingBetweenSlices="nan", SliceThickness=-1.0)) == []


@pytest.mark.parametrize("shift_mm", [(0, 2, 0), (0, 0, -9), (1.5, 0, 0)])
def test_a_slice_beside_the_line_of_the_others_is_told(tmp_path, shift_mm):
    series = make_series(tmp_path, count=9)
    x, y, z = (FIRST_MM[axis] + shift_mm[axis] for axis in range(3))
    write(series / "5.dcm", make_slice_dataset(position=(x - 16, y, z), number=5))
    (detail,) = reported(series)
    assert "from the middle between their neighbours" in detail


def test_instance_numbers_that_run_to_and_fro_are_told(tmp_path):
    series = make_series(tmp_path, count=6)
    for at, number in enumerate((1, 2, 3, 5, 4, 6)):
        position = (FIRST_MM[0] + 4 * at, *FIRST_MM[1:])
        write(series / f"{at + 1}.dcm", make_slice_dataset(position=position, number=number))
    assert reported(series) == ["instance numbers run in another order than places"]


def test_of_unknown_numbers_nothing_is_said(tmp_path):
    assert reported(make_series(tmp_path, missing="InstanceNumber")) == []


@pytest.mark.parametrize("keyword", ["SpacingBetweenSlices", "SliceThickness"])
def test_slices_twice_as_far_apart_as_planned_are_told(tmp_path, keyword):
    series = make_series(tmp_path, count=12, **{keyword: 4.0})
    for number in range(2, 13, 2):
        (series / f"{number}.dcm").unlink()
    assert reported(series) == ["slices lie 8.0 mm apart, by their header 4.0 mm"]


@pytest.mark.parametrize("moved", [(4, 5, 6), (3, 4), (1,), (6,)])
def test_of_axial_slices_planned_in_blocks_nothing_is_said(tmp_path, moved):
    series = make_axial(tmp_path, moved, SpacingBetweenSlices=1.0)
    assert reported(series) == []


@pytest.mark.parametrize("number", [2, 3, 5])
@pytest.mark.parametrize("shift_mm", [(5, 0), (0, 0.3)])
def test_an_axial_slice_beside_the_line_of_its_block_is_told(tmp_path, number, shift_mm):
    (detail,) = reported(make_axial(tmp_path, [number], shift_mm))
    assert "from the middle between their neighbours" in detail


def make_axial(folder, moved, shift_mm=(5, 2), **tags):
    """Six axial slices on a line, those with the numbers `moved` shifted in their plane."""
    series = make_series(folder, count=6, orientation=AXIAL, **tags)
    x, y, z = FIRST_MM
    for number in moved:
        at_mm = (x + shift_mm[0], y + shift_mm[1], z + 4 * (number - 1))
        write(series / f"{number}.dcm", make_slice_dataset(position=at_mm, orientation=AXIAL, number=number))
    return series
