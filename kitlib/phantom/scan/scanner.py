"""A scanner, and the acquisition of a series: from the tissues on the slices of each plan to a stack."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kitlib.mri.stack import Stack
from kitlib.phantom.body.anatomy import Anatomy
from kitlib.phantom.body.grid import PATIENT, Canvas, Device
from kitlib.phantom.body.tissues import Tissue, water_and_fat
from kitlib.phantom.scan.coil import Band, Coil, bloomed, draw_band, draw_coil
from kitlib.phantom.scan.kspace import Encoding, draw_encoding, ghosts
from kitlib.phantom.scan.plans import Plan, SeriesPlan
from kitlib.phantom.scan.signal import PulseSequence, csf_flow, draw_pulse_sequence, in_flow, tissue_images

THREE_TESLA_RATE = 0.3
CHUNK_PX = 400_000  # imaged at once: fits a cache, and keeps memory flat for series of any size
MAX_STORED = 32767
WALL_MM = 70.0  # anterior to the canal: tissue further forward moves with breathing
BREATH_MM = 2.5
FLOW_ECHO_MS = 30.0  # later echoes lose the signal of flowing CSF
NOISE_BANDWIDTH = 150.0  # Hz per pixel at which a scanner's noise is stated


@dataclass(frozen=True)
class Scanner:
    """Properties that all series of a study share."""

    field_t: float
    coil: Coil
    noise: float  # standard deviation per channel, relative to spins of unit density at the spine
    gain: float


@dataclass(frozen=True, eq=False)
class Slab:
    """A group of slices: tissue (K, samples, H, W) and the position of each pixel (K, H, W)."""

    tissue: Tensor
    before_skin_mm: Tensor  # distance anterior to the skin of the back
    before_canal_mm: Tensor
    height_mm: Tensor  # above L3
    bodies_mm: float  # how far anterior to the canal the most anterior vertebral body reaches
    px_mm: float
    sagittal: bool

    @property
    def middle(self) -> Tensor:
        """The tissue (K, H, W) in the middle of each slice."""
        return self.tissue[:, self.tissue.shape[1] // 2]


@dataclass(frozen=True)
class Acquisition:
    """The settings of one series apart from its timing."""

    encoding: Encoding
    band: Band | None
    noise: float  # relative to the scanner's
    artery: float  # share of the signal of arteries that flow leaves
    vein: float
    eddies: float  # strength of CSF flow, 0..1
    breath: float  # strength of breathing ghosts
    pulse: float  # strength of arterial ghosts
    ghost_mm: float  # distance between ghosts
    metal_mm: float  # reach of metal artefacts

    def image(
        self, slab: Slab, signal: np.ndarray, coil: Coil, noise: float, rng: np.random.Generator
    ) -> Tensor:
        """Reconstruct slices (K, H, W) of tissues whose water and fat have this signal (2, tissues)."""
        # Muscle fibres and CSF flow run along the patient: streaks in sagittal slices, dots in axial ones.
        fibre_mm, eddy_mm = ((16.0, 1.7), (24.0, 2.4)) if slab.sagittal else ((1.7, 2.2), (4.0, 4.0))
        flowing = in_flow(signal, self.artery, self.vein)
        images = tissue_images(slab.tissue, flowing, fibre_mm, slab.px_mm, rng)
        if self.eddies:
            pulsing = self.eddies * torch.sigmoid((slab.height_mm - 15) / 20).add_(0.15)
            images *= csf_flow(slab.middle, eddy_mm, slab.px_mm, pulsing, rng)
        received = coil.sensitivity(slab.before_skin_mm, slab.height_mm)
        evening = coil.evening(received)
        if self.band is not None:
            received *= self.band.transmitted(slab.before_canal_mm - slab.bodies_mm, slab.height_mm)
        images *= received
        metal = (slab.tissue == Tissue.METAL).float().mean(dim=1)
        images = bloomed(images, metal, 3 - self.encoding.phase_axis, self.metal_mm / slab.px_mm)
        images[0] += self._ghosts(images, slab, signal[0, Tissue.ARTERY] * received, rng)
        return self.encoding.magnitude(images, noise * self.noise, rng) * evening

    def _ghosts(self, images: Tensor, slab: Slab, blood: Tensor, rng: np.random.Generator) -> Tensor:
        """Ghosts (K, H, W) of the abdominal wall and the bowel, and of pulsating arteries."""
        forward_axis = 2 if slab.sagittal else 1
        wall = (images[0] + images[1]) * torch.sigmoid((slab.before_canal_mm - WALL_MM) / 6)
        moved = wall.roll(max(1, round(BREATH_MM / slab.px_mm)), forward_axis) - wall
        strength = self.breath * moved + self.pulse * blood * (slab.middle == Tissue.ARTERY)
        per_slice = torch.from_numpy(rng.standard_normal(len(images[0]), dtype=np.float32)).to(images.device)
        return ghosts(strength, self.encoding.phase_axis, self.ghost_mm / slab.px_mm, per_slice)


def draw_acquisition(
    timing: PulseSequence, plan: Plan, field_t: float, rng: np.random.Generator
) -> Acquisition:
    """Draw the settings of a series, and the strength of its flow and breathing artefacts; by eye."""
    metal_mm = rng.uniform(2.0, 3.5) * (field_t / 1.5) ** 0.5 * (1.4 if timing.echo_train < 5 else 1.0)
    return Acquisition(
        encoding=draw_encoding(plan.px_mm, plan.sagittal, timing.fat_shift_px(field_t), rng),
        band=draw_band(plan.sagittal, rng),
        noise=float(np.sqrt(timing.bandwidth / NOISE_BANDWIDTH)) * rng.uniform(0.8, 1.25),
        artery=rng.uniform(0.02, 0.15),
        vein=rng.uniform(0.25, 0.8),
        eddies=rng.uniform(0.1, 0.7) if timing.echo_ms > FLOW_ECHO_MS else 0.0,
        breath=rng.uniform(0.02, 0.20),
        pulse=rng.uniform(0.0, 0.10),
        ghost_mm=rng.uniform(18, 60),
        metal_mm=metal_mm,
    )


def draw_scanner(rng: np.random.Generator) -> Scanner:
    """Draw a scanner of 1.5 or 3 T; the latter has less noise. Rates and ranges are typical."""
    field_t = 3.0 if rng.random() < THREE_TESLA_RATE else 1.5
    noise = 0.005 * (0.014 / 0.005) ** rng.random() / (1.5 if field_t > 2 else 1.0)
    return Scanner(field_t, draw_coil(rng), noise, rng.uniform(700, 2800))


def acquire(
    anatomy: Anatomy, plan: SeriesPlan, scanner: Scanner, rng: np.random.Generator, device: Device = "cpu"
) -> tuple[PulseSequence, tuple[Stack, ...]]:
    """Image a series: return its timing, and for each plan a stack of whole grey values, as float32."""
    timing = draw_pulse_sequence(plan.sequence, rng, scanner.field_t)
    acquisition = draw_acquisition(timing, plan.plans[0], scanner.field_t, rng)
    water = np.array([disc.water for disc in anatomy.spine.discs])
    signal = timing.signal(water_and_fat(water, scanner.field_t, anatomy.person.marrow_fat))
    gain = scanner.gain * rng.uniform(0.7, 1.4)
    stacks = []
    for one, numbers in zip(plan.plans, plan.instance_numbers()):
        slabs = _slabs(anatomy, one, plan.motion_mm, device)
        images = [acquisition.image(slab, signal, scanner.coil, scanner.noise, rng) * gain for slab in slabs]
        pixels = torch.cat(images).round_().clamp_(0, MAX_STORED).cpu().numpy()
        stacks.append(_stack(pixels, one, anatomy.at_mm, numbers))
    return timing, tuple(stacks)


def _slabs(anatomy: Anatomy, plan: Plan, motion_mm: np.ndarray, device: Device) -> Iterator[Slab]:
    """Yield the slices of a plan in groups, with the patient moved."""
    right, down = plan.px_mm * plan.row_direction, plan.px_mm * plan.column_direction
    origins = plan.origins_mm - motion_mm
    canvas = Canvas.over(origins, down, right, plan.shape, plan.thickness_mm, plan.samples, device)
    anatomy.paint(canvas)
    middles, tissue = canvas.middles(), canvas.by_slice()
    some = max(1, CHUNK_PX // int(np.prod(plan.shape)))
    skin, canal = float(anatomy.torso.skin_y_mm.mean()), float(anatomy.canal.centres_mm[:, 1].mean())
    bodies = anatomy.spine.vertebrae
    foremost = min(one.frame.to_patient(0, -one.depth_mm / 2 - one.lip_mm, 0)[1] for one in bodies)
    for start in range(0, len(tissue), some):
        box = (slice(start, min(start + some, len(tissue))), *middles.everything[1:])
        y, z = middles.along(PATIENT.origin_mm, PATIENT.axes[1:], box)
        yield Slab(
            tissue=tissue[box[0]],
            before_skin_mm=skin - y,
            before_canal_mm=canal - y,
            height_mm=z,
            bodies_mm=canal - float(foremost),
            px_mm=plan.px_mm,
            sagittal=plan.sagittal,
        )


def _stack(pixels: np.ndarray, plan: Plan, at_mm: np.ndarray, numbers: np.ndarray) -> Stack:
    axes, spacing_mm = (plan.row_direction, plan.column_direction), (plan.px_mm, plan.px_mm)
    files = tuple(f"{number}.dcm" for number in numbers)
    return Stack(pixels, plan.origins_mm + at_mm, *axes, spacing_mm, numbers.astype(np.int64), files)
