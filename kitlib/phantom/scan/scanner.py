"""A scanner, and the stacks of slices that it makes of a series' plans."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from kitlib.mri.stack import Stack
from kitlib.phantom.body.anatomy import Anatomy
from kitlib.phantom.body.grid import PATIENT, Canvas
from kitlib.phantom.body.spine import Spine
from kitlib.phantom.body.tissues import water_and_fat
from kitlib.phantom.scan.coil import Coil, draw_coil
from kitlib.phantom.scan.imaging import View, draw_protocol
from kitlib.phantom.scan.plans import Plan, SeriesPlan
from kitlib.phantom.scan.signal import Sequence, draw_sequence

THREE_TESLA_RATE = 0.3
CHUNK_PX = 400_000  # imaged at once: fits a cache, and memory stays flat however large the series
MAX_STORED = 32767


@dataclass(frozen=True)
class Scanner:
    """What all series of a study share."""

    field_t: float
    coil: Coil
    noise: float  # standard deviation in each channel, where spins of unit density at the spine would give 1
    gain: float


def draw_scanner(rng: np.random.Generator) -> Scanner:
    """A scanner of 1.5 or 3 T; the latter has more signal for its noise. Rates and ranges are typical."""
    field_t = 3.0 if rng.random() < THREE_TESLA_RATE else 1.5
    noise = 0.005 * (0.014 / 0.005) ** rng.random() / (1.5 if field_t > 2 else 1.0)
    return Scanner(field_t, draw_coil(rng), noise, rng.uniform(700, 2800))


def acquire(
    anatomy: Anatomy,
    plan: SeriesPlan,
    scanner: Scanner,
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
) -> tuple[Sequence, tuple[Stack, ...]]:
    """Image a series: its timing, and for each of its plans a stack of whole grey values, as float32."""
    timing = draw_sequence(plan.sequence, rng, scanner.field_t)
    protocol = draw_protocol(timing, plan.plans[0], scanner.field_t, rng)
    water = np.array([disc.water for disc in anatomy.spine.discs])
    signal = timing.signal(water_and_fat(water, scanner.field_t, anatomy.person.marrow_fat))
    gain = scanner.gain * rng.uniform(0.7, 1.4)
    stacks = []
    for one, numbers in zip(plan.plans, plan.instance_numbers()):
        views = _views(anatomy, one, plan.motion_mm, device)
        images = [protocol.image(view, signal, scanner.coil, scanner.noise, rng) * gain for view in views]
        pixels = torch.cat(images).round_().clamp_(0, MAX_STORED).cpu().numpy()
        stacks.append(_stack(pixels, one, anatomy.at_mm, numbers))
    return timing, tuple(stacks)


def _views(anatomy: Anatomy, plan: Plan, motion_mm: np.ndarray, device: torch.device | str) -> Iterator[View]:
    """What lies on the slices of a plan, some at a time, once the patient has moved."""
    right, down = plan.px_mm * plan.row_direction, plan.px_mm * plan.column_direction
    origins = plan.origins_mm - motion_mm
    canvas = Canvas.over(origins, down, right, plan.shape, plan.thickness_mm, plan.samples, device)
    anatomy.paint(canvas)
    middles, tissue = canvas.middles(), canvas.by_slice()
    some = max(1, CHUNK_PX // int(np.prod(plan.shape)))
    skin, canal = float(anatomy.torso.skin_y_mm.mean()), float(anatomy.canal.centres_mm[:, 1].mean())
    for start in range(0, len(tissue), some):
        box = (slice(start, min(start + some, len(tissue))), *middles.everything[1:])
        y, z = middles.along(PATIENT.origin_mm, PATIENT.axes[1:], box)
        yield View(
            tissue=tissue[box[0]],
            before_skin_mm=skin - y,
            before_canal_mm=canal - y,
            height_mm=z,
            bodies_mm=canal - _foremost_y_mm(anatomy.spine),
            px_mm=plan.px_mm,
            sagittal=plan.sagittal,
        )


def _foremost_y_mm(spine: Spine) -> float:
    """Where along y the front of the foremost vertebral body lies."""
    fronts = [one.frame.to_patient(0, -one.depth_mm / 2 - one.lip_mm, 0) for one in spine.vertebrae]
    return float(min(front[1] for front in fronts))


def _stack(pixels: np.ndarray, plan: Plan, at_mm: np.ndarray, numbers: np.ndarray) -> Stack:
    return Stack(
        pixels=pixels,
        origins_mm=plan.origins_mm + at_mm,
        row_direction=plan.row_direction,
        column_direction=plan.column_direction,
        spacing_mm=(plan.px_mm, plan.px_mm),
        instance_numbers=numbers.astype(np.int64),
        files=tuple(f"{number}.dcm" for number in numbers),
    )
