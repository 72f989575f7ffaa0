"""How one series is imaged: from the tissues on its slices to what the scanner reconstructs."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.scan.coil import Band, Coil, bloomed, draw_band
from kitlib.phantom.scan.kspace import Encoding, draw_encoding, ghosts
from kitlib.phantom.scan.plans import Plan
from kitlib.phantom.scan.signal import Sequence, csf_flow, in_flow, tissue_images

WALL_MM = 70.0  # before the canal: what lies further forward moves with the breath
BREATH_MM = 2.5
FLOW_ECHO_MS = 30.0  # echoes later than this lose the signal of streaming CSF
NOISE_BANDWIDTH = 150.0  # Hz per pixel at which a scanner's noise is stated


@dataclass(frozen=True, eq=False)
class View:
    """What lies on some slices: tissue (K, samples, H, W) and the place of each pixel (K, H, W)."""

    tissue: Tensor
    before_skin_mm: Tensor  # of the back
    before_canal_mm: Tensor
    height_mm: Tensor  # above L3
    bodies_mm: float  # how far before the canal the foremost vertebral body reaches
    px_mm: float
    sagittal: bool

    @property
    def middle(self) -> Tensor:
        """The tissue (K, H, W) in the middle of each slice."""
        return self.tissue[:, self.tissue.shape[1] // 2]


@dataclass(frozen=True)
class Protocol:
    """The choices of one series beyond its timing."""

    encoding: Encoding
    band: Band | None
    noise: float  # of the scanner's
    artery: float  # what flow leaves of the signal of arteries
    vein: float
    eddies: float  # strength of the flow of CSF, 0..1
    breath: float  # strength of the ghosts of what breathing moves
    pulse: float  # and of the arteries
    ghost_mm: float  # from ghost to ghost
    metal_mm: float  # how far metal reaches

    def image(
        self, view: View, signal: np.ndarray, coil: Coil, noise: float, rng: np.random.Generator
    ) -> Tensor:
        """Reconstructed slices (K, H, W) of tissues whose water and fat give a signal (2, tissues)."""
        # Muscle fibres and the flow of CSF run along the patient: streaks in sagittal slices, else dots.
        fibre_mm, eddy_mm = ((16.0, 1.7), (24.0, 2.4)) if view.sagittal else ((1.7, 2.2), (4.0, 4.0))
        images = tissue_images(
            view.tissue, in_flow(signal, self.artery, self.vein), fibre_mm, view.px_mm, rng
        )
        if self.eddies:
            pulsing = self.eddies * torch.sigmoid((view.height_mm - 15) / 20).add_(0.15)
            images *= csf_flow(view.middle, eddy_mm, view.px_mm, pulsing, rng)
        received = coil.sensitivity(view.before_skin_mm, view.height_mm)
        evening = coil.evening(received)
        if self.band is not None:
            received *= self.band.transmitted(view.before_canal_mm - view.bodies_mm, view.height_mm)
        images *= received
        readout_axis = 3 - self.encoding.phase_axis
        images = bloomed(
            images,
            (view.tissue == Tissue.METAL).float().mean(dim=1),
            readout_axis,
            self.metal_mm / view.px_mm,
        )
        images[0] += self._ghosts(images, view, signal[0, Tissue.ARTERY] * received, rng)
        return self.encoding.magnitude(images, noise * self.noise, rng) * evening

    def _ghosts(self, images: Tensor, view: View, blood: Tensor, rng: np.random.Generator) -> Tensor:
        """Ghosts (K, H, W) of the abdominal wall and the bowel, and of the arteries' pulse."""
        forward_axis = 2 if view.sagittal else 1
        wall = (images[0] + images[1]) * torch.sigmoid((view.before_canal_mm - WALL_MM) / 6)
        moved = wall.roll(max(1, round(BREATH_MM / view.px_mm)), forward_axis) - wall
        strength = self.breath * moved + self.pulse * blood * (view.middle == Tissue.ARTERY)
        per_slice = torch.from_numpy(rng.standard_normal(len(images[0]), dtype=np.float32)).to(images.device)
        return ghosts(strength, self.encoding.phase_axis, self.ghost_mm / view.px_mm, per_slice)


def draw_protocol(timing: Sequence, plan: Plan, field_t: float, rng: np.random.Generator) -> Protocol:
    """Draw a protocol as radiographers choose it, and how much of flow and breath it will show; by eye."""
    metal_mm = rng.uniform(2.0, 3.5) * (field_t / 1.5) ** 0.5 * (1.4 if timing.echo_train < 5 else 1.0)
    return Protocol(
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
