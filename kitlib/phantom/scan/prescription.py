"""Prescribe the slices of one stack: along the spine, across one disc, or across all of them.

Ranges are those of the competition's series (docs/facts.md, 2); values without a figure there are typical of
lumbar protocols and chosen by eye.
"""

from dataclasses import dataclass

import numpy as np

from kitlib.errors import UsageError
from kitlib.phantom.body.anatomy import Anatomy
from kitlib.phantom.body.grid import unit
from kitlib.phantom.body.vertebrae import disc_of
from kitlib.terms import CELLS, CONDITIONS, LEVELS

AXIAL_CONDITIONS = [index for index, name in enumerate(CONDITIONS) if "foraminal" not in name]
SAGITTAL_VIEW_MM, AXIAL_VIEW_MM = (250, 300), (160, 210)
OBLONG_RATES = (0.03, 0.13)  # of axial series, wide; of sagittal ones, tall
GAP_RATE = 0.03  # of contiguous axial stacks: a slice between two discs is missing
MOTION_MM = 3.0  # of the patient between two series, at most
STEP_MM = (3.0, 6.6)  # of sagittal slices
STEEPEST = np.radians(40)  # tilt of an axial block
SLICE_FILLS = 0.88  # slice thickness as a share of the step between slices
OVERRUN_MM = (25.0, 15.0)  # of contiguous axial stacks below and above, at most
MARGIN_MM = 7.0  # of slices beyond the graded places: more than a patient moves


@dataclass(frozen=True)
class Size:
    """Image sizes and slice counts of a study; pairs are minimum and maximum."""

    sagittal_px: tuple[int, ...]  # matrices to choose from, common ones repeated
    axial_px: tuple[int, ...]
    sagittal_slices: tuple[int, int]
    block_slices: tuple[int, int]
    stack_step_mm: tuple[float, float]  # of contiguous axial stacks
    samples: tuple[int, int]  # through the thickness of sagittal and axial slices


SIZES = {
    "smoke": Size((112,), (112,), (9, 9), (3, 3), (9.0, 10.5), (2, 2)),
    "demo": Size((240, 240, 256, 320), (224, 224, 224, 256, 288), (13, 17), (3, 7), (5.2, 6.6), (3, 5)),
    "clinical": Size(
        (192, 256, *4 * (320,), *4 * (384,), 448, *7 * (512,), 640, 640, 768, 1024),
        (192, 256, 256, *6 * (320,), *3 * (384,), 448, *5 * (512,), *3 * (640,), 768),
        (8, 38),
        (3, 7),
        (3.0, 4.8),
        (3, 5),
    ),
}


@dataclass(frozen=True, eq=False)
class Plan:
    """Parallel slices to acquire."""

    centres_mm: np.ndarray  # (N, 3) from the anatomy's origin, ascending along the stack's normal
    row_direction: np.ndarray
    column_direction: np.ndarray
    px_mm: float
    shape: tuple[int, int]
    thickness_mm: float
    samples: int  # planes through the thickness

    @property
    def origins_mm(self) -> np.ndarray:
        """Position of each slice's first pixel, from the anatomy's origin."""
        rows, cols = ((n - 1) / 2 * self.px_mm for n in self.shape)
        return self.centres_mm - rows * self.column_direction - cols * self.row_direction

    @property
    def sagittal(self) -> bool:
        """Whether columns run from front to back; muscle fibres then lie within the slices."""
        return bool(self.row_direction[1] > 0.7)


@dataclass(frozen=True, eq=False)
class Targets:
    """The places that slices must cover, from the anatomy's origin."""

    places_mm: np.ndarray  # (conditions, levels, 3) where the cells are graded
    disc_axes: np.ndarray  # (levels, 3) upright unit vectors

    @classmethod
    def of(cls, anatomy: Anatomy) -> "Targets":
        """Return the targets of an anatomy."""
        places = np.array([anatomy.place_mm(cell) - anatomy.at_mm for cell in CELLS])
        axes = [_upright(anatomy.spine.discs[disc_of(level)].frame.axes[2]) for level in LEVELS]
        return cls(places.reshape(len(CONDITIONS), len(LEVELS), 3), np.array(axes))

    @property
    def canal_mm(self) -> np.ndarray:
        """The canal's middle (levels, 3)."""
        return self.places_mm[0]


def size_named(name: str) -> Size:
    """Return the size of this name. Raises UsageError if there is none."""
    if name not in SIZES:
        raise UsageError(f"no phantom size {name!r}", hint=f"Sizes are {', '.join(SIZES)}.")
    return SIZES[name]


def prescribe_sagittal(targets: Targets, size: Size, rng: np.random.Generator) -> Plan:
    """Prescribe slices along the spine from right to left, through both rows of foramina."""
    ends = targets.canal_mm[[-1, 0]]
    up = unit((ends[1] - ends[0]) * [1, 0, 1])
    yaw = np.radians(rng.normal(0, 1.5))
    back = np.array([np.sin(yaw), np.cos(yaw), 0])
    back = unit(back - (back @ up) * up)
    left = np.cross(back, up)
    offsets = targets.places_mm @ left
    count, step = _fitting(np.ptp(offsets) + 2 * MARGIN_MM - STEP_MM[0], size, rng)
    centre = ends.mean(axis=0) + rng.normal([0, -18, -8], [0, 6, 6])
    centre += ((offsets.min() + offsets.max()) / 2 + rng.uniform(-1, 1) - centre @ left) * left
    shape, px_mm = _matrix(size.sagittal_px, SAGITTAL_VIEW_MM, 1, rng)
    centres = centre + _steps(count, step)[:, None] * left
    return Plan(centres, back, -up, px_mm, shape, SLICE_FILLS * step, size.samples[0])


def prescribe_blocks(targets: Targets, size: Size, uncovered: int, rng: np.random.Generator) -> list[Plan]:
    """Prescribe an oblique block for each covered disc, from below."""
    count = int(rng.integers(size.block_slices[0], size.block_slices[1] + 1))
    step = max(rng.uniform(3.2, 4.6), 2 * MARGIN_MM / count)
    matrix, shift = _matrix(size.axial_px, AXIAL_VIEW_MM, 0, rng), rng.normal([0, -18], [3, 6])
    return [
        _axial(middle, up, middle @ up + _steps(count, step), step, matrix, shift, size)
        for middle, up in zip(targets.canal_mm[uncovered:][::-1], targets.disc_axes[uncovered:][::-1])
    ]


def prescribe_stack(targets: Targets, size: Size, uncovered: int, rng: np.random.Generator) -> list[Plan]:
    """Prescribe one stack over all covered discs and a little beyond, sometimes with a gap between two."""
    up = _upright(targets.disc_axes[-2] * rng.uniform(0.2, 1) + [0, 0, 0.3])
    below, above = rng.uniform(0, OVERRUN_MM)
    middles = targets.canal_mm[uncovered:]
    graded = targets.places_mm[AXIAL_CONDITIONS, uncovered:] @ up
    lowest = graded.min() - MARGIN_MM - below
    highest = graded.max() + MARGIN_MM + above * (uncovered == 0)
    step = rng.uniform(*size.stack_step_mm)
    heights = (lowest + highest) / 2 + _steps(int(np.ceil((highest - lowest) / step)), step)
    if rng.random() < GAP_RATE:
        heights = _with_gap(heights, middles @ up, step, rng)
    shift, matrix = rng.normal([0, -18], [3, 6]), _matrix(size.axial_px, AXIAL_VIEW_MM, 0, rng)
    return [_axial(middles.mean(axis=0), up, heights, step, matrix, shift, size)]


def _with_gap(heights: np.ndarray, middles: np.ndarray, step: float, rng: np.random.Generator) -> np.ndarray:
    """Remove one slice that is far enough from every graded disc to leave all of them covered."""
    away = np.abs(heights[:, None] - middles).min(axis=1) > step + MOTION_MM
    lost = np.flatnonzero(away & (heights > middles.min()) & (heights < middles.max()))
    return np.delete(heights, rng.choice(lost)) if len(lost) else heights


def _axial(
    middle: np.ndarray,
    up: np.ndarray,
    heights: np.ndarray,
    step: float,
    matrix: tuple[tuple[int, int], float],
    shift: np.ndarray,
    size: Size,
) -> Plan:
    """Slices perpendicular to `up` at heights (N,) along it, offset from `middle` by `shift` (left, back)."""
    row = unit(np.array([1.0, 0, 0]) - up[0] * up)
    column = np.cross(up, row)
    centres = middle - middle @ up * up + shift @ [row, column] + heights[:, None] * up
    shape, px_mm = matrix
    return Plan(centres, row, column, px_mm, shape, SLICE_FILLS * step, size.samples[1])


def _fitting(needed_mm: float, size: Size, rng: np.random.Generator) -> tuple[int, float]:
    """Slice count and step of a sagittal series that covers `needed_mm`; within STEP_MM if that suffices."""
    step = np.clip(rng.normal(4.5, 0.7), *STEP_MM)
    count = int(np.clip(1 + np.ceil((needed_mm + rng.gamma(2, 8)) / step), *size.sagittal_slices))
    return count, max(float(step), needed_mm / (count - 1))


def _upright(axis: np.ndarray) -> np.ndarray:
    """Unit vector of an axis, with its tilt from the patient's axis limited to STEEPEST."""
    across = axis * [1, 1, 0]
    steepness = np.hypot(*across[:2]) / (axis[2] * np.tan(STEEPEST))
    return unit(across / max(1.0, steepness) + axis * [0, 0, 1])


def _matrix(
    usual_px: tuple[int, ...], views_mm: tuple[float, float], short_axis: int, rng: np.random.Generator
) -> tuple[tuple[int, int], float]:
    """Draw rows and columns, sometimes fewer along one axis, and the pixel size in mm."""
    view_mm, px = rng.uniform(*views_mm), int(rng.choice(usual_px))
    short = 2 * int(px * rng.uniform(0.75, 0.95) / 2) if rng.random() < OBLONG_RATES[short_axis] else px
    shape = (short, px) if short_axis == 0 else (px, short)
    return shape, view_mm / px


def _steps(count: int, step: float) -> np.ndarray:
    return (np.arange(count) - (count - 1) / 2) * step
