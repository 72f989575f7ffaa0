"""Assemble slices into stacks.

Slices share a stack if their sizes, spacings and orientations agree, they do not lie side by side, their
identifiers do not name different series, and no two show one position with different contrasts. File names
play no part, and instance numbers only decide which of two slices at one position is kept: shuffled or
renamed files give the same stacks.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from kitlib.machine import Map
from kitlib.mri.contrasts import by_contrast, one_a_place, places_of
from kitlib.mri.dicom.slices import DROPPED, KEPT, Slice
from kitlib.mri.greys import odd_greys
from kitlib.mri.grouping import linked
from kitlib.mri.ledger import Fault
from kitlib.mri.regularity import GAP_STEPS, odd_places
from kitlib.mri.stack import Stack, normal_of, orthonormal

COSINE_TOLERANCE = 0.002  # 0.1 degrees: above the jitter of rounded tags, below the angle between two discs
SPACING_TOLERANCE = 0.005  # relative
SIDE_BY_SIDE_MM = 10.0  # in-plane shift between neighbours: less in a sheared stack, more in other fields
TILTED_COSINE = np.cos(np.radians(2))
REACH_MM = 500.0  # from the middle of a stack: the longest patients measure 900 mm in all
WIDEST_MM = 60.0  # between slices: with one per disc they lie 40 apart
plane2widest_mm = {"sagittal": 30.0, "coronal": 30.0}  # 3.0 to 6.6 in the competition's sagittal ones
MOST_BLOCKS = 8  # of a series: an axial one may have a block for each disc
STRAY_SHARE = 1 / 3  # of a stack's slices: this few with another geometry inside it are not a stack
BESIDE_STEPS = 1.75  # to the nearest slice: the middle of a gap of two missing slices is 1.5 away
LEAST_BLOCK = 3  # this many slices, as close together as a stack's own, count as a planned block


def assembled(slices: Sequence[Slice], each: Map) -> tuple[list[Stack], list[Fault]]:
    """Assemble a series' slices into stacks, those with most slices first; also return the faults found.

    `each` is the built-in `map`, or one like it, and is used to rescale the slices.
    """
    faults: list[Fault] = []
    stacks: list[Stack] = []
    sizes = sorted({piece.stored.shape for piece in slices})
    if len(sizes) > 1:
        faults.append(Fault("series.mixed_sizes", "a stack for each size", detail=f"rows, columns {sizes}"))
    series = _series_numbers(slices)
    if count := np.ptp(series):
        faults.append(Fault("series.several", "a stack for each", detail=f"files of {count + 1} series"))
    for group in _grouped(slices, series):
        for stack, odd in _built(group, each):
            stacks.append(stack)
            faults += odd
    stacks = sorted(stacks, key=_largest_first)
    detail = f"more than {REACH_MM:.0f} mm from most slices of its series"
    stacks, lost = _without(stacks, _are_far(stacks), "slice.position", detail)
    near, far = _without(stacks, _are_sparse(stacks), "slice.spacing", "slices lie too far apart")
    middles = _middles_in(near)
    are_strays = _are_strays(near, middles)
    kept, strays = _without(near, are_strays, "stack.apart", "it shares no stack with those around it")
    faults += [*lost, *far, *strays, *_lone(kept)]
    is_reported = any(fault.code == "series.contrasts" for fault in faults)
    return kept, [*faults, *([] if is_reported else _overlaps(near, middles, are_strays))]


def _lone(stacks: Sequence[Stack]) -> Iterator[Fault]:
    """Yield a fault for each single-slice stack beside larger ones: it may belong to one of them."""
    for stack in stacks:
        if len(stack) == 1 < len(stacks[0]):
            yield Fault("stack.lone", KEPT, file=stack.files[0], detail="it shares no stack with any other")


def _largest_first(stack: Stack) -> tuple:
    """Sort key: most slices, then most pixels, then position in the patient, however images are stored."""
    place = *stack.normal.round(3).tolist(), *stack.centres_mm[0].round(1).tolist()
    return -len(stack), -stack.pixels[0].size, *place


def _grouped(slices: Sequence[Slice], series: np.ndarray) -> list[list[Slice]]:
    """Group slices, in no particular order, by series, size, spacing, orientation and field of view."""
    return [
        side_by_side
        for alike in linked(slices, _likeness(slices, series))
        for side_by_side in linked(alike, _in_plane_mm(alike) / SIDE_BY_SIDE_MM)
    ]


def _built(group: Sequence[Slice], each: Map) -> Iterator[tuple[Stack, list[Fault]]]:
    """Yield the stacks of slices that belong together, one per contrast, each with its faults."""
    directions = _directions(group)
    normal = normal_of(*directions)
    near, faults = _in_reach(group, normal)
    places = places_of(_positions_mm(near, normal))
    contrasts, separating = by_contrast(near, places)
    if separating:
        detail = f"{len(contrasts)} images of one place, told apart by {' and '.join(separating)}"
        faults.append(Fault("series.contrasts", "a stack for each", detail=detail))
    for contrast in contrasts:
        one_each, repeated = one_a_place(contrast, places_of(_positions_mm(contrast, normal)))
        kept, odd = _alike_in_grey(one_each)
        stack = _stacked(kept, directions, each)
        planned_mm = float(np.median([piece.frame.planned_mm for piece in kept]))
        yield stack, [*faults, *repeated, *odd, *odd_places(stack, planned_mm)]


def _stacked(slices: Sequence[Slice], directions: np.ndarray, each: Map) -> Stack:
    """Build the stack of slices in ascending order."""
    pixels = np.empty((len(slices), *slices[0].stored.shape), dtype=np.float32)
    for _ in each(Slice.rescale_into, slices, pixels):
        pass  # each call writes its own part of the pixels
    return Stack(
        pixels=pixels,
        origins_mm=np.array([piece.frame.origin_mm for piece in slices]),
        row_direction=directions[0],
        column_direction=directions[1],
        spacing_mm=tuple(np.median([piece.frame.spacing_mm for piece in slices], axis=0).tolist()),
        instance_numbers=np.array([piece.instance_number for piece in slices], dtype=np.int64),
        files=tuple(piece.file for piece in slices),
    )


def _likeness(slices: Sequence[Slice], series: np.ndarray) -> np.ndarray:
    """Points (n, 11), less than 1 apart in every coordinate where two slices may share a stack."""
    directions = np.array([piece.frame.directions.ravel() for piece in slices])
    spacings_mm = np.array([piece.frame.spacing_mm for piece in slices])
    sizes = np.array([piece.stored.shape for piece in slices])
    return np.hstack(
        [
            directions / COSINE_TOLERANCE,
            np.log(spacings_mm) / SPACING_TOLERANCE,
            sizes * 2.0,
            series[:, None] * 2.0,
        ]
    )


def _series_numbers(slices: Sequence[Slice]) -> np.ndarray:
    """The series number of each slice, (n,); all 0 if the identifiers merely count slices, as some do.

    Slices without an identifier belong to the series that the others name, if it is the only one.
    """
    uids, numbers = np.unique([piece.header.series_uid for piece in slices], return_inverse=True)
    several = len({*uids} - {""}) > 1 and 2 * len(uids) <= len(slices)
    return numbers if several else np.zeros(len(slices), int)


def _in_plane_mm(group: Sequence[Slice]) -> np.ndarray:
    """Position of each slice's first pixel along the two image directions: (n, 2)."""
    return np.array([piece.frame.origin_mm for piece in group]) @ _directions(group).T


def _directions(group: Sequence[Slice]) -> np.ndarray:
    """The common directions (2, 3): a median, which does not depend on the order of the slices."""
    return orthonormal(np.median([piece.frame.directions for piece in group], axis=0))


def _positions_mm(slices: Sequence[Slice], normal: np.ndarray) -> np.ndarray:
    """Positions of slices along a normal: (n,)."""
    return np.array([piece.frame.origin_mm for piece in slices]) @ normal


def _in_reach(group: Sequence[Slice], normal: np.ndarray) -> tuple[list[Slice], list[Fault]]:
    """The slices within REACH_MM of the middle of their stack, and a fault for each other slice."""
    positions_mm = _positions_mm(group, normal)
    if np.ptp(positions_mm) <= REACH_MM:  # as in most series
        return list(group), []
    middle_mm = np.quantile(positions_mm, 0.5, method="lower")
    kept, faults = [], []
    for piece, away_mm in zip(group, np.abs(positions_mm - middle_mm)):
        if away_mm <= REACH_MM:
            kept.append(piece)
        else:
            detail = f"{away_mm:.0f} mm from the middle of its stack"
            faults.append(Fault("slice.position", DROPPED, file=piece.file, detail=detail))
    return kept, faults


def _alike_in_grey(slices: Sequence[Slice]) -> tuple[list[Slice], list[Fault]]:
    """Leave out slices whose greys differ from the others'; keep all if these are not a minority."""
    is_odd = odd_greys(slices)
    few = 2 * is_odd.sum() < len(slices)
    detail = "stored differently from its neighbours, and after rescaling its greys do not match theirs"
    code, action = ("slice.greys", DROPPED) if few else ("stack.greys", KEPT)
    faults = [
        Fault(code, action, file=piece.file, detail=detail) for piece, odd in zip(slices, is_odd) if odd
    ]
    return [piece for piece, odd in zip(slices, is_odd) if not (odd and few)], faults


def _without(
    stacks: Sequence[Stack], is_odd: np.ndarray, code: str, detail: str
) -> tuple[list[Stack], list[Fault]]:
    """The stacks not marked odd in the mask (n,), and a fault for each file of the others."""
    kept = [stack for stack, odd in zip(stacks, is_odd) if not odd]
    files = (file for stack, odd in zip(stacks, is_odd) if odd for file in stack.files)
    return kept, [Fault(code, DROPPED, file=file, detail=detail) for file in files]


def _are_far(stacks: Sequence[Stack]) -> np.ndarray:
    """Mask (n,) of stacks too far from the first, the largest, to show the same patient."""
    middles_mm = np.array([stack.centres_mm.mean(axis=0) for stack in stacks])
    return np.linalg.norm(middles_mm - middles_mm[0], axis=1) > REACH_MM


def _are_sparse(stacks: Sequence[Stack]) -> np.ndarray:
    """Mask (n,) of stacks whose slices lie farther apart than anyone acquires them."""
    widest_mm = (plane2widest_mm.get(stack.plane, WIDEST_MM) for stack in stacks)
    steps_mm = (stack.step_mm if len(stack) > 2 else 0 for stack in stacks)
    return np.array([step > widest for step, widest in zip(steps_mm, widest_mm)])


def _are_strays(stacks: Sequence[Stack], middles: Sequence[np.ndarray]) -> np.ndarray:
    """Mask (n,) of stacks, largest first, that are a few slices inside a larger one and not a block."""
    counts = np.array([len(stack) for stack in stacks])
    widest_mm = np.array([np.diff(stack.positions_mm).max(initial=0) for stack in stacks])
    are_strays = np.zeros(len(stacks), bool)
    for larger, (_, _, away) in zip(stacks, middles):
        is_block = (counts >= LEAST_BLOCK) & (widest_mm <= GAP_STEPS * larger.pace_mm)
        are_strays |= (away < BESIDE_STEPS) & (counts <= STRAY_SHARE * len(larger)) & ~is_block
    return are_strays


def _overlaps(stacks: Sequence[Stack], middles: Sequence[np.ndarray], are_strays: np.ndarray) -> list[Fault]:
    """A fault if stacks show the same positions, as those of two series or sizes may.

    A stack tilted against the other does not count: it is the axial block of another level.
    """
    for first, (larger, at) in enumerate(zip(stacks, middles)):
        columns, rows, away = at[:, first:]  # the middle of a larger stack may lie between its blocks
        _, height, width = larger.pixels.shape
        is_inside = (away <= GAP_STEPS / 2) & (abs(columns - width / 2) < width / 2)
        is_inside &= (abs(rows - height / 2) < height / 2) & ~are_strays[first:]
        is_inside &= np.array([stack.normal @ larger.normal for stack in stacks[first:]]) > TILTED_COSINE
        if (count := is_inside.sum()) > 1:
            return [Fault("series.overlap", "all kept", detail=f"{count} {larger.plane} stacks of one place")]
    return []


def _middles_in(stacks: Sequence[Stack]) -> list[np.ndarray]:
    """Positions of all stacks' middles in each of the largest stacks: (3, n), NaN in other planes.

    The rows are the column, the row, and the distance to the nearest slice in steps.
    """
    if len(stacks) < 2:
        return []
    planes = np.array([stack.plane for stack in stacks])
    middles_mm = np.array([stack.centres_mm.mean(axis=0) for stack in stacks])
    found = []
    for stack in stacks[:MOST_BLOCKS]:
        columns, rows, _ = stack.to_pixel(middles_mm).T
        away_mm = np.abs(stack.positions_mm[:, None] - middles_mm @ stack.normal).min(axis=0)
        at = np.stack([columns, rows, away_mm / stack.pace_mm])
        found.append(np.where(planes == stack.plane, at, np.nan))
    return found
