"""Geometry: levels of axial slices, foramina and recesses beside the canal, and which slices to read.

All points are patient millimetres (LPS). Sides follow from the patient's x, never from the order of files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kitlib.mri.stack import Plane, Stack
from kitlib.terms import ABOVE, BELOW, EMPTY, LEVELS, Landmark, Place, Side

CanalPoints = Mapping[str, np.ndarray]
"""Canal points, (3,) mm, by level, including the neighbours T12/L1 and S1/S2. Any may be missing."""

LEFT, BACK = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])  # LPS
FIELD_MM = (20.0, 1000.0)  # sides of an image; a wrong spacing would make the network's input huge

side2sign: dict[Side, int] = {"left": 1, "right": -1}
SPINE = (ABOVE, *LEVELS, BELOW)
LIMIT_MM = 5.0  # from a slice to the level it is assigned to (docs/facts.md, 3: 3 to 5)
LIMIT_STEPS = 0.6  # in stacks with wide steps, so that a level between two slices gets one of them
BLOCK_MM = 35.0  # a stack no longer than this and near only one level is a block for that level
BLOCK_LIMIT_MM = 10.0  # within a block: still far from half of the 30 mm between two levels
LEAST_COSINE = 0.5  # slices tilted from a disc by 60 degrees or more do not show a cross-section of it
TILT_REACH_MM = 15.0  # how far beside the canal a slice should still lie on the disc

# Distances from each point of SPINE to the next, relative to the mean of the graded ones, and the turn in
# degrees at each inner point, backwards on the way down: medians of 1,898 real series for graded levels,
# which phantoms match within 1 % and 4 degrees, and of 400 phantoms for their neighbours.
GAP_SHARES = np.array([1.084, 1.075, 1.057, 1.0, 0.866, 0.951])
TURNS_DEG = np.array([3.1, 4.5, 9.7, 15.0, -0.5])

# The disc's slope against the line from the canal point below to the one above, positive leaning back: means
# over 400 phantoms (sd 0.7 to 2.9 degrees).
DISC_TILT_DEG = dict(zip(LEVELS, (1.0, 1.5, 1.0, 2.5, -8.0)))

# Mean offsets outwards, back and up from the canal point, along `disc_axes`. Foramina: medians of
# the competition's landmarks (620 studies with positions for the first column, 960 whose T1 and T2 share a
# field of view for the others, at 31 mm between levels); phantoms agree within 1.7 mm in each direction.
# Recesses: 400 phantoms (sd 0.6 mm); the competition's lie 8.3 to 9.7 mm outwards, taking its mean pixel.
OFFSETS_MM: dict[Place, np.ndarray] = {
    "foramen": np.array([(15, -2, 7), (15.5, -3, 7.5), (16.5, -4.5, 7.5), (18, -8, 7.5), (19, -10.5, 7.5)]),
    "recess": np.array([(9, -3.6, 0), (9, -3.6, 0), (9, -3.7, 0), (9, -4.1, 0), (9, -5.5, 0.8)]),
}


def disc_axes(canal_mm: CanalPoints) -> dict[str, np.ndarray]:
    """Axes (3, 3) of each graded level with a point, rows left, back, up: `up` is normal to the disc.

    They follow the line through the neighbouring points; for a single point they are the patient's axes.
    """
    names = [name for name in SPINE if name in canal_mm]
    points_mm = np.array([canal_mm[name] for name in names], dtype=np.float64).reshape(-1, 3)
    axes = {}
    for index, name in enumerate(names):
        if name in LEVELS:
            way = points_mm[max(index - 1, 0)] - points_mm[min(index + 1, len(names) - 1)]
            along = way / np.linalg.norm(way) if way.any() else np.array([0.0, 0.0, 1.0])
            axes[name] = _leaned(along, np.radians(DISC_TILT_DEG[name] if way.any() else 0.0))
    return axes


def _leaned(along: np.ndarray, angle: float) -> np.ndarray:
    left = np.array([1.0, 0.0, 0.0]) - along[0] * along
    left /= np.linalg.norm(left)
    back = np.cross(along, left)
    up = np.cos(angle) * along + np.sin(angle) * back
    return np.stack([left, np.cross(up, left), up])


@dataclass(frozen=True, eq=False)
class StackLevels:
    """The level that each slice of one stack shows."""

    level: np.ndarray  # (N,) int64, index into LEVELS or EMPTY
    distance_mm: np.ndarray  # (N, 5) of the slice above each level's canal point; NaN if it cannot show it
    angle_deg: np.ndarray  # (5,) between the slices and each disc; NaN for a level without a point

    @property
    def away_mm(self) -> np.ndarray:
        """Distance of each slice from each disc, including the tilt between them: (N, 5)."""
        return np.hypot(self.distance_mm, TILT_REACH_MM * np.sin(np.radians(self.angle_deg)))


def axial_levels(stacks: Sequence[Stack], canal_mm: CanalPoints) -> list[StackLevels]:
    """Assign each slice of a study's axial stacks to the nearest level, by its distance at the canal.

    A slice further than LIMIT_MM from every point lies between levels; in a block for one disc the limit is
    BLOCK_LIMIT_MM. A slice whose image does not contain a level's point cannot show that level.
    """
    axes = disc_axes(canal_mm)
    return [_stack_levels(stack, canal_mm, axes) for stack in stacks]


def best_slices(levels: Sequence[StackLevels]) -> dict[str, tuple[int, int]]:
    """The stack and slice that lie best on the disc, by level; ties go to the first stack."""
    found = {}
    for index, level in enumerate(LEVELS):
        ranks = [
            (round(float(stack.away_mm[at, index]), 3), order, int(at))
            for order, stack in enumerate(levels)
            for at in np.flatnonzero(stack.level == index)
        ]
        if ranks:
            found[level] = min(ranks)[1:]
    return found


def _stack_levels(stack: Stack, canal_mm: CanalPoints, axes: Mapping[str, np.ndarray]) -> StackLevels:
    distance, angle = np.full((len(stack), len(LEVELS)), np.nan), np.full(len(LEVELS), np.nan)
    for index, level in enumerate(LEVELS):
        if level in canal_mm:
            cosine = axes[level][2] @ stack.normal
            angle[index] = np.degrees(np.arccos(min(1.0, abs(float(cosine)))))
            if abs(cosine) > LEAST_COSINE and _in_view(stack, canal_mm[level]):
                away_mm = stack.positions_mm - canal_mm[level] @ stack.normal
                distance[:, index] = np.sign(cosine) * away_mm
    near = np.where(np.isnan(distance), np.inf, np.abs(distance))
    is_block = (near.min(axis=0) <= LIMIT_MM).sum() == 1 and np.ptp(stack.positions_mm) <= BLOCK_MM
    limit = np.fmax(BLOCK_LIMIT_MM if is_block else LIMIT_MM, LIMIT_STEPS * stack.step_mm)
    return StackLevels(np.where(near.min(axis=1) <= limit, near.argmin(axis=1), EMPTY), distance, angle)


def _in_view(stack: Stack, point_mm: np.ndarray) -> bool:
    col, row, _ = stack.to_pixel(point_mm)
    _, height, width = stack.pixels.shape
    return bool(-0.5 <= col <= width - 0.5 and -0.5 <= row <= height - 0.5)


def predict_points(canal_mm: CanalPoints, place: Place) -> dict[Landmark, np.ndarray]:
    """Predict foramina or recesses, (3,) mm each, by their mean offset from the canal points.

    From the true canal points of 400 phantoms, recesses are 0.4 mm off in the median (p90 0.9 mm).
    """
    offsets = dict(zip(LEVELS, OFFSETS_MM[place]))
    return {
        Landmark(place, level, side): canal_mm[level] + (offsets[level] * [sign, 1, 1]) @ axes
        for side, sign in side2sign.items()
        for level, axes in disc_axes(canal_mm).items()
    }


def on_slice(stack: Stack, index: int, point_mm: np.ndarray, along: np.ndarray) -> np.ndarray:
    """(column, row) on a slice of a point near it, projected along a direction."""
    lift = (stack.positions_mm[index] - point_mm @ stack.normal) / (along @ stack.normal)
    in_plane = point_mm + lift * along - stack.origins_mm[index]
    rows_mm, cols_mm = stack.spacing_mm
    return np.array([in_plane @ stack.row_direction / cols_mm, in_plane @ stack.column_direction / rows_mm])


def spread(stack: Stack, least_step_mm: float, most: int) -> np.ndarray:
    """Indices of at most `most` slices around the stack's middle, about `least_step_mm` apart or more."""
    step = 1 if len(stack) < 2 else max(1, int(np.ceil(least_step_mm / max(stack.step_mm, 1e-3) - 0.25)))
    start = (len(stack) - 1) % step // 2
    indices = np.arange(start, len(stack), step)
    skip = max(0, len(indices) - most) // 2
    return indices[skip : skip + most]


def of_plane(stacks: Sequence[Stack], plane: Plane) -> list[Stack]:
    """The stacks of a plane with a plausible field of view, those with most slices first."""
    found = [stack for stack in stacks if stack.plane == plane and _is_plausible(stack)]
    return sorted(found, key=len, reverse=True)


def _is_plausible(stack: Stack) -> bool:
    sides_mm = np.multiply(stack.pixels.shape[1:], stack.spacing_mm)
    return bool(FIELD_MM[0] <= sides_mm.min() and sides_mm.max() <= FIELD_MM[1])
