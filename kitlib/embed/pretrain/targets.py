"""Training targets of a phantom's slice: where it lies, and the severities of the cells that it shows.

A slice has one of PLACES and shows some of thirteen FINDINGS: on sagittal T2 through the canal its five
levels, on sagittal T1 through a foramen that side's five, on axial T2 at a disc the canal and both recesses.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from kitlib.mri.stack import Stack
from kitlib.phantom.study import PhantomStudy
from kitlib.terms import AXIAL_T2, CELLS, LEVELS, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES, Cell, other_side

AXIAL_FINDINGS = ("spinal_canal_stenosis", "left_subarticular_stenosis", "right_subarticular_stenosis")
FINDINGS = (
    *(f"canal {level}" for level in LEVELS),
    *(f"foramen {level}" for level in LEVELS),
    *(f"axial {condition}" for condition in AXIAL_FINDINGS),
)
PLACES = (
    *(f"{sequence} elsewhere" for sequence in SEQUENCES),
    "canal",
    "foramen",
    *(f"axial at {level}" for level in LEVELS),
)
AXIAL_PLACES = (SEQUENCES.index(AXIAL_T2), *range(5, 10))
REACH_MM = 5.0  # sagittal slices are 4.5 mm apart: one or two pass through a structure
mirrored_findings = [
    *range(10),
    *(10 + AXIAL_FINDINGS.index(other_side[finding]) for finding in AXIAL_FINDINGS),
]
"""Indices of the findings of an axial image after a left-right flip."""


class Shown(NamedTuple):
    """A cell that a stack shows."""

    cell: int  # index into CELLS
    finding: int  # index into FINDINGS
    place: int  # index into PLACES
    near: np.ndarray  # (n,) bool, the slices that show it
    severity: int
    opening_mm: float


def shown_cells(study: PhantomStudy, sequence: str, stack: Stack) -> Iterator[Shown]:
    """Yield the cells with a landmark that some slice of a stack passes through, in the order of CELLS."""
    severities = study.severities
    for mark in study.landmarks.to_dict("records"):
        cell = Cell(mark["condition"], mark["level"])
        index, target = CELLS.index(cell), target_of(cell, sequence)
        point = np.array([mark[axis] for axis in ("x_mm", "y_mm", "z_mm")])
        near = np.abs(stack.positions_mm - point @ stack.normal) <= REACH_MM
        if target is not None and near.any():
            yield Shown(index, *target, near, severities[index], mark["opening_mm"])


def target_of(cell: Cell, sequence: str) -> tuple[int, int] | None:
    """Return the finding and the place of a cell in a sequence; None if the sequence does not show it."""
    level = LEVELS.index(cell.level)
    if sequence == AXIAL_T2 and cell.condition in AXIAL_FINDINGS:
        return 10 + AXIAL_FINDINGS.index(cell.condition), 5 + level
    if sequence == SAGITTAL_T2 and cell.group == "spinal":
        return level, 3
    if sequence == SAGITTAL_T1 and cell.group == "foraminal":
        return 5 + level, 4
    return None
