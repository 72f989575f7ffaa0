"""Resample slices of a pool to the network's grid, with random augmentation during training."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kitlib.localise.network import INPUT_PX, PX_MM, channels, stretched
from kitlib.localise.train.samples import Pool
from kitlib.mri.stack import Plane
from kitlib.nn.augment import Affine, Greys, Moves, Warp, moved

SHIFT = 8 / (INPUT_PX / 2)
# Patients' spines differ in shape more than phantoms' do: the stronger moves and the warps of sagittal slices
# were chosen on open studies (docs/levels.md).
plane2moves: dict[Plane, Moves] = {
    "sagittal": Moves(turn_deg=10.0, log_scale=0.2, shift=SHIFT),
    "axial": Moves(turn_deg=5.0, log_scale=0.15, shift=SHIFT),
}
WARP_NODES, WARP = 6, 0.06  # 70 mm apart, moved by 10 mm at most (one standard deviation)
GREYS = Greys(inverted_rate=0.1, log_gamma=0.3, log_bias=0.4, noise=0.04)
MIRRORED_RATE = 0.5  # of axial slices: sides follow only from the position in the image
COARSER = 1.4  # if network pixels are this much larger than the slice's, these are averaged


@dataclass(frozen=True)
class Batch:
    """The input and the targets of a network."""

    images: Tensor  # (B, 2, 192, 192)
    places: Tensor  # (B, C, 2) network pixels x, y
    visibility: Tensor  # (B, C), NaN if unknown; 0 outside the network's image


def draw_moves(plane: Plane, count: int, rng: torch.Generator) -> Affine:
    """Draw random rotations, scales, shifts and, if axial, reflections, which turn left into right."""
    mirrored = (torch.rand(count, generator=rng) < MIRRORED_RATE) & (plane == "axial")
    return plane2moves[plane].draw(count, rng, mirrored)


def draw_warp(plane: Plane, count: int, rng: torch.Generator) -> Warp | None:
    """Draw random deformations of sagittal slices; axial ones are not deformed."""
    return Warp.draw(count, rng, nodes=WARP_NODES, largest=WARP) if plane == "sagittal" else None


def seen(
    plane: Plane,
    pool: Pool,
    affine: Affine,
    warp: Warp | None = None,
    greys: torch.Generator | None = None,
) -> Batch:
    """Resample a pool's slices to the network's grid, with random greys if a generator is given."""
    images = _sampled(plane, pool, affine, warp)
    if greys is not None:
        images = GREYS.change(images, greys)
    half_mm, side = PX_MM[plane] * INPUT_PX / 2, INPUT_PX - 1
    centre = (np.array(pool.images.shape[:0:-1]) - 1) / 2
    away_mm = (pool.places - centre) * pool.spacing_mm[:, None, ::-1]
    away = away_mm / half_mm - affine.shifts.numpy()[:, None]
    turned = np.einsum("nij,ncj->nci", np.linalg.inv(affine.matrices.numpy()), away)
    if warp is not None:
        turned = warp.found(torch.from_numpy(turned), (INPUT_PX, INPUT_PX)).numpy()
    places = turned * half_mm / PX_MM[plane] + side / 2
    within = ((places >= 0) & (places <= side)).all(axis=2)
    visibility = np.where(within, pool.visibility, pool.visibility * 0)
    if affine.mirrored.any():  # the two channels are left and right
        flip = affine.mirrored.numpy()[:, None]
        places = np.where(flip[..., None], places[:, ::-1], places)
        visibility = np.where(flip, visibility[:, ::-1], visibility)
    return Batch(channels(images), torch.from_numpy(places).float(), torch.from_numpy(visibility).float())


def _sampled(plane: Plane, pool: Pool, affine: Affine, warp: Warp | None) -> Tensor:
    """Resample slices to greys (B, 1, 192, 192) in [0, 1] on the network's grid."""
    images = stretched(torch.from_numpy(pool.images).float())[:, None]
    spacing_mm = torch.from_numpy(pool.spacing_mm).double()
    coarser = PX_MM[plane] * torch.linalg.det(affine.matrices).abs().sqrt() / spacing_mm.mean(dim=1)
    fine = (coarser > COARSER)[:, None, None, None]
    if fine.any():
        images = torch.where(fine, F.avg_pool2d(F.pad(images, (1, 0, 1, 0)), 2, 1), images)
    sides_mm = spacing_mm.flip(1) * torch.tensor(images.shape[:-3:-1])  # (n, 2) along x and y
    affine = affine.scaled(PX_MM[plane] * INPUT_PX / sides_mm)
    return moved(images, affine, warp, size=(INPUT_PX, INPUT_PX))
