"""Scan plans as radiographers make them, and the stacks of slices that come of them."""

from dataclasses import dataclass

import numpy as np

from kitlib.errors import UsageError
from kitlib.mri.stack import Stack
from kitlib.phantom.anatomy import Anatomy
from kitlib.phantom.grid import PATIENT, Canvas
from kitlib.phantom.signal import Receiver, Sequence, draw_receiver, tissue_image
from kitlib.phantom.spine import disc_of
from kitlib.phantom.tissues import relaxation
from kitlib.terms import LEVELS

RIGHT_TO_LEFT_RATE = 0.64  # sagittal series numbered from the patient's right
HEAD_TO_FOOT_RATE = 0.88  # axial series numbered from the head
BLOCKS_RATE = 0.5
OBLONG_RATE = 0.1
STEEPEST = np.radians(40)  # tilt of an axial block
SLICE_FILLS = 0.88  # slice thickness, of the step between slices


@dataclass(frozen=True)
class Size:
    """How much a study holds."""

    sagittal_px: int
    axial_px: int
    sagittal_slices: tuple[int, int]  # fewest and most
    block_slices: int
    axial_step_mm: float
    samples: tuple[int, int]  # through the thickness of sagittal and of axial slices


SIZES = {
    "smoke": Size(112, 112, (9, 9), 3, 9.0, (2, 2)),
    "demo": Size(240, 224, (13, 15), 5, 5.6, (3, 5)),
}


@dataclass(frozen=True, eq=False)
class Plan:
    """Parallel slices to be acquired."""

    centres_mm: np.ndarray  # (N, 3), ascending along the stack's normal
    row_direction: np.ndarray
    column_direction: np.ndarray
    px_mm: float
    shape: tuple[int, int]
    thickness_mm: float

    @property
    def origins_mm(self) -> np.ndarray:
        """Patient position of each slice's first pixel."""
        rows, cols = ((n - 1) / 2 * self.px_mm for n in self.shape)
        return self.centres_mm - rows * self.column_direction - cols * self.row_direction

    @property
    def sagittal(self) -> bool:
        """Whether the columns run from front to back; muscle fibres then lie in the slices."""
        return bool(self.row_direction[1] > 0.7)


def size_named(name: str) -> Size:
    """The size of that name; UsageError if there is none."""
    if name not in SIZES:
        raise UsageError(f"no phantom size {name!r}", hint=f"Sizes are {', '.join(SIZES)}.")
    return SIZES[name]


def plan_sagittal(anatomy: Anatomy, size: Size, rng: np.random.Generator) -> Plan:
    """Slices along the spine from right to left, through both rows of foramina."""
    count = rng.integers(size.sagittal_slices[0], size.sagittal_slices[1] + 1)
    reach = max(vertebra.pedicle_mm for vertebra in anatomy.spine.vertebrae[4:9])
    step = max(rng.uniform(3.9, 4.7), (2 * reach + 12) / (count - 1))
    ends = anatomy.canal.middle(4), anatomy.canal.middle(0)
    along = (ends[1] - ends[0]) * [1, 0, 1]
    up = along / np.linalg.norm(along)
    yaw = np.radians(rng.normal(0, 1.5))
    back = np.array([np.sin(yaw), np.cos(yaw), 0])
    back -= (back @ up) * up
    back /= np.linalg.norm(back)
    left = np.cross(back, up)
    centre = np.mean(ends, axis=0) + rng.normal([0, -18, -8], [1, 6, 6])
    shape, px_mm = _matrix(size.sagittal_px, rng.uniform(262, 300), 1, rng)
    return Plan(centre + _steps(count, step)[:, None] * left, back, -up, px_mm, shape, SLICE_FILLS * step)


def plan_axial(anatomy: Anatomy, size: Size, uncovered: int, rng: np.random.Generator) -> list[Plan]:
    """Either one oblique block per covered disc, or one contiguous stack over all of them."""
    levels = list(range(len(LEVELS) - 1, uncovered - 1, -1))
    middles = np.array([anatomy.canal.middle(level) for level in levels])
    ups = [_upright(anatomy.spine.discs[disc_of(LEVELS[level])].frame.axes[2]) for level in levels]
    if rng.random() < BLOCKS_RATE:
        step = rng.uniform(3.6, 4.4) * 5 / size.block_slices
        blocks = [(middle, up, size.block_slices) for middle, up in zip(middles, ups)]
    else:
        step = size.axial_step_mm * rng.uniform(0.92, 1.08)
        up = _upright(ups[1] * rng.uniform(0.2, 1) + [0, 0, 0.3])
        span = (middles[-1] - middles[0]) @ up
        blocks = [((middles[0] + middles[-1]) / 2, up, int(np.ceil((span + 14) / step)))]
    shape, px_mm = _matrix(size.axial_px, rng.uniform(165, 205), 0, rng)
    shift = rng.normal([0, -18], [3, 6])
    plans = []
    for middle, up, count in blocks:
        row = np.array([1.0, 0, 0]) - up[0] * up
        row /= np.linalg.norm(row)
        column = np.cross(up, row)
        centres = middle + shift @ [row, column] + _steps(count, step)[:, None] * up
        plans.append(Plan(centres, row, column, px_mm, shape, SLICE_FILLS * step))
    return plans


def acquire(
    anatomy: Anatomy,
    plans: list[Plan],
    timing: Sequence,
    samples: int,
    ascending: bool,
    rng: np.random.Generator,
) -> tuple[Stack, ...]:
    """Image the plans as one series; instances are numbered along the stacks, or against them."""
    receiver = draw_receiver(rng)
    spins = relaxation(np.array([disc.water for disc in anatomy.spine.discs]))
    numbers = np.arange(1, sum(len(plan.centres_mm) for plan in plans) + 1)
    if not ascending:
        numbers = numbers[::-1]
    stacks: list[Stack] = []
    for plan in plans:
        number, numbers = np.split(numbers, [len(plan.centres_mm)])
        stacks.append(
            Stack(
                pixels=_image(anatomy, plan, timing.signal(spins), samples, receiver, rng),
                origins_mm=plan.origins_mm + anatomy.at_mm,
                row_direction=plan.row_direction,
                column_direction=plan.column_direction,
                spacing_mm=(plan.px_mm, plan.px_mm),
                instance_numbers=number.astype(np.int64),
                files=tuple(f"{n}.dcm" for n in number),
            )
        )
    return tuple(stacks)


def _image(
    anatomy: Anatomy,
    plan: Plan,
    signal: np.ndarray,
    samples: int,
    receiver: Receiver,
    rng: np.random.Generator,
) -> np.ndarray:
    """Stored pixels (N, H, W) of one plan: whole numbers, as float32."""
    right, down = plan.px_mm * plan.row_direction, plan.px_mm * plan.column_direction
    canvas = Canvas.over(plan.origins_mm, down, right, plan.shape, plan.thickness_mm, samples)
    anatomy.paint(canvas)
    # Muscle fibres run along the patient: streaks in sagittal slices, dots in axial ones.
    fibre_mm = (16.0, 1.7) if plan.sagittal else (1.7, 2.2)
    image = tissue_image(canvas.by_slice(), signal, receiver.fatty, fibre_mm, plan.px_mm, rng)
    middles = canvas.middles()
    _, y, height = middles.local(PATIENT, middles.everything)
    return receiver.stored(image, float(anatomy.torso.skin_y_mm.mean()) - y, height, rng).numpy()


def _upright(axis: np.ndarray) -> np.ndarray:
    """The unit vector of an axis, brought within STEEPEST of the patient's own."""
    across = axis * [1, 1, 0]
    steepness = np.hypot(*across[:2]) / (axis[2] * np.tan(STEEPEST))
    upright = across / max(1.0, steepness) + axis * [0, 0, 1]
    return upright / np.linalg.norm(upright)


def _matrix(
    px: int, view_mm: float, short_axis: int, rng: np.random.Generator
) -> tuple[tuple[int, int], float]:
    """Rows and columns, now and then fewer along one axis, and the size of a pixel in mm."""
    short = int(px * rng.choice([0.8, 0.875])) if rng.random() < OBLONG_RATE else px
    shape = (short, px) if short_axis == 0 else (px, short)
    return shape, view_mm / px


def _steps(count: int, step: float) -> np.ndarray:
    return (np.arange(count) - (count - 1) / 2) * step
