"""Check whether the slices of a stack lie as scanners plan them.

In all 1,416 sagittal series of the competition with known positions, the slices lie on a straight line,
evenly spaced to a micrometre, and their instance numbers run one way along it.
"""

from collections.abc import Iterator

import numpy as np

from kitlib.mri.ledger import Fault
from kitlib.mri.stack import Stack

GAP_STEPS = 1.5
UNEVEN_MM = 0.1  # from the midpoint between the neighbours
SPARSE_STEPS = 1.75  # times the spacing in the header: every second slice may be missing


def odd_places(stack: Stack, planned_mm: float) -> Iterator[Fault]:
    """Yield faults of a stack for gaps and irregular positions.

    `planned_mm` is the spacing between slices in their headers, NaN if unknown.
    """
    if len(stack) < 2:
        return
    steps = np.diff(stack.positions_mm)
    usual = np.quantile(steps, 0.5, method="lower")
    for index in np.flatnonzero(steps > GAP_STEPS * usual):
        detail = f"{steps[index]:.1f} mm to the slice before, usually {usual:.1f} mm"
        yield Fault("stack.gap", "slices kept, none put between", file=stack.files[index + 1], detail=detail)
    found = [*_out_of_line(stack, steps <= GAP_STEPS * usual)]
    if stack.plane == "sagittal":  # axial stacks are planned in blocks
        found += _unlike_its_plan(stack, usual, planned_mm)
    yield from (Fault("stack.uneven", "slices kept", detail=what) for what in found)


def _out_of_line(stack: Stack, is_near: np.ndarray) -> Iterator[str]:
    """Describe slices beside the line of the others; `is_near` (n - 1,) marks neighbours without a gap."""
    origins_mm = stack.origins_mm
    bends_mm = (origins_mm[:-2] + origins_mm[2:]) / 2 - origins_mm[1:-1]
    is_odd = is_near[:-1] & is_near[1:]
    if stack.plane == "axial":
        is_odd &= _is_lone(bends_mm)
    away_mm = np.linalg.norm(bends_mm, axis=1)
    odd_mm = away_mm[is_odd & (away_mm > UNEVEN_MM)]
    if len(odd_mm):
        yield f"{len(odd_mm)} slices lie up to {odd_mm.max():.1f} mm from the middle between their neighbours"


def _is_lone(bends_mm: np.ndarray) -> np.ndarray:
    """Mask (n,) of bends (n, 3) of a line from which one slice was moved.

    A moved slice bends the line at its neighbours by half as much, the other way; where one block of slices
    ends and the next begins, both bend it as much as each other.
    """
    before, after = bends_mm[:-1] + bends_mm[1:] / 2, bends_mm[1:] + bends_mm[:-1] / 2
    is_lone = np.full(len(bends_mm), len(bends_mm) > 1)
    is_lone[1:] &= np.linalg.norm(before, axis=1) < UNEVEN_MM
    is_lone[:-1] &= np.linalg.norm(after, axis=1) < UNEVEN_MM
    return is_lone


def _unlike_its_plan(stack: Stack, usual: float, planned_mm: float) -> Iterator[str]:
    """Describe what is odd about the steps and the order of sagittal slices."""
    if usual > SPARSE_STEPS * planned_mm:
        yield f"slices lie {usual:.1f} mm apart, by their header {planned_mm:.1f} mm"
    turns = np.sign(np.diff(stack.instance_numbers))
    if stack.instance_numbers.min() >= 0 and {1, -1} <= {*turns}:
        yield "instance numbers run in another order than places"
