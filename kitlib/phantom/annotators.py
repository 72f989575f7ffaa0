"""Landmarks as annotators set them: off the true place, on a neighbouring slice, or missing.

Rates are those of the competition's landmark table (docs/facts.md, 2). Every point belongs to a labelled
cell: the table's few points without a label have no counterpart here.
"""

from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from kitlib.mri.study import SliceAt, Study
from kitlib.terms import CELLS, CONDITIONS, SAGITTAL_T1, SAGITTAL_T2, Cell, Group, group2sequence, other_side

TABLE_COLUMNS = ("study_id", "series_id", "instance_number", "condition", "level", "x", "y")
"""The columns of the competition's landmark table."""

LANDMARK_DEFECTS = ("swapped_sides", "off_by_one")
"""Optional defects: axial points with left and right swapped, and series graded one level off."""

SCATTER_MM: dict[Group, float] = {"spinal": 1.5, "foraminal": 2.0, "subarticular": 2.0}  # chosen by eye
# Probability that all points of a condition lie on one instance: for the canal they do not in 433 of 1,975
# studies; for foramina it is chosen by eye; axial points have their own slice at each level.
SHARED_RATES: dict[Group, float] = {"spinal": 1 - 433 / 1975, "foraminal": 0.2, "subarticular": 0.0}
# Probability that any other point lies on the slice next to its own: together with points on another series,
# the rate of recesses leaves 57 % of the pairs on one instance.
STRAY_RATES: dict[Group, float] = {"foraminal": 0.08, "subarticular": 0.2}
FEW_CANALS_RATE = 75 / 1975  # of studies that lack one or two canal points
MISSING_RATE = 29 / 39_000  # of the other points
SWAPPED_RATE = 121 / 9606  # of axial pairs; a study has all its pairs swapped, or none
OFF_BY_ONE_RATES = {SAGITTAL_T1: 83 / 1975, SAGITTAL_T2: 108 / 1975}
Marks = dict[Cell, SliceAt]
"""The position of each cell's point."""


def annotate(
    landmarks: pd.DataFrame, study: Study, rng: np.random.Generator, *, defects: Collection[str] = ()
) -> pd.DataFrame:
    """Draw one study's landmark table (TABLE_COLUMNS) from its true landmarks, which have positions in mm.

    `study` has the images; `defects` are some of LANDMARK_DEFECTS.
    """
    cell2point = {Cell(str(point.condition), str(point.level)): point for point in landmarks.itertuples()}
    marks = {cell: _true_mark(point, study) for cell, point in cell2point.items()}
    marks |= _on_several_series(cell2point, study, rng)
    marks = _strayed(marks, rng)
    swapped = rng.random() < SWAPPED_RATE
    shifted = {sequence for sequence, rate in OFF_BY_ONE_RATES.items() if rng.random() < rate}
    step = int(rng.choice([-1, 1]))
    if "off_by_one" in defects:
        marks = _shifted(marks, shifted, step)
    marks = {cell: _scattered(mark, SCATTER_MM[cell.group], rng) for cell, mark in marks.items()}
    if "swapped_sides" in defects and swapped:
        axial = {cell: mark for cell, mark in marks.items() if cell.group == "subarticular"}
        marks |= {Cell(other_side[cell.condition], cell.level): mark for cell, mark in axial.items()}
    missing = _missing(rng)
    rows = [
        (cell2point[cell].study_id, mark.series.series_id, mark.instance_number, *cell, *mark.xy.tolist())
        for cell, mark in marks.items()
        if cell in cell2point and cell not in missing
    ]
    return pd.DataFrame(rows, columns=TABLE_COLUMNS)


def _true_mark(point: Any, study: Study) -> SliceAt:
    """Find the slice and position of a row of the true landmarks."""
    for series in study.series:
        if series.series_id == point.series_id and (found := series.instance(point.instance_number)):
            return SliceAt(series, *found, np.array([point.x, point.y]))
    raise ValueError(f"series {point.series_id} has no instance {point.instance_number}")


def _on_several_series(cell2point: dict[Cell, Any], study: Study, rng: np.random.Generator) -> Marks:
    """Put recesses that several axial series show in different series for left and right."""
    axial = [series for series in study.series if series.stacks[0].plane == "axial"]
    order = [axial[index] for index in rng.permutation(len(axial))]
    marks: Marks = {}
    for cell, point in cell2point.items():
        if cell.group == "subarticular" and len(axial) > 1:
            point_mm = np.array([point.x_mm, point.y_mm, point.z_mm])
            shown = (series.slice_at(point_mm) for series in order[:: 1 if cell.side == "left" else -1])
            if mark := next(filter(None, shown), None):
                marks[cell] = mark
    return marks


def _strayed(marks: Marks, rng: np.random.Generator) -> Marks:
    """Move points to other slices: sagittal ones often share one, and any may lie on the next one."""
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
    """Shift points of some sequences one level down (1) or up (-1), the last beyond the graded levels."""
    shifted = dict(marks)
    for condition in CONDITIONS:
        cells = [cell for cell in marks if cell.condition == condition][::step]
        if len(cells) > 1 and group2sequence[cells[0].group] in sequences:
            shifted |= {cell: marks[other] for cell, other in pairwise(cells)}
            before, last = (marks[cell] for cell in cells[-2:])
            shifted[cells[-1]] = replace(last, xy=2 * last.xy - before.xy)
    return shifted


def _scattered(mark: SliceAt, scatter_mm: float, rng: np.random.Generator) -> SliceAt:
    """Add an annotator's random error to a point, clipped to the image."""
    spacing = np.array(mark.stack.spacing_mm[::-1])
    _, height, width = mark.stack.pixels.shape
    xy = mark.xy + rng.normal(0, scatter_mm, 2) / spacing
    return replace(mark, xy=np.clip(xy, 0, [width - 1, height - 1]))


def _missing(rng: np.random.Generator) -> set[Cell]:
    """Draw the cells whose point is missing."""
    missing = {cell for cell in CELLS if rng.random() < MISSING_RATE and cell.group != "spinal"}
    if rng.random() < FEW_CANALS_RATE:
        canals = [cell for cell in CELLS if cell.group == "spinal"]
        missing |= {canals[index] for index in rng.choice(len(canals), rng.integers(1, 3), replace=False)}
    return missing
