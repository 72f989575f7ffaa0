"""Whether the slices of a stack lie as scanners plan them.

All 1,416 sagittal series of the competition whose positions are known lie on a straight line, to a micrometre
in evenly spaced places, and their instance numbers run one way along it.
"""

from collections.abc import Iterator

import numpy as np

from kitlib.mri.ledger import Fault
from kitlib.mri.stack import Stack

GAP_STEPS = 1.5
UNEVEN_MM = 1.0  # from the middle between the neighbours
SPARSE_STEPS = 1.75  # of what the header says: every second slice may be lacking


def odd_places(stack: Stack, planned_mm: float) -> Iterator[Fault]:
    """Faults of a stack for gaps and, where it is sagittal, for what its places contradict.

    `planned_mm` is how far apart its slices lie by their header, NaN unknown.
    """
    if len(stack) < 2:
        return
    steps = np.diff(stack.positions_mm)
    usual = np.quantile(steps, 0.5, method="lower")
    for index in np.flatnonzero(steps > GAP_STEPS * usual):
        detail = f"{steps[index]:.1f} mm to the slice before, usually {usual:.1f} mm"
        yield Fault("stack.gap", "slices kept, none put between", file=stack.files[index + 1], detail=detail)
    if stack.plane == "sagittal":  # axial ones are planned in blocks
        yield from (
            Fault("stack.uneven", "slices kept", detail=what)
            for what in _uneven(stack, steps, usual, planned_mm)
        )


def _uneven(stack: Stack, steps: np.ndarray, usual: float, planned_mm: float) -> Iterator[str]:
    """What is odd about the places of sagittal slices, in words; `steps` (n - 1,) lie between them."""
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
