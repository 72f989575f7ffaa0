"""What a slice of a phantom can teach: where it lies, and the severities of the cells that it shows.

A slice has one of PLACES and shows some of thirteen FINDINGS: on sagittal T2 through the canal its five
levels, on sagittal T1 through a foramen that side's five, on axial T2 at a disc the canal and both recesses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kitlib.embed.field_of_view import stack_images
from kitlib.embed.pretrain.task import Examples
from kitlib.mri.stack import Stack
from kitlib.phantom.study import PhantomStudy
from kitlib.prepare.volumes import prepare
from kitlib.terms import AXIAL_T2, CELLS, EMPTY, LEVELS, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES, Cell, other_side

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
SAGITTAL_REACH_MM = 5.0  # slices 4.5 mm apart: one or two pass through a structure
AXIAL_REACH_MM = 5.0
mirrored_findings = [
    *range(10),
    *(10 + AXIAL_FINDINGS.index(other_side[finding]) for finding in AXIAL_FINDINGS),
]
"""The findings of an axial image whose left and right were exchanged."""


@dataclass(frozen=True, eq=False)
class Slices(Examples):
    """Slices with FINDINGS and places."""

    places: np.ndarray  # (n,) int64, index into PLACES


def study_slices(study: PhantomStudy, px: int, field_of_view: str, longest_px: int) -> Slices:
    """All slices of a phantom as embedding sees them, with their targets."""
    marks = {Cell(row["condition"], row["level"]): row for row in study.landmarks.to_dict("records")}
    parts: list[Slices] = []
    for series in study.series:
        for stack in prepare(list(series.stacks), longest_px):
            places, findings, openings_mm = stack_targets(stack, series.sequence, marks, study.severities)
            images, studies = (
                stack_images(stack, px, field_of_view=field_of_view),
                np.full(len(stack), study.study_id),
            )
            parts.append(Slices(images, findings, openings_mm, studies, places))
    return Slices.joined(parts)


def stack_targets(
    stack: Stack, sequence: str, marks: Mapping[Cell, Mapping[Any, Any]], severities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places (n,), findings and openings (n, 13) of a stack's slices, of landmarks and severities (25,)."""
    findings = np.full((len(stack), len(FINDINGS)), EMPTY)
    places = np.full(len(stack), SEQUENCES.index(sequence))
    openings_mm = np.full(findings.shape, np.nan, np.float32)
    for index, cell in enumerate(CELLS):
        finding, place, reach_mm = shown(cell, sequence)
        if finding is not None and cell in marks:
            point = np.array([marks[cell][axis] for axis in ("x_mm", "y_mm", "z_mm")])
            near = np.abs(stack.positions_mm - point @ stack.normal) <= reach_mm
            findings[near, finding] = severities[index]
            openings_mm[near, finding] = marks[cell]["opening_mm"]
            places[near] = place
    return places, findings, openings_mm


def shown(cell: Cell, sequence: str) -> tuple[int | None, int, float]:
    """The finding and place of a cell in a sequence, how near a slice must be; None where there is none."""
    level = LEVELS.index(cell.level)
    if sequence == AXIAL_T2 and cell.condition in AXIAL_FINDINGS:
        return 10 + AXIAL_FINDINGS.index(cell.condition), 5 + level, AXIAL_REACH_MM
    if sequence == SAGITTAL_T2 and cell.group == "spinal":
        return level, 3, SAGITTAL_REACH_MM
    if sequence == SAGITTAL_T1 and cell.group == "foraminal":
        return 5 + level, 4, SAGITTAL_REACH_MM
    return None, 0, 0.0
