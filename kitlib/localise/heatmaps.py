"""From the slices of a stack to heatmaps: upright images, one batch, and the way back to the patient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from kitlib.localise.network import (
    PX_MM,
    STRIDE,
    Resampling,
    heatmap_to_network,
    heatmaps,
    network_inputs,
    network_to_heatmap,
)
from kitlib.machine import cores, device, half_precision, torch_threads
from kitlib.mri.geometry import Plane
from kitlib.mri.stack import Stack

LEFT, BACK, FEET = np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, -1.0])
plane2axes: dict[Plane, tuple[np.ndarray, np.ndarray]] = {"sagittal": (BACK, FEET), "axial": (LEFT, BACK)}
"""Where columns and rows grow in the images that networks learn on."""

FIELD_MM = (20.0, 1000.0)  # sides of an image; a wrong spacing would make the network's input huge


@dataclass(frozen=True, eq=False)
class Maps:
    """Heatmaps of some slices of an upright stack."""

    stack: Stack  # upright
    indices: np.ndarray  # (S,) the slices that were read
    shares: np.ndarray  # (S, C, n, n) float32: chance of each pixel, in sum the visibility
    resampling: Resampling
    px_mm: float  # of the heatmaps

    @property
    def positions_mm(self) -> np.ndarray:
        """Position (S,) of the slices along the stack's normal."""
        return self.stack.positions_mm[self.indices]

    @property
    def visible(self) -> np.ndarray:
        """Chance (S, C) that a landmark is visible on a slice."""
        return self.shares.sum(axis=(2, 3))

    def to_patient(self, pixels: np.ndarray, position_mm: ArrayLike) -> np.ndarray:
        """Patient points (..., 3) of heatmap pixels (..., 2) at positions along the normal (...)."""
        col, row = np.moveaxis(self.resampling.to_native(heatmap_to_network(pixels)), -1, 0)
        index = np.interp(
            np.asarray(position_mm, dtype=np.float64), self.stack.positions_mm, np.arange(len(self.stack))
        )
        return self.stack.to_patient(col, row, index)

    def to_pixels(self, points_mm: np.ndarray) -> np.ndarray:
        """Fractional heatmap pixels (..., 2) of patient points (..., 3), projected along the normal."""
        return network_to_heatmap(self.resampling.to_network(self.stack.to_pixel(points_mm)[..., :2]))


Reader = Callable[[nn.Module, Stack, np.ndarray, Plane], Maps]


def read_maps(
    network: nn.Module, stack: Stack, indices: np.ndarray, plane: Plane, *, threads: int | None = None
) -> Maps:
    """Maps of slices of a stack, all in one batch; on all cores unless `threads` says less."""
    found = upright(stack, plane)
    images = torch.from_numpy(np.nan_to_num(found.pixels[indices].astype(np.float32)))
    half = half_precision()
    with (
        torch_threads(threads or cores()),
        torch.inference_mode(),
        torch.autocast(device().type, dtype=half, enabled=half is not None),
    ):
        inputs, resampling = network_inputs(images, found.spacing_mm, PX_MM[plane])
        inputs = inputs.to(device(), memory_format=torch.channels_last)
        shares, _ = heatmaps(network.to(device())(inputs))
    return Maps(found, np.asarray(indices), shares.cpu().numpy(), resampling, STRIDE * PX_MM[plane])


def upright(stack: Stack, plane: Plane) -> Stack:
    """The same stack with columns and rows that grow as in `plane2axes`; patient positions do not change."""
    across, down = plane2axes[plane]
    if abs(stack.row_direction @ across) < abs(stack.column_direction @ across):
        stack = replace(
            stack,
            pixels=stack.pixels.swapaxes(1, 2),
            row_direction=stack.column_direction,
            column_direction=stack.row_direction,
            spacing_mm=stack.spacing_mm[::-1],
        )
    flip_cols, flip_rows = stack.row_direction @ across < 0, stack.column_direction @ down < 0
    _, height, width = stack.pixels.shape
    corner = (width - 1) * flip_cols, (height - 1) * flip_rows
    return replace(
        stack,
        pixels=stack.pixels[:, :: -1 if flip_rows else 1, :: -1 if flip_cols else 1],
        origins_mm=stack.to_patient(*corner, np.arange(len(stack))),
        row_direction=stack.row_direction * (-1 if flip_cols else 1),
        column_direction=stack.column_direction * (-1 if flip_rows else 1),
    )


def spread(stack: Stack, least_step_mm: float, most: int) -> np.ndarray:
    """Indices of slices around the stack's middle, no nearer to each other than a step."""
    step = 1 if len(stack) < 2 else max(1, int(np.ceil(least_step_mm / max(stack.step_mm, 1e-3) - 0.25)))
    start = (len(stack) - 1) % step // 2
    indices = np.arange(start, len(stack), step)
    skip = max(0, len(indices) - most) // 2
    return indices[skip : skip + most]


def of_plane(stacks: Sequence[Stack], plane: Plane) -> list[Stack]:
    """The stacks of a plane whose field of view could be that of a patient, those of most slices first."""
    found = [stack for stack in stacks if stack.plane == plane and _is_plausible(stack)]
    return sorted(found, key=len, reverse=True)


def _is_plausible(stack: Stack) -> bool:
    sides_mm = np.multiply(stack.pixels.shape[1:], stack.spacing_mm)
    return bool(FIELD_MM[0] <= sides_mm.min() and sides_mm.max() <= FIELD_MM[1])
