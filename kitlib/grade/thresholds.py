"""Severities from openings in millimetres, by the published thresholds that phantoms follow."""

import numpy as np

from kitlib.phantom.body.openings import FAT_BESIDE_ROOT_MM, RECESS_DEPTH_MM, ROOT_MM, SAC_DEPTH_MM
from kitlib.terms import CELLS, LEVELS, Cell


def limits_mm(cell: Cell) -> tuple[float, float]:
    """Return the openings at or below which a cell is moderate, and severe.

    A sac is graded by its depth alone, and a foramen as if its root had the usual thickness at the level.
    For sources see the numbers in `kitlib.phantom.body.openings`.
    """
    if cell.group == "spinal":
        moderate, severe, _ = SAC_DEPTH_MM
    elif cell.group == "subarticular":
        moderate, severe, _ = RECESS_DEPTH_MM
    else:
        moderate, severe, _ = ROOT_MM[LEVELS.index(cell.level)] + np.array(FAT_BESIDE_ROOT_MM)
    return float(moderate), float(severe)


LIMITS_MM = np.array([limits_mm(cell) for cell in CELLS])
"""(25, 2), `limits_mm` of each of CELLS."""


def severity_read_off(openings_mm: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Convert openings (n,) at cells (n,), indices into CELLS, to severities (n,) int64."""
    return (openings_mm[:, None] <= LIMITS_MM[cells]).sum(axis=1)
