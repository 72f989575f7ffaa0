"""From slices to stacks.

Slices share a stack when size, spacing and orientation agree, they do not lie side by side, no identifier
says that they are of two series, and no two of them show one place in two contrasts. File names decide
nothing, instance numbers only which of two slices at one place is kept: shuffled and renamed files give the
same stacks.
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
SIDE_BY_SIDE_MM = 10.0  # in-plane shift between neighbours: sheared stacks stay below, other fields do not
TILTED_COSINE = np.cos(np.radians(2))
REACH_MM = 500.0  # from the middle of a stack: the longest of patients have 900 mm in all
WIDEST_MM = 60.0  # between slices: one a disc lies 40 apart
plane2widest_mm = {"sagittal": 30.0, "coronal": 30.0}  # the competition's sagittal ones lie 3.0 to 6.6 apart
MOST_BLOCKS = 8  # of a series: an axial one may have a block for each disc
STRAY_SHARE = 1 / 3  # of a stack's slices: so few of another geometry in its midst are no stack
BESIDE_STEPS = 1.75  # in the place of two slices that a stack lacks: 1.5 from its nearest
LEAST_BLOCK = 3  # slices as near to each other as a stack's own are a block that was planned so


def assembled(slices: Sequence[Slice], each: Map) -> tuple[list[Stack], list[Fault]]:
    """The stacks of a series' slices, those of most slices first, and what was odd about them.

    `each` maps, as the built-in does, the slices that are rescaled.
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
    is_told = any(fault.code == "series.contrasts" for fault in faults)
    return kept, [*faults, *([] if is_told else _overlaps(near, middles, are_strays))]


def _lone(stacks: Sequence[Stack]) -> Iterator[Fault]:
    """A fault for each slice that is a stack of its own beside larger ones: it may have left one of them."""
    for stack in stacks:
        if len(stack) == 1 < len(stacks[0]):
            yield Fault("stack.lone", KEPT, file=stack.files[0], detail="it shares no stack with any other")


def _largest_first(stack: Stack) -> tuple:
    """Slices, then pixels; of equals the place in the patient decides, however the images are stored."""
    place = *stack.normal.round(3).tolist(), *stack.centres_mm[0].round(1).tolist()
    return -len(stack), -stack.pixels[0].size, *place


def _grouped(slices: Sequence[Slice], series: np.ndarray) -> list[list[Slice]]:
    """Slices that belong together, by series, size, spacing, orientation and field of view, in any order."""
    return [
        side_by_side
        for alike in linked(slices, _likeness(slices, series))
        for side_by_side in linked(alike, _in_plane_mm(alike) / SIDE_BY_SIDE_MM)
    ]


def _built(group: Sequence[Slice], each: Map) -> Iterator[tuple[Stack, list[Fault]]]:
    """The stacks of slices that belong together, one a contrast, and what was odd about each."""
    directions = _directions(group)
    normal = normal_of(*directions)
    near, faults = _in_reach(group, normal)
    places = places_of(_positions_mm(near, normal))
    contrasts, told = by_contrast(near, places)
    if told:
        detail = f"{len(contrasts)} images of one place, told apart by {' and '.join(told)}"
        faults.append(Fault("series.contrasts", "a stack for each", detail=detail))
    for contrast in contrasts:
        one_each, repeated = one_a_place(contrast, places_of(_positions_mm(contrast, normal)))
        kept, odd = _alike_in_grey(one_each)
        stack = _stacked(kept, directions, each)
        planned_mm = float(np.median([piece.frame.planned_mm for piece in kept]))
        yield stack, [*faults, *repeated, *odd, *odd_places(stack, planned_mm)]


def _stacked(slices: Sequence[Slice], directions: np.ndarray, each: Map) -> Stack:
    """The stack of ascending slices."""
    pixels = np.empty((len(slices), *slices[0].stored.shape), dtype=np.float32)
    for _ in each(Slice.rescale_into, slices, pixels):
        pass  # each writes its own part of the pixels
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
    """Points (n, 11), two of them within 1 by their largest coordinate where slices may share a stack."""
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
    """Of which series each slice is, (n,); all of one where identifiers only count slices, as some do.

    A slice that names none is of the one that the others name.
    """
    uids, numbers = np.unique([piece.header.series_uid for piece in slices], return_inverse=True)
    several = len({*uids} - {""}) > 1 and 2 * len(uids) <= len(slices)
    return numbers if several else np.zeros(len(slices), int)


def _in_plane_mm(group: Sequence[Slice]) -> np.ndarray:
    """Where each slice's first pixel lies along the image's two directions: (n, 2)."""
    return np.array([piece.frame.origin_mm for piece in group]) @ _directions(group).T


def _directions(group: Sequence[Slice]) -> np.ndarray:
    """The common directions (2, 3); a median, because it does not depend on the order of the slices."""
    return orthonormal(np.median([piece.frame.directions for piece in group], axis=0))


def _positions_mm(slices: Sequence[Slice], normal: np.ndarray) -> np.ndarray:
    """Where slices lie along a normal: (n,)."""
    return np.array([piece.frame.origin_mm for piece in slices]) @ normal


def _in_reach(group: Sequence[Slice], normal: np.ndarray) -> tuple[list[Slice], list[Fault]]:
    """The slices that lie where one stack can reach, and a fault for each other."""
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
    """The slices without those of other greys; where these are not the fewer, nobody knows: all are kept."""
    is_odd = odd_greys(slices)
    few = 2 * is_odd.sum() < len(slices)
    detail = "stored otherwise than its neighbours, and rescaled its greys are not theirs"
    code, action = ("slice.greys", DROPPED) if few else ("stack.greys", KEPT)
    faults = [
        Fault(code, action, file=piece.file, detail=detail) for piece, odd in zip(slices, is_odd) if odd
    ]
    return [piece for piece, odd in zip(slices, is_odd) if not (odd and few)], faults


def _without(
    stacks: Sequence[Stack], is_odd: np.ndarray, code: str, detail: str
) -> tuple[list[Stack], list[Fault]]:
    """The stacks that are not odd, (n,) says which, and a fault for each file of the others."""
    kept = [stack for stack, odd in zip(stacks, is_odd) if not odd]
    files = (file for stack, odd in zip(stacks, is_odd) if odd for file in stack.files)
    return kept, [Fault(code, DROPPED, file=file, detail=detail) for file in files]


def _are_far(stacks: Sequence[Stack]) -> np.ndarray:
    """Which stacks (n,) lie where no patient reaches that the first one, the largest, shows."""
    middles_mm = np.array([stack.centres_mm.mean(axis=0) for stack in stacks])
    return np.linalg.norm(middles_mm - middles_mm[0], axis=1) > REACH_MM


def _are_sparse(stacks: Sequence[Stack]) -> np.ndarray:
    """Which stacks (n,) have slices farther apart than anybody acquires them."""
    widest_mm = (plane2widest_mm.get(stack.plane, WIDEST_MM) for stack in stacks)
    steps_mm = (stack.step_mm if len(stack) > 2 else 0 for stack in stacks)
    return np.array([step > widest for step, widest in zip(steps_mm, widest_mm)])


def _are_strays(stacks: Sequence[Stack], middles: Sequence[np.ndarray]) -> np.ndarray:
    """Which stacks (n,), the largest first, are few slices in the midst of a large one, and no block."""
    counts = np.array([len(stack) for stack in stacks])
    widest_mm = np.array([np.diff(stack.positions_mm).max(initial=0) for stack in stacks])
    are_strays = np.zeros(len(stacks), bool)
    for larger, (_, _, away) in zip(stacks, middles):
        is_block = (counts >= LEAST_BLOCK) & (widest_mm <= GAP_STEPS * larger.pace_mm)
        are_strays |= (away < BESIDE_STEPS) & (counts <= STRAY_SHARE * len(larger)) & ~is_block
    return are_strays


def _overlaps(stacks: Sequence[Stack], middles: Sequence[np.ndarray], are_strays: np.ndarray) -> list[Fault]:
    """A fault where stacks show the same places, as those of two series or sizes may.

    One that is tilted against the other is an axial block of its own level.
    """
    for first, (larger, at) in enumerate(zip(stacks, middles)):
        columns, rows, away = at[:, first:]  # the middle of a larger one may lie between its blocks
        _, height, width = larger.pixels.shape
        is_inside = (away <= GAP_STEPS / 2) & (abs(columns - width / 2) < width / 2)
        is_inside &= (abs(rows - height / 2) < height / 2) & ~are_strays[first:]
        is_inside &= np.array([stack.normal @ larger.normal for stack in stacks[first:]]) > TILTED_COSINE
        if (count := is_inside.sum()) > 1:
            return [Fault("series.overlap", "all kept", detail=f"{count} {larger.plane} stacks of one place")]
    return []


def _middles_in(stacks: Sequence[Stack]) -> list[np.ndarray]:
    """Where the middles of all stacks lie in each of the largest: (3, n), NaN in other planes.

    Column, row, and how many steps away its nearest slice is.
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
