"""How a slice of a pool is seen: on the network's grid, and while learning each time a little differently."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kitlib.localise.network import INPUT_PX, PX_MM, channels, stretched
from kitlib.localise.train.samples import Pool
from kitlib.mri.geometry import Plane

JITTER = 0.15  # of the scale, at most
TURN_DEG = 5.0  # standard deviations
SHIFT_PX = 8.0
MIRRORED_RATE = 0.5  # of axial slices: sides follow from the place in the image alone
COARSER = 1.4  # network pixels so much larger than the slice's are averaged over
INVERTED_RATE = 0.1
BIAS_NODES = 4
BIAS, GAMMA, NOISE = 0.4, 0.3, 0.04  # largest and standard deviation of logarithms, mean noise


@dataclass(frozen=True)
class Views:
    """How n slices are looked at.

    A place d mm from a slice's centre is seen `inverse(matrix) d - shift` from the network image's centre.
    """

    matrices: np.ndarray  # (n, 2, 2)
    shifts_mm: np.ndarray  # (n, 2) along x and y
    mirrored: np.ndarray  # (n,) bool: left landmarks are seen as right ones


@dataclass(frozen=True)
class Batch:
    """What a network sees and is to answer."""

    images: Tensor  # (B, 2, 192, 192)
    places: Tensor  # (B, C, 2) network pixels x, y
    visibility: Tensor  # (B, C), NaN unknown; 0 beyond the network's image


def plain_views(count: int) -> Views:
    """Slices as they are."""
    return Views(np.tile(np.eye(2), (count, 1, 1)), np.zeros((count, 2)), np.zeros(count, bool))


def draw_views(kind: Plane, count: int, rng: np.random.Generator) -> Views:
    """Slices turned, scaled, shifted and, if axial, mirrored at random."""
    mirrored = (rng.random(count) < MIRRORED_RATE) & (kind == "axial")
    angle, scale = np.radians(rng.normal(0, TURN_DEG, count)), np.exp(rng.uniform(-JITTER, JITTER, count))
    flip = np.where(mirrored, -1, 1)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    matrices = np.stack([cos * flip, -sin, sin * flip, cos], axis=1).reshape(-1, 2, 2)
    return Views(matrices, rng.normal(0, SHIFT_PX * PX_MM[kind], (count, 2)), mirrored)


def seen(kind: Plane, pool: Pool, views: Views, greys: np.random.Generator | None = None) -> Batch:
    """A pool's slices on the network's grid, regreyed at random where a generator is given."""
    images = _sampled(kind, pool, views)
    if greys is not None:
        images = regreyed(images, greys)
    centre, side = _native_centre(pool), INPUT_PX - 1
    away_mm = (pool.places - centre) * pool.spacing_mm[:, None, ::-1]
    turned_mm = np.einsum("nij,ncj->nci", np.linalg.inv(views.matrices), away_mm) - views.shifts_mm[:, None]
    places = turned_mm / PX_MM[kind] + side / 2
    within = ((places >= 0) & (places <= side)).all(axis=2)
    visibility = np.where(within, pool.visibility, pool.visibility * 0)
    if views.mirrored.any():  # of two channels, left and right
        flip = views.mirrored[:, None]
        places = np.where(flip[..., None], places[:, ::-1], places)
        visibility = np.where(flip, visibility[:, ::-1], visibility)
    return Batch(channels(images), torch.from_numpy(places).float(), torch.from_numpy(visibility).float())


def regreyed(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Images (B, 1, H, W) in [0, 1] with other gamma, bias field, noise, and now and then inverted."""
    count = len(images)

    def drawn(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).float().reshape(count, 1, *values.shape[1:] or (1, 1))

    inverted = drawn(rng.random(count) < INVERTED_RATE) > 0
    images = torch.where(inverted & (images > 0), 1 - images, images)
    strength = rng.uniform(0, BIAS, (count, 1, 1))
    bias = drawn(strength * rng.standard_normal((count, BIAS_NODES, BIAS_NODES)))
    smooth = F.interpolate(bias, size=images.shape[-2:], mode="bicubic", align_corners=True).exp()
    images = (images ** drawn(np.exp(rng.normal(0, GAMMA, count))) * smooth).clamp(0, 1)
    noise = torch.from_numpy(rng.standard_normal(images.shape, dtype=np.float32))
    return (images + drawn(rng.gamma(2, NOISE / 2, count)) * noise * (images > 0)).clamp(0, 1)


def _sampled(kind: Plane, pool: Pool, views: Views) -> Tensor:
    """Greys (B, 1, 192, 192) in [0, 1] of slices on the network's grid."""
    images = stretched(torch.from_numpy(pool.images).float())[:, None]
    coarser = PX_MM[kind] * np.sqrt(np.abs(np.linalg.det(views.matrices))) / pool.spacing_mm.mean(axis=1)
    fine = torch.from_numpy(coarser > COARSER)[:, None, None, None]
    images = (
        torch.where(fine, F.avg_pool2d(F.pad(images, (1, 0, 1, 0)), 2, 1), images) if fine.any() else images
    )
    # As fractions of half an image, from its centre: what affine_grid and grid_sample count in.
    fractions_mm = 2 / (np.array(images.shape[:-3:-1]) * pool.spacing_mm[:, ::-1])[..., None]
    moved = np.einsum("nij,nj->ni", views.matrices, views.shifts_mm)[..., None]
    affine = np.concatenate([views.matrices * PX_MM[kind] * INPUT_PX / 2, moved], axis=2) * fractions_mm
    size = [len(pool), 1, INPUT_PX, INPUT_PX]
    grid = F.affine_grid(torch.from_numpy(affine).float(), size, align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _native_centre(pool: Pool) -> np.ndarray:
    return (np.array(pool.images.shape[:0:-1]) - 1) / 2
