"""One study: labels, anatomy, three series and the landmarks that annotators would have set."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kitlib.mri.stack import Stack
from kitlib.phantom.anatomy import Anatomy, draw_anatomy
from kitlib.phantom.labels import draw_grades, draw_uncovered, to_labels
from kitlib.phantom.scanner import (
    HEAD_TO_FOOT_RATE,
    RIGHT_TO_LEFT_RATE,
    Size,
    acquire,
    plan_axial,
    plan_sagittal,
    size_named,
)
from kitlib.phantom.signal import Sequence, draw_sequence
from kitlib.terms import AXIAL_T2, CELLS, EMPTY, LEVELS, SEQUENCES, group2sequence

TABLE_COLUMNS = ("study_id", "series_id", "instance_number", "condition", "level", "x", "y")
LANDMARK_COLUMNS = (*TABLE_COLUMNS, "x_mm", "y_mm", "z_mm", "opening_mm")
"""The competition's columns, then the true place in the patient and what is open there."""

MISSING_RATE = 0.0015  # of studies that lack a series, as in the competition's table


@dataclass(frozen=True)
class PhantomSeries:
    """A series in memory; pixels hold whole numbers, as stored in the file."""

    series_id: int
    sequence: str
    stacks: tuple[Stack, ...]
    timing: Sequence


@dataclass(frozen=True, eq=False)
class PhantomStudy:
    """A study in memory, with its truth."""

    study_id: int
    series: tuple[PhantomSeries, ...]
    labels: np.ndarray  # (25,) int8 with EMPTY
    landmarks: pd.DataFrame


def draw_study(
    study_id: int,
    *,
    seed: int,
    size: str = "demo",
    missing_rate: float = MISSING_RATE,
    evenness: float = 0.0,
) -> PhantomStudy:
    """Draw a study; the same arguments give the same study. `evenness` is that of `draw_grades`."""
    dimensions = size_named(size)
    lots, body, *scans = (np.random.default_rng([seed, study_id, part]) for part in range(2 + len(SEQUENCES)))
    grades, uncovered = draw_grades(1, lots, evenness=evenness), draw_uncovered(1, lots)
    missing = lots.choice(SEQUENCES) if lots.random() < missing_rate else None
    if missing == AXIAL_T2:
        uncovered[:] = len(LEVELS)
    anatomy = draw_anatomy(grades[0], body)
    series = tuple(
        _image(
            sequence, _series_id(study_id, seed, order), anatomy, dimensions, int(uncovered[0]), scans[order]
        )
        for order, sequence in enumerate(SEQUENCES)
        if sequence != missing
    )
    labels = to_labels(grades, uncovered)[0]
    return PhantomStudy(study_id, series, labels, _landmarks(study_id, series, labels, anatomy))


def _image(
    sequence: str, series_id: int, anatomy: Anatomy, size: Size, uncovered: int, rng: np.random.Generator
) -> PhantomSeries:
    """Plan and acquire one series."""
    timing = draw_sequence(sequence, rng)
    if sequence == AXIAL_T2:
        plans, ascending = plan_axial(anatomy, size, uncovered, rng), rng.random() >= HEAD_TO_FOOT_RATE
    else:
        plans, ascending = [plan_sagittal(anatomy, size, rng)], rng.random() < RIGHT_TO_LEFT_RATE
    stacks = acquire(anatomy, plans, timing, size.samples[sequence == AXIAL_T2], ascending, rng)
    return PhantomSeries(series_id, sequence, stacks, timing)


def _landmarks(
    study_id: int, series: tuple[PhantomSeries, ...], labels: np.ndarray, anatomy: Anatomy
) -> pd.DataFrame:
    """A point for each labelled cell, on the nearest slice of the sequence that it is graded on."""
    sequence2series = {one.sequence: one for one in series}
    rows = []
    for cell, label in zip(CELLS, labels):
        graded_on = sequence2series.get(group2sequence[cell.group])
        if label == EMPTY or graded_on is None:
            continue
        place = anatomy.place_mm(cell)
        x, y, instance = _nearest_slice(graded_on.stacks, place)
        rows.append((study_id, graded_on.series_id, instance, *cell, x, y, *place, anatomy.opening_mm(cell)))
    return pd.DataFrame(rows, columns=LANDMARK_COLUMNS)


def _nearest_slice(stacks: tuple[Stack, ...], place_mm: np.ndarray) -> tuple[float, float, int]:
    """Pixel (x, y) and instance number of a place on the slice that is nearest to it."""
    depths = [np.abs(stack.positions_mm - place_mm @ stack.normal) for stack in stacks]
    stack, depth = min(zip(stacks, depths), key=lambda pair: pair[1].min())
    col, row, _ = stack.to_pixel(place_mm)
    return float(col), float(row), int(stack.instance_numbers[depth.argmin()])


def _series_id(study_id: int, seed: int, order: int) -> int:
    """A number of up to ten digits, as the competition's series have."""
    digest = hashlib.sha256(f"{seed} {study_id} {order}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
