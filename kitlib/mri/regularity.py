"""Check whether the slices of a stack lie as scanners plan them.

In all 1,416 sagittal series of the competition with known positions, the slices lie on a straight line,
evenly spaced to a micrometre, and their instance numbers run one way along it.
"""

from collections.abc import Iterator

import numpy as np

from kitlib.mri.ledger import Fault
from kitlib.mri.stack import Stack

GAP_STEPS = 1.5
UNEVEN_MM = 1.0  # from the midpoint between the neighbours
SPARSE_STEPS = 1.75  # times the spacing in the header: every second slice may be missing


def odd_places(stack: Stack, planned_mm: float) -> Iterator[Fault]:
    """Yield faults of a stack for gaps and, if it is sagittal, for irregular positions.

    `planned_mm` is the spacing between slices in their headers, NaN if unknown.
    """
    if len(stack) < 2:
        return
    steps = np.diff(stack.positions_mm)
    usual = np.quantile(steps, 0.5, method="lower")
    for index in np.flatnonzero(steps > GAP_STEPS * usual):
        detail = f"{steps[index]:.1f} mm to the slice before, usually {usual:.1f} mm"
        yield Fault("stack.gap", "slices kept, none put between", file=stack.files[index + 1], detail=detail)
    if stack.plane == "sagittal":  # axial stacks are planned in blocks
        yield from (
            Fault("stack.uneven", "slices kept", detail=what)
            for what in _uneven(stack, steps, usual, planned_mm)
        )


def _uneven(stack: Stack, steps: np.ndarray, usual: float, planned_mm: float) -> Iterator[str]:
    """Describe what is odd about the positions of sagittal slices; `steps` (n - 1,) are between them."""
    if usual > SPARSE_STEPS * planned_mm:
        yield f"slices lie {usual:.1f} mm apart, by their header {planned_mm:.1f} mm"
    origins_mm, is_near = stack.origins_mm, steps <= GAP_STEPS * usual
    away_mm = np.linalg.norm(origins_mm[1:-1] - (origins_mm[:-2] + origins_mm[2:]) / 2, axis=1)
    odd_mm = away_mm[is_near[:-1] & is_near[1:] & (away_mm > UNEVEN_MM)]
    if len(odd_mm):
        yield f"{len(odd_mm)} slices lie up to {odd_mm.max():.1f} mm from the middle between their neighbours"
    turns = np.sign(np.diff(stack.instance_numbers))
    if stack.instance_numbers.min() >= 0 and {1, -1} <= {*turns}:
        yield "instance numbers run in another order than places"
