"""Intensity effects of a scanner: coil sensitivity, saturation bands, and metal artefacts."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, max_pool2d


@dataclass(frozen=True)
class Coil:
    """A coil array in the table below the back; lengths in mm, chosen by eye."""

    reach_mm: float
    floor: float  # sensitivity far from the back
    pitch_mm: float  # distance of elements along the patient
    ripple: float
    offset_mm: float  # of an element from the middle of L3
    evened: float  # 0..1, how much of the fall-off the scanner corrects, which also scales the noise

    def sensitivity(self, depth_mm: Tensor, height_mm: Tensor) -> Tensor:
        """Sensitivity at a depth below the skin of the back and a height above L3: about 1 at the spine."""
        fall_off = torch.exp((60 - depth_mm.clamp(min=-10)) / self.reach_mm) + self.floor
        wave = torch.cos(2 * torch.pi / self.pitch_mm * (height_mm - self.offset_mm))
        ripple = self.ripple * wave * torch.exp(-depth_mm.clamp(min=0) / 40)
        return fall_off / (1 + self.floor) * (1 + ripple) / (1 + (height_mm / 185) ** 6)

    def evening(self, sensitivity: Tensor) -> Tensor:
        """Return the factor by which the scanner corrects its images."""
        return sensitivity.clamp(min=0.05) ** -self.evened


def draw_coil(rng: np.random.Generator) -> Coil:
    """Draw a spine coil array, and how well its fall-off is corrected."""
    return Coil(
        reach_mm=rng.uniform(65, 130),
        floor=rng.uniform(0.05, 0.25),
        pitch_mm=rng.uniform(75, 115),
        ripple=rng.uniform(0.03, 0.12),
        offset_mm=rng.uniform(0, 115),
        evened=rng.uniform(0.6, 0.95),
    )


@dataclass(frozen=True)
class Band:
    """A saturation band over the abdomen, against ghosting; its edge is a plane in the patient."""

    edge_mm: float  # anterior to the most anterior vertebral body
    lean: float  # of the edge, mm to the front per mm above L3
    soft_mm: float  # width of the transition on either side of the edge
    left_over: float  # remaining share of the signal inside

    def transmitted(self, before_bodies_mm: Tensor, height_mm: Tensor) -> Tensor:
        """Return the remaining share of the signal at positions in the patient."""
        behind = (self.edge_mm + self.lean * height_mm - before_bodies_mm) / self.soft_mm
        return self.left_over + (1 - self.left_over) * torch.sigmoid(3 * behind)


def draw_band(sagittal: bool, rng: np.random.Generator) -> Band | None:
    """Draw the band of a series, or None; half of sagittal and 40 % of axial series have one, by eye."""
    soft_mm = rng.uniform(8, 15)
    edge_mm = soft_mm + rng.uniform(0, 14)
    band = Band(edge_mm, rng.uniform(-0.02, 0.08), soft_mm, rng.uniform(0.25, 0.5))
    return band if rng.random() < (0.5 if sagittal else 0.4) else None


def bloomed(images: Tensor, metal: Tensor, readout_axis: int, reach_px: float) -> Tensor:
    """Add metal artefacts to water and fat (2, K, H, W): a void with a bright rim, and distortion.

    The field around metal (K, H, W) falls to zero over 1.5 `reach_px` and shifts signal along the readout.
    """
    hit = metal.flatten(1).any(dim=1)
    if not hit.any():
        return images
    field = _spread(metal[hit].to(images), reach_px)
    pull = torch.zeros((*field.shape, 2), device=images.device)
    pull[..., 2 - readout_axis] = -3 * reach_px * field / images.shape[1 + readout_axis]
    grid = _identity(field) + pull
    images = images.clone()
    near = grid_sample(images[:, hit].transpose(0, 1), grid, align_corners=False).transpose(0, 1)
    rim = torch.exp(-(((field - 0.28) / 0.07) ** 2))
    images[:, hit] = near * (1 - ((field - 0.25) / 0.3).clamp(0, 1)) * (1 + 1.2 * rim)
    return images


def _spread(metal: Tensor, reach_px: float) -> Tensor:
    """Field strength of metal at each pixel: about 1 inside, falling to zero over 1.5 times the reach."""
    size = 2 * max(1, round(reach_px / 2)) + 1
    field = max_pool2d(metal[:, None], size, 1, size // 2)
    for _ in range(2):
        field = avg_pool2d(field, size, 1, size // 2, count_include_pad=False)
    return field[:, 0]


def _identity(field: Tensor) -> Tensor:
    """The identity sampling grid (K, H, W, 2)."""
    rows, cols = ((2 * torch.arange(n, device=field.device) + 1) / n - 1 for n in field.shape[1:])
    grid = torch.stack(torch.meshgrid(rows, cols, indexing="ij")[::-1], dim=-1)
    return grid.expand(len(field), -1, -1, -1)
