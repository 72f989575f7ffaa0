"""From the slices of a stack to heatmaps: upright images, one batch, and the way back to the patient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from kitlib.errors import DataError, UsageError
from kitlib.localise.network import PX_MM, STRIDE, Frame, cell_to_px, heatmaps, network_inputs, px_to_cell
from kitlib.machine import cores, device, half_precision, torch_threads
from kitlib.mri.stack import Stack
from kitlib.terms import Kind

LEFT, BACK, FEET = np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, -1.0])
kind2axes: dict[Kind, tuple[np.ndarray, np.ndarray]] = {"sagittal": (BACK, FEET), "axial": (LEFT, BACK)}
"""Where columns and rows grow in the images that networks learn on."""

ARRAY_STEP_MM = 4.5  # between slices of an array, where nothing else is said
FIELD_MM = (20.0, 1000.0)  # sides of an image; a wrong spacing would make the network's input huge


@dataclass(frozen=True, eq=False)
class Maps:
    """Heatmaps of some slices of an upright stack."""

    stack: Stack  # upright
    indices: np.ndarray  # (S,) the slices that were read
    shares: np.ndarray  # (S, C, n, n) float32: chance of each cell, in sum the visibility
    frame: Frame
    cell_mm: float

    @property
    def positions_mm(self) -> np.ndarray:
        """Place (S,) of the slices along the stack's normal."""
        return self.stack.positions_mm[self.indices]

    @property
    def visible(self) -> np.ndarray:
        """Chance (S, C) that a landmark is visible on a slice."""
        return self.shares.sum(axis=(2, 3))

    def to_patient(self, cells: np.ndarray, position_mm: ArrayLike) -> np.ndarray:
        """Patient positions (..., 3) of cells (..., 2) at places along the normal (...)."""
        col, row = np.moveaxis(self.frame.to_native(cell_to_px(cells)), -1, 0)
        index = np.interp(
            np.asarray(position_mm, dtype=np.float64), self.stack.positions_mm, np.arange(len(self.stack))
        )
        return self.stack.to_patient(col, row, index)

    def to_cells(self, places_mm: np.ndarray) -> np.ndarray:
        """Fractional cells (..., 2) of patient positions (..., 3), as projected along the normal."""
        return px_to_cell(self.frame.to_network(self.stack.to_pixel(places_mm)[..., :2]))


Reader = Callable[[nn.Module, Stack, np.ndarray, Kind], Maps]


def read_maps(
    network: nn.Module, stack: Stack, indices: np.ndarray, kind: Kind, *, threads: int | None = None
) -> Maps:
    """Maps of slices of a stack, all in one batch; on all cores unless `threads` says less."""
    found = upright(stack, kind)
    images = torch.from_numpy(np.nan_to_num(found.pixels[indices].astype(np.float32)))
    half = half_precision()
    with (
        torch_threads(threads or cores()),
        torch.inference_mode(),
        torch.autocast(device().type, dtype=half, enabled=half is not None),
    ):
        inputs, frame = network_inputs(images, found.spacing_mm, PX_MM[kind])
        inputs = inputs.to(device(), memory_format=torch.channels_last)
        shares, _ = heatmaps(network.to(device())(inputs))
    return Maps(found, np.asarray(indices), shares.cpu().numpy(), frame, STRIDE * PX_MM[kind])


def upright(stack: Stack, kind: Kind) -> Stack:
    """The same stack with columns and rows that grow as in `kind2axes`; patient positions do not change."""
    across, down = kind2axes[kind]
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


def of_plane(stacks: Sequence[Stack], kind: Kind) -> list[Stack]:
    """The stacks of a plane whose field of view could be that of a patient, those of most slices first."""
    found = [stack for stack in stacks if stack.plane == kind and _is_plausible(stack)]
    return sorted(found, key=len, reverse=True)


def _is_plausible(stack: Stack) -> bool:
    sides_mm = np.multiply(stack.pixels.shape[1:], stack.spacing_mm)
    return bool(FIELD_MM[0] <= sides_mm.min() and sides_mm.max() <= FIELD_MM[1])


def array_stack(
    images: np.ndarray, spacing_mm: float | tuple[float, float], step_mm: float = ARRAY_STEP_MM
) -> Stack:
    """The stack of sagittal slices (n, H, W) or (H, W) that have no place in a patient."""
    images = np.asarray(images)
    images = images[None] if images.ndim == 2 else images
    if images.ndim != 3 or images.dtype.kind not in "buif" or not images.size:
        shape = f"{images.shape} of {images.dtype}"
        raise DataError("these are no grey slices", where=shape, hint="Give numbers (n, rows, columns).")
    spacing = (spacing_mm, spacing_mm) if isinstance(spacing_mm, (int, float)) else tuple(spacing_mm)
    if not (min(*spacing, step_mm) > 0 and np.isfinite([*spacing, step_mm]).all()):
        raise UsageError(f"spacing {spacing_mm}, step {step_mm} mm", hint="Both are millimetres above 0.")
    count = len(images)
    return Stack(
        pixels=images.astype(np.float32, copy=False),
        origins_mm=np.arange(count)[:, None] * np.array([step_mm, 0.0, 0.0]),
        row_direction=np.array([0.0, 1.0, 0.0]),
        column_direction=np.array([0.0, 0.0, -1.0]),
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        instance_numbers=np.arange(1, count + 1),
        files=("",) * count,
    )
