"""Augmentation of images: random affine transforms, smooth deformations and intensity changes.

All random numbers are drawn on the CPU, so that a generator gives the same results on every device.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BIAS_NODES = 4
WARP_STEPS = 8  # of the fixed-point iteration that inverts a warp


@dataclass(frozen=True)
class Affine:
    """Affine transforms of n images.

    The output at p, relative to its centre, is sampled from the input at `matrix` p + `shift`, relative to
    the input's centre. Both are in halves of a side.
    """

    matrices: Tensor  # (n, 2, 2) float64
    shifts: Tensor  # (n, 2) float64, along x and y

    @classmethod
    def identity(cls, count: int) -> "Affine":
        """Return `count` identity transforms."""
        return cls(torch.eye(2, dtype=torch.float64).repeat(count, 1, 1), torch.zeros(count, 2).double())

    def scaled(self, ratio: Tensor | float) -> "Affine":
        """Scale for outputs whose side is `ratio` (n, 2) times that of the input."""
        ratio = torch.as_tensor(ratio).double().expand(self.shifts.shape)
        return Affine(self.matrices * ratio[..., None], self.shifts * ratio)

    @property
    def mirrored(self) -> Tensor:
        """Which transforms include a reflection: (n,) bool."""
        return torch.linalg.det(self.matrices) < 0


@dataclass(frozen=True)
class Moves:
    """Strengths of random affine transforms."""

    turn_deg: float = 0.0  # standard deviation
    log_scale: float = 0.0  # maximum
    log_stretch: float = 0.0  # standard deviation, of width against height
    shift: float = 0.0  # standard deviation, in halves of a side

    def draw(self, count: int, rng: torch.Generator, mirrored: Tensor | None = None) -> Affine:
        """Draw random affines; those of `mirrored` (n,) also swap left and right."""
        angle = torch.deg2rad(_normal(self.turn_deg, rng, count))
        stretch = _normal(self.log_stretch, rng, count, 1) * torch.tensor([1.0, -1.0])
        evenly = 2 * torch.rand((count, 1), generator=rng, dtype=torch.float64) - 1
        scale = (self.log_scale * evenly + stretch).exp()  # (n, 2)
        flip = torch.ones(count) if mirrored is None else torch.where(mirrored, -1.0, 1.0)
        cos, sin = angle.cos(), angle.sin()
        turns = torch.stack([cos * flip, -sin, sin * flip, cos], dim=1).reshape(-1, 2, 2)
        return Affine(turns * scale[:, None], _normal(self.shift, rng, count, 2))


@dataclass(frozen=True)
class Warp:
    """Smooth deformations of n images: the output at p is sampled from the input at p + w(p)."""

    nodes: Tensor  # (n, 2, m, m) float64: w, along x and y, in halves of a side; smooth between the nodes

    @classmethod
    def draw(cls, count: int, rng: torch.Generator, *, nodes: int, largest: float) -> "Warp":
        """Draw displacements whose standard deviation is at most `largest`, in halves of a side."""
        strength = largest * torch.rand(count, 1, 1, 1, generator=rng, dtype=torch.float64)
        return cls(strength * _normal(1.0, rng, count, 2, nodes, nodes))

    def fields(self, size: tuple[int, int]) -> Tensor:
        """Displacements (n, H, W, 2) at the pixels of images."""
        return F.interpolate(self.nodes, size=size, mode="bicubic").permute(0, 2, 3, 1)

    def found(self, points: Tensor, size: tuple[int, int]) -> Tensor:
        """Where points (n, c, 2) of the input, in halves of a side, lie in outputs of `size`."""
        fields = self.fields(size).permute(0, 3, 1, 2)
        at = points
        for _ in range(WARP_STEPS):
            far = F.grid_sample(fields, at[:, None], padding_mode="border", align_corners=False)
            at = points - far[:, :, 0].transpose(1, 2)
        return at


def moved(
    images: Tensor,
    affine: Affine,
    warp: Warp | None = None,
    *,
    size: tuple[int, int] | None = None,
    padding: str = "zeros",
) -> Tensor:
    """Resample images (B, C, H, W) by an affine, the same for all channels, to `size` or their own size.

    With a `warp`, the affine is applied to its p + w(p).
    """
    theta = torch.cat([affine.matrices, affine.shifts[..., None]], dim=2).to(images)
    shape = [*images.shape[:2], *(size or images.shape[2:])]
    grid = F.affine_grid(theta, shape, align_corners=False)
    if warp is not None:
        fields = warp.fields((shape[2], shape[3])).to(images)
        grid = grid + torch.einsum("nij,nhwj->nhwi", affine.matrices.to(images), fields)
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


@dataclass(frozen=True)
class Greys:
    """Strengths of random intensity changes of grey values in [0, 1]; black stays black."""

    inverted_rate: float = 0.0
    log_gamma: float = 0.0  # standard deviation
    log_gain: float = 0.0  # standard deviation
    log_bias: float = 0.0  # largest standard deviation, at the nodes of a smooth field
    offset: float = 0.0  # standard deviation
    noise: float = 0.0  # mean of its standard deviation

    def change(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Change images (B, C, H, W) in [0, 1]; all channels of an image alike, except for the noise."""
        count, lit = len(images), images > 0

        def drawn(values: Tensor) -> Tensor:
            return values.float().reshape(count, 1, 1, 1).to(images.device)

        if self.inverted_rate:
            inverted = drawn(torch.rand(count, generator=rng)) < self.inverted_rate
            images = torch.where(inverted & lit, 1 - images, images)
        gain = drawn(_normal(self.log_gain, rng, count).exp())
        if self.log_bias:
            gain = gain * _field(self.log_bias, rng, images)
        images = images.clamp(min=0) ** drawn(_normal(self.log_gamma, rng, count).exp()) * gain
        images = (images + drawn(_normal(self.offset, rng, count)) * lit).clamp(0, 1)
        if not self.noise:
            return images
        strength = self.noise / 2 * torch.empty(count, 2).exponential_(generator=rng).sum(1)
        noise = torch.randn(images.shape, generator=rng).to(images.device)
        return (images + drawn(strength) * noise * lit).clamp(0, 1)


def _field(log_bias: float, rng: torch.Generator, images: Tensor) -> Tensor:
    """Draw smooth bias fields (B, 1, H, W)."""
    count, shape = len(images), (BIAS_NODES, BIAS_NODES)
    strength = log_bias * torch.rand(count, 1, 1, 1, generator=rng)
    nodes = strength * torch.randn(count, 1, *shape, generator=rng)
    smooth = F.interpolate(nodes, size=images.shape[-2:], mode="bicubic", align_corners=True)
    return smooth.exp().to(images.device)


def _normal(deviation: float, rng: torch.Generator, *shape: int) -> Tensor:
    return deviation * torch.randn(shape, generator=rng, dtype=torch.float64)
