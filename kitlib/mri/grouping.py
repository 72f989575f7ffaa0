"""From the slices of a series, in any order, to stacks.

Slices share a stack when size, spacing and orientation agree and they do not lie side by side. File names
decide nothing, instance numbers only which of two slices at one place is kept: shuffled and renamed files
give the same stacks.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from kitlib.machine import Map
from kitlib.mri.dicom.slices import Slice
from kitlib.mri.geometry import normal_of, orthonormal
from kitlib.mri.ledger import Fault
from kitlib.mri.stack import Stack

COSINE_TOLERANCE = 0.002  # 0.1 degrees: above the jitter of rounded tags, below the angle between two discs
SPACING_TOLERANCE = 0.005  # relative
SIDE_BY_SIDE_MM = 10.0  # in-plane shift between neighbours: sheared stacks stay below, other fields do not
SAME_POSITION_MM = 0.1
GAP_STEPS = 1.5


def group_slices(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices that belong together, by size, spacing, orientation and field of view; order means nothing."""
    return [
        side_by_side
        for alike in _linked(slices, _likeness(slices))
        for side_by_side in _linked(alike, _in_plane_mm(alike) / SIDE_BY_SIDE_MM)
    ]


def build_stack(group: Sequence[Slice], each: Map = map) -> tuple[Stack, list[Fault]]:
    """The stack of slices that belong together, and what was odd about their positions.

    `each` maps, as the built-in does, the slices that are rescaled.
    """
    directions = _directions(group)
    normal = normal_of(*directions)
    ordered = sorted(group, key=lambda piece: float(piece.frame.origin_mm @ normal))
    kept, repeated = _one_per_position(ordered, normal)
    pixels = np.empty((len(kept), *kept[0].stored.shape), dtype=np.float32)
    for _ in each(Slice.rescale_into, kept, pixels):
        pass  # each writes its own part of the pixels
    stack = Stack(
        pixels=pixels,
        origins_mm=np.array([piece.frame.origin_mm for piece in kept]),
        row_direction=directions[0],
        column_direction=directions[1],
        spacing_mm=tuple(np.median([piece.frame.spacing_mm for piece in kept], axis=0).tolist()),
        instance_numbers=np.array([piece.instance_number for piece in kept], dtype=np.int64),
        files=tuple(piece.file for piece in kept),
    )
    return stack, [*_repeats(repeated), *_gaps(stack)]


def _likeness(slices: Sequence[Slice]) -> np.ndarray:
    """Points (n, 10), two of them within 1 by their largest coordinate where slices may share a stack."""
    directions = np.array([piece.frame.directions.ravel() for piece in slices])
    spacings_mm = np.array([piece.frame.spacing_mm for piece in slices])
    sizes = np.array([piece.stored.shape for piece in slices])
    return np.hstack([directions / COSINE_TOLERANCE, np.log(spacings_mm) / SPACING_TOLERANCE, sizes * 2.0])


def _in_plane_mm(group: Sequence[Slice]) -> np.ndarray:
    """Where each slice's first pixel lies along the image's two directions: (n, 2)."""
    return np.array([piece.frame.origin_mm for piece in group]) @ _directions(group).T


def _directions(group: Sequence[Slice]) -> np.ndarray:
    """The common directions (2, 3); a median, because it does not depend on the order of the slices."""
    return orthonormal(np.median([piece.frame.directions for piece in group], axis=0))


def _linked(slices: Sequence[Slice], points: np.ndarray) -> Iterator[list[Slice]]:
    """Groups of slices linked by chains of points less than 1 apart: no order, no cell boundaries."""
    if np.abs(points - points[0]).max() < 1:  # as in most series
        yield list(slices)
        return
    distinct, which = np.unique(points, axis=0, return_inverse=True)
    count, labels = connected_components(cdist(distinct, distinct, "chebyshev") < 1, directed=False)
    for label in range(count):
        yield [piece for piece, own in zip(slices, labels[which.ravel()], strict=True) if own == label]


def _one_per_position(ordered: Sequence[Slice], normal: np.ndarray) -> tuple[list[Slice], list[Slice]]:
    """(kept, repeated): of slices at one position the first by instance number is kept, then by content."""
    places: list[list[Slice]] = []
    for piece in ordered:
        if places and (piece.frame.origin_mm - places[-1][-1].frame.origin_mm) @ normal < SAME_POSITION_MM:
            places[-1].append(piece)
        else:
            places.append([piece])
    kept = [min(place, key=_precedence) if len(place) > 1 else place[0] for place in places]
    chosen = {id(piece) for piece in kept}
    return kept, [piece for piece in ordered if id(piece) not in chosen]


def _precedence(piece: Slice) -> tuple[bool, int, str]:
    content = hashlib.sha256(piece.stored.tobytes()).hexdigest()
    return piece.instance_number < 0, piece.instance_number, content


def _repeats(repeated: Sequence[Slice]) -> Iterator[Fault]:
    for file, count in Counter(piece.file for piece in repeated).items():
        detail = f"{count} at a position that another slice has"
        yield Fault("stack.repeated", "kept the first by instance number", file=file, detail=detail)


def _gaps(stack: Stack) -> Iterator[Fault]:
    steps = np.diff(stack.positions_mm)
    if not len(steps):
        return
    usual = np.quantile(steps, 0.5, method="lower")
    for index in np.flatnonzero(steps > GAP_STEPS * usual):
        detail = f"{steps[index]:.1f} mm to the slice before, usually {usual:.1f} mm"
        yield Fault("stack.gap", "slices kept, none put between", file=stack.files[index + 1], detail=detail)
