"""Landmarks as annotators set them: beside the true place, on a neighbouring slice, or not at all.

Rates are those of the competition's landmark table (docs/facts.md, 2). Every point belongs to a labelled
cell: the table's few points without a label have no cell here that they could belong to.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from kitlib.mri.stack import Stack
from kitlib.terms import CELLS, CONDITIONS, SAGITTAL_T1, SAGITTAL_T2, Cell, Group, group2sequence

TABLE_COLUMNS = ("study_id", "series_id", "instance_number", "condition", "level", "x", "y")
"""The columns of the competition's landmark table."""

LANDMARK_DEFECTS = ("swapped_sides", "off_by_one")
"""What can be asked for on top: axial points with left for right, and series graded one level off."""

SCATTER_MM: dict[Group, float] = {"spinal": 1.5, "foraminal": 2.0, "subarticular": 2.0}  # chosen by eye
# Chance that all points of a condition lie on one instance: the canal's do not in 433 of 1,975 studies; that
# of foramina is chosen by eye; axial points have a place of their own at each level.
SHARED_RATES: dict[Group, float] = {"spinal": 1 - 433 / 1975, "foraminal": 0.2, "subarticular": 0.0}
# Chance that another point lies on the slice next to its own: with what lies on another series, that of
# recesses leaves 57 % of the pairs on one instance.
STRAY_RATES: dict[Group, float] = {"foraminal": 0.08, "subarticular": 0.2}
FEW_CANALS_RATE = 75 / 1975  # of studies that lack one or two canal points
MISSING_RATE = 29 / 39_000  # of the other points
SWAPPED_RATE = 121 / 9606  # of axial pairs; a study has all of its pairs swapped, or none
OFF_BY_ONE_RATES = {SAGITTAL_T1: 83 / 1975, SAGITTAL_T2: 108 / 1975}


@dataclass(frozen=True, eq=False)
class _Mark:
    """A point on a slice."""

    series_id: int
    stack: Stack
    index: int  # of the slice
    xy: np.ndarray  # (2,) column and row in pixels


Marks = dict[Cell, _Mark]


def annotate(
    landmarks: pd.DataFrame,
    stacks: dict[int, tuple[Stack, ...]],
    rng: np.random.Generator,
    *,
    defects: Collection[str] = (),
) -> pd.DataFrame:
    """One study's table (TABLE_COLUMNS) from its true landmarks, which have their millimetres beside them.

    `stacks` are those of every series by its id; `defects` are some of LANDMARK_DEFECTS.
    """
    cell2point = {Cell(str(point.condition), str(point.level)): point for point in landmarks.itertuples()}
    marks = {cell: _true_mark(point, stacks) for cell, point in cell2point.items()}
    marks |= _on_several_series(cell2point, stacks, rng)
    marks = _strayed(marks, rng)
    swapped = rng.random() < SWAPPED_RATE
    shifts = {sequence: rng.random() < rate for sequence, rate in OFF_BY_ONE_RATES.items()}
    step = int(rng.choice([-1, 1]))
    if "off_by_one" in defects:
        marks = _shifted(marks, {sequence for sequence, is_off in shifts.items() if is_off}, step)
    marks = {cell: _scattered(mark, SCATTER_MM[cell.group], rng) for cell, mark in marks.items()}
    if "swapped_sides" in defects and swapped:
        marks |= {_mirrored(cell): mark for cell, mark in marks.items() if cell.group == "subarticular"}
    missing = _missing(rng)
    rows = [
        (cell2point[cell].study_id, mark.series_id, _instance(mark), *cell, *mark.xy.tolist())
        for cell, mark in marks.items()
        if cell in cell2point and cell not in missing
    ]
    return pd.DataFrame(rows, columns=TABLE_COLUMNS)


def find_slice(stacks: Sequence[Stack], place_mm: np.ndarray) -> tuple[Stack, int, np.ndarray] | None:
    """Of the stacks that hold a place, the one with the nearest slice, its index there and (column, row).

    Of slices acquired again at the same position, the first by instance number.
    """
    found = []
    for stack in stacks:
        col, row, depth = stack.to_pixel(place_mm)
        count, height, width = stack.pixels.shape
        if 0 <= col <= width - 1 and 0 <= row <= height - 1 and -0.5 <= depth <= count - 0.5:
            away = np.abs(stack.positions_mm - place_mm @ stack.normal)
            index = int(away.argmin())
            rank = round(float(away[index]), 6), int(stack.instance_numbers[index])
            found.append((rank, stack, index, np.array([col, row])))
    return min(found, key=lambda one: one[0])[1:] if found else None


def _true_mark(point: Any, stacks: dict[int, tuple[Stack, ...]]) -> _Mark:
    """The mark of a row of the true landmarks."""
    for stack in stacks[point.series_id]:
        (index,) = np.nonzero(stack.instance_numbers == point.instance_number)
        if len(index):
            return _Mark(point.series_id, stack, int(index[0]), np.array([point.x, point.y]))
    raise ValueError(f"series {point.series_id} has no instance {point.instance_number}")


def _on_several_series(
    cell2point: dict[Cell, Any], stacks: dict[int, tuple[Stack, ...]], rng: np.random.Generator
) -> Marks:
    """Recesses that several axial series hold: the left ones in one series, the right ones in another."""
    axial = [series_id for series_id in stacks if stacks[series_id][0].plane == "axial"]
    order = [axial[index] for index in rng.permutation(len(axial))]
    marks: Marks = {}
    for cell, point in cell2point.items():
        if cell.group == "subarticular" and len(order) > 1:
            place = np.array([point.x_mm, point.y_mm, point.z_mm])
            for series_id in order if cell.side == "left" else order[::-1]:
                if found := find_slice(stacks[series_id], place):
                    marks[cell] = _Mark(series_id, *found)
                    break
    return marks


def _strayed(marks: Marks, rng: np.random.Generator) -> Marks:
    """Points on other slices than their own: sagittal ones often share one, any may lie on the next."""
    moved: Marks = {}
    for condition in CONDITIONS:
        cells = [cell for cell in marks if cell.condition == condition]
        if not cells:
            continue
        own = np.array([marks[cell].index for cell in cells])
        group = cells[0].group
        if rng.random() < SHARED_RATES[group]:
            own[:] = int(np.median(own))
        elif group == "spinal":
            own[int(rng.integers(1, max(2, len(cells)))) :] += rng.choice([-1, 1])  # a curved spine
        else:
            own += rng.choice([-1, 1], len(cells)) * (rng.random(len(cells)) < STRAY_RATES[group])
        for cell, index in zip(cells, own):
            moved[cell] = replace(marks[cell], index=int(np.clip(index, 0, len(marks[cell].stack) - 1)))
    return moved


def _shifted(marks: Marks, sequences: set[str], step: int) -> Marks:
    """Points of some sequences one level too low (1) or too high (-1), the last beyond the graded ones."""
    shifted = dict(marks)
    for condition in CONDITIONS:
        cells = [cell for cell in marks if cell.condition == condition][::step]
        if len(cells) > 1 and group2sequence[cells[0].group] in sequences:
            shifted |= {cell: marks[other] for cell, other in pairwise(cells)}
            before, last = (marks[cell] for cell in cells[-2:])
            shifted[cells[-1]] = replace(last, xy=2 * last.xy - before.xy)
    return shifted


def _mirrored(cell: Cell) -> Cell:
    """The same level on the other side."""
    here, there = ("left", "right") if cell.side == "left" else ("right", "left")
    return Cell(cell.condition.replace(here, there, 1), cell.level)


def _scattered(mark: _Mark, scatter_mm: float, rng: np.random.Generator) -> _Mark:
    """The point as far beside its place as annotators are, within the image."""
    spacing = np.array(mark.stack.spacing_mm[::-1])
    _, height, width = mark.stack.pixels.shape
    xy = mark.xy + rng.normal(0, scatter_mm, 2) / spacing
    return replace(mark, xy=np.clip(xy, 0, [width - 1, height - 1]))


def _missing(rng: np.random.Generator) -> set[Cell]:
    """Cells whose point was forgotten."""
    missing = {cell for cell in CELLS if rng.random() < MISSING_RATE and cell.group != "spinal"}
    if rng.random() < FEW_CANALS_RATE:
        canals = [cell for cell in CELLS if cell.group == "spinal"]
        missing |= {canals[index] for index in rng.choice(len(canals), rng.integers(1, 3), replace=False)}
    return missing


def _instance(mark: _Mark) -> int:
    return int(mark.stack.instance_numbers[mark.index])
