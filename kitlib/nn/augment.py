"""Images seen a little differently each time: moved by a random affine, and in other greys.

All draws are made on the CPU, so that a generator gives the same on every device.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BIAS_NODES = 4


@dataclass(frozen=True)
class Affine:
    """How n images are looked at.

    What is seen at p, from the centre of the image that is seen, lies at `matrix` p + `shift` from the centre
    of the image that is there. Both count in halves of a side.
    """

    matrices: Tensor  # (n, 2, 2) float64
    shifts: Tensor  # (n, 2) float64, along x and y

    @classmethod
    def identity(cls, count: int) -> "Affine":
        """Images as they are."""
        return cls(torch.eye(2, dtype=torch.float64).repeat(count, 1, 1), torch.zeros(count, 2).double())

    def scaled(self, ratio: Tensor | float) -> "Affine":
        """The same where a side of what is seen is `ratio` (n, 2) times one of the image that is there."""
        ratio = torch.as_tensor(ratio).double().expand(self.shifts.shape)
        return Affine(self.matrices * ratio[..., None], self.shifts * ratio)

    @property
    def mirrored(self) -> Tensor:
        """Which exchange left and right: (n,) bool."""
        return torch.linalg.det(self.matrices) < 0


@dataclass(frozen=True)
class Moves:
    """How far images are moved at random."""

    turn_deg: float = 0.0  # standard deviation
    log_scale: float = 0.0  # at most
    log_stretch: float = 0.0  # standard deviation, of width against height
    shift: float = 0.0  # standard deviation, in halves of a side

    def draw(self, count: int, rng: torch.Generator, mirrored: Tensor | None = None) -> Affine:
        """Random affines; those of `mirrored` (n,) exchange left and right as well."""
        angle = torch.deg2rad(_normal(self.turn_deg, rng, count))
        stretch = _normal(self.log_stretch, rng, count, 1) * torch.tensor([1.0, -1.0])
        evenly = 2 * torch.rand((count, 1), generator=rng, dtype=torch.float64) - 1
        scale = (self.log_scale * evenly + stretch).exp()  # (n, 2)
        flip = torch.ones(count) if mirrored is None else torch.where(mirrored, -1.0, 1.0)
        cos, sin = angle.cos(), angle.sin()
        turns = torch.stack([cos * flip, -sin, sin * flip, cos], dim=1).reshape(-1, 2, 2)
        return Affine(turns * scale[:, None], _normal(self.shift, rng, count, 2))


def moved(
    images: Tensor, affine: Affine, *, size: tuple[int, int] | None = None, padding: str = "zeros"
) -> Tensor:
    """Images (B, C, H, W), all channels alike, as an affine sees them, at their own size or another."""
    theta = torch.cat([affine.matrices, affine.shifts[..., None]], dim=2).to(images)
    shape = [*images.shape[:2], *(size or images.shape[2:])]
    grid = F.affine_grid(theta, shape, align_corners=False)
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


@dataclass(frozen=True)
class Greys:
    """How greys in [0, 1] are changed at random; black stays black."""

    inverted_rate: float = 0.0
    log_gamma: float = 0.0  # standard deviation
    log_gain: float = 0.0  # standard deviation
    log_bias: float = 0.0  # largest standard deviation, at the nodes of a smooth field
    offset: float = 0.0  # standard deviation
    noise: float = 0.0  # mean of its standard deviation

    def change(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Images (B, C, H, W) in [0, 1], all channels of one alike but for their noise."""
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
    """Smooth gains (B, 1, H, W)."""
    count, shape = len(images), (BIAS_NODES, BIAS_NODES)
    strength = log_bias * torch.rand(count, 1, 1, 1, generator=rng)
    nodes = strength * torch.randn(count, 1, *shape, generator=rng)
    smooth = F.interpolate(nodes, size=images.shape[-2:], mode="bicubic", align_corners=True)
    return smooth.exp().to(images.device)


def _normal(deviation: float, rng: torch.Generator, *shape: int) -> Tensor:
    return deviation * torch.randn(shape, generator=rng, dtype=torch.float64)
