"""Networks that place landmarks on one slice: their inputs, their outputs and their files.

For each landmark a network outputs one distribution over a heatmap, whose pixels are 2 x 2 network pixels,
and over "not visible here", so that position and visibility compete in one softmax.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kitlib.artefacts import Provenance, facts_of, save_tensors
from kitlib.mri.stack import Plane
from kitlib.nn.weights import in_half, load_weights, restored, with_prefix
from kitlib.terms import ABOVE, BELOW, LEVELS, Landmark

INPUT_PX = 192
STRIDE = 2
GRID = INPUT_PX // STRIDE
SHIPPED = Path(__file__).parent / "weights" / "localiser.safetensors"

PX_MM: dict[Plane, float] = {"sagittal": 1.8, "axial": 0.8}
plane2landmarks: dict[Plane, tuple[Landmark, ...]] = {
    "sagittal": (
        *(Landmark("canal", level, None) for level in (ABOVE, *LEVELS, BELOW)),
        *(Landmark("foramen", level, None) for level in LEVELS),
    ),
    "axial": (Landmark("recess", "", "left"), Landmark("recess", "", "right")),
}
"""The networks' output channels. A foramen's side follows from patient x, a recess's level from the canal."""

plane2widths: dict[Plane, tuple[int, ...]] = {
    "sagittal": (24, 48, 72, 104, 144),
    "axial": (16, 32, 48, 72, 96),
}

CONTRAST_PX = 15  # neighbourhood of the local contrast: 27 mm sagittal, 12 mm axial
DARKEST, BRIGHTEST = 0.01, 0.99  # quantiles that become 0 and 1
QUANTILE_PX = 96  # quantiles are computed on about this many pixels per side: they are the slow step
LEAST_CONTRAST = 0.05
PEAK_PX = 2  # around the most likely heatmap pixel, over which a position is averaged

Pixels = TypeVar("Pixels", np.ndarray, Tensor)


class Resampling(NamedTuple):
    """The mapping between network pixels and native pixels (x, y) of images resampled together."""

    scale: np.ndarray  # (2,) native pixels per network pixel, along x and y
    offset: np.ndarray  # (2,) native pixel at network pixel (0, 0)

    def to_native(self, network_px: np.ndarray) -> np.ndarray:
        """Convert network pixels (..., 2) to native pixels (..., 2)."""
        return network_px * self.scale + self.offset

    def to_network(self, native_px: np.ndarray) -> np.ndarray:
        """Convert native pixels (..., 2) to network pixels (..., 2)."""
        return (native_px - self.offset) / self.scale


def network_inputs(
    images: Tensor, spacing_mm: tuple[float, float], px_mm: float
) -> tuple[Tensor, Resampling]:
    """Convert images (B, H, W) of any grey scale to centred inputs (B, 2, 192, 192), with the mapping back.

    `spacing_mm` is between rows and columns, `px_mm` one of PX_MM. Images are padded with black.
    """
    height, width = images.shape[-2:]
    size = [max(1, round(n * mm / px_mm)) for n, mm in zip((height, width), spacing_mm)]
    small = resampled(stretched(images.float().nan_to_num())[:, None], size)
    top, left = ((INPUT_PX - n) // 2 for n in size)
    padding = (left, INPUT_PX - size[1] - left, top, INPUT_PX - size[0] - top)
    scale = np.array([width / size[1], height / size[0]])
    return channels(F.pad(small, padding)), Resampling(scale, (0.5 - np.array([left, top])) * scale - 0.5)


def resampled(images: Tensor, size: Sequence[int]) -> Tensor:
    """Resample images (B, C, H, W) to another height and width."""
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)


def channels(images: Tensor) -> Tensor:
    """Square root and local contrast (B, 2, H, W) of images (B, 1, H, W) in [0, 1]."""
    root = images.clamp(0, 1).sqrt()
    mean = _blurred(root)
    spread = (_blurred(root**2) - mean**2).clamp(min=0).sqrt()
    return torch.cat([root - 0.5, (root - mean) / (spread + LEAST_CONTRAST) / 2], dim=1)


def heatmap_to_network(pixels: Pixels) -> Pixels:
    """Convert (fractional) heatmap to network pixels: heatmap pixel 0 covers network pixels 0 and 1."""
    return pixels * STRIDE + (STRIDE - 1) / 2


def network_to_heatmap(pixels: Pixels) -> Pixels:
    """Convert network pixels to fractional heatmap pixels."""
    return (pixels - (STRIDE - 1) / 2) / STRIDE


def heatmaps(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Heatmap probabilities (B, C, 96, 96), whose sum is the visibility, and that sum (B, C)."""
    shares = logits.float().softmax(dim=-1)
    return shares[..., :-1].unflatten(-1, (GRID, GRID)), 1 - shares[..., -1]


def peaks(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Network pixels (B, C, 2), the mean around each landmark's most likely one, and visibilities (B, C)."""
    shares, visible = heatmaps(logits)
    best, index = shares.flatten(2).argmax(dim=-1), torch.arange(GRID, device=logits.device)
    near_rows, near_cols = (
        ((index - at[..., None]).abs() <= PEAK_PX).float() for at in (best // GRID, best % GRID)
    )
    by_col = torch.einsum("bcij,bci->bcj", shares, near_rows) * near_cols
    by_row = torch.einsum("bcij,bcj->bci", shares, near_cols) * near_rows
    means = [(by * index).sum(-1) / by.sum(-1).clamp(min=1e-20) for by in (by_col, by_row)]
    return heatmap_to_network(torch.stack(means, dim=-1)), visible


class HeatmapNet(nn.Module):
    """A small U-Net from images (B, 2, 192, 192) to logits (B, C, 96 * 96 + 1), row by row.

    The last logit of a channel is "not visible here". Logits are divided by the calibrated temperatures.
    """

    temperature: Tensor

    def __init__(self, landmarks: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.widths = tuple(widths)
        # A layer at the grid's full resolution costs as much as all those below: one down and one up.
        self.stem = nn.Sequential(*_normed(nn.Conv2d(2, widths[0], 4, stride=2, padding=1, bias=False)))
        self.down = nn.ModuleList(
            nn.Sequential(*_normed(nn.Conv2d(skip, deep, 2, stride=2, bias=False)), Residual(deep))
            for skip, deep in pairwise(widths)
        )
        self.bottom = Residual(widths[-1])
        self.up = nn.ModuleList(Merge(deep, skip) for skip, deep in pairwise(widths))
        self.refine = nn.ModuleList(
            Residual(skip) if depth else nn.Identity() for depth, skip in enumerate(widths[:-1])
        )
        self.place = nn.Conv2d(widths[0], landmarks, 1)
        self.absent = nn.Linear(2 * widths[-1], landmarks)
        self.register_buffer("temperature", torch.ones(landmarks))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits in single precision, whatever the internal precision."""
        skips = [self.stem(images)]
        for shrink in self.down:
            skips.append(shrink(skips[-1]))
        features = self.bottom(skips.pop())
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        for merge, refine in zip(reversed(self.up), reversed(self.refine)):
            features = refine(merge(features, skips.pop()))
        places = self.place(features).flatten(2).float()
        logits = torch.cat([places, self.absent(pooled).float()[..., None]], dim=2)
        return logits / self.temperature[:, None]


class Residual(nn.Module):
    """Two 3 x 3 convolutions with a shortcut connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.body = nn.Sequential(*_normed(first), second, nn.BatchNorm2d(width))

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        return F.relu(features + self.body(features))


class Merge(nn.Module):
    """Upsample deep features by two and add them to those of the skip connection."""

    def __init__(self, deep: int, skip: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(deep, skip, 1, bias=False)
        self.blend = nn.Sequential(*_normed(nn.Conv2d(skip, skip, 3, padding=1, bias=False)))

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """Return features with the shape of `skip`."""
        return self.blend(F.interpolate(self.narrow(deep), scale_factor=2.0) + skip)


def build_network(plane: Plane, widths: tuple[int, ...] | None = None) -> HeatmapNet:
    """Build an untrained network for a plane."""
    return HeatmapNet(len(plane2landmarks[plane]), widths or plane2widths[plane])


def save_networks(path: Path, nets: Mapping[Plane, HeatmapNet], provenance: Provenance, **facts: Any) -> None:
    """Save networks in half precision as one safetensors file; `facts` go into its sidecar."""
    tensors: dict[str, Tensor] = {}
    for plane, net in nets.items():
        tensors |= named_tensors(plane, net)
    widths = {plane: list(net.widths) for plane, net in nets.items()}
    save_tensors(path, tensors, provenance, widths=widths, **facts)


def named_tensors(name: str, net: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network as saved: in half precision, with `name` as prefix."""
    return {f"{name}.{part}": tensor for part, tensor in in_half(net).items()}


def load_networks(path: Path = SHIPPED) -> dict[Plane, HeatmapNet]:
    """Load the networks of a file, in evaluation mode on the CPU.

    Raises WeightsError if they do not fit, ArtefactError if the file is missing or altered.
    """
    tensors, widths = load_weights(path), facts_of(path).get("widths", {})
    return {
        plane: restored(
            build_network(plane, tuple(widths[plane])), with_prefix(tensors, f"{plane}."), plane, path
        )
        for plane in plane2landmarks
        if plane in widths
    }


def stretched(images: Tensor) -> Tensor:
    """Scale images so that their darkest and brightest percent are 0 and 1; constant ones become 0."""
    step = max(1, min(images.shape[-2:]) // QUANTILE_PX)
    sample = images[:, ::step, ::step].flatten(1)
    ends = torch.quantile(sample, torch.tensor([DARKEST, BRIGHTEST], device=images.device), dim=1)
    low, high = ends[..., None, None]
    return ((images - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)


def _blurred(images: Tensor) -> Tensor:
    """Box means, in two passes."""
    half = CONTRAST_PX // 2
    for window, padding in (((1, CONTRAST_PX), (0, half)), ((CONTRAST_PX, 1), (half, 0))):
        images = F.avg_pool2d(images, window, stride=1, padding=padding, count_include_pad=False)
    return images


def _normed(conv: nn.Conv2d) -> tuple[nn.Module, ...]:
    return conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU()
