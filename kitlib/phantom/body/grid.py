"""Sample points on parallel slices, and the tissue at each of them."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from kitlib.phantom.body.tissues import Tissue

Device = torch.device | str
Box = tuple[slice, slice, slice]
Solid = tuple[Box, Tensor]
"""A bounding box, and the signed distance in mm (negative inside) at its points."""

CORTEX_MM = 0.9
CORNERS = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), axis=-1).reshape(8, 3)


@dataclass(frozen=True, eq=False)
class LocalFrame:
    """A local coordinate system in the patient: origin, and left, back and up axes of a structure."""

    origin_mm: np.ndarray  # (3,)
    axes: np.ndarray  # (3, 3), rows are unit vectors

    def to_patient(self, *local_mm: float) -> np.ndarray:
        """Convert a local position to a patient position (3,)."""
        return self.origin_mm + np.asarray(local_mm) @ self.axes


PATIENT = LocalFrame(np.zeros(3), np.eye(3))


@dataclass(frozen=True, eq=False)
class Canvas:
    """The tissue at each point of K parallel planes of H x W points; later paint covers earlier paint."""

    origins_mm: np.ndarray  # (K, 3) of each plane's first point, ascending along the normal
    down_mm: np.ndarray  # (3,) step from row to row
    right_mm: np.ndarray  # (3,) step from column to column
    tissue: Tensor  # (K, H, W) uint8
    samples: int  # planes through the thickness of each slice

    @classmethod
    def over(
        cls,
        origins_mm: np.ndarray,
        down_mm: np.ndarray,
        right_mm: np.ndarray,
        size: tuple[int, int],
        thickness_mm: float,
        samples: int,
        device: Device = "cpu",
    ) -> "Canvas":
        """Create a canvas of air with `samples` planes per slice, also shifted in-plane against aliasing."""
        normal = _ascending(origins_mm, down_mm, right_mm)
        normal *= thickness_mm / np.linalg.norm(normal)
        through = (np.arange(samples) - (samples - 1) / 2) / samples
        steps = normal, right_mm, down_mm
        shifts = sum(np.outer(np.roll(through, way), step) for way, step in enumerate(steps))
        planes = (origins_mm[:, None] + shifts).reshape(-1, 3)
        air = torch.zeros((len(planes), *size), dtype=torch.uint8, device=device)
        return cls(planes, down_mm, right_mm, air, samples)

    def on_device(self, values: ArrayLike, dtype: torch.dtype = torch.float32) -> Tensor:
        """Move values to a tensor on the canvas's device, where all painting is done."""
        return torch.as_tensor(np.asarray(values)).to(self.tissue.device, dtype)

    def middles(self) -> "Canvas":
        """Return the middle plane of each slice as a view of this canvas."""
        middle = slice(self.samples // 2, None, self.samples)
        return Canvas(self.origins_mm[middle], self.down_mm, self.right_mm, self.tissue[middle], 1)

    def by_slice(self) -> Tensor:
        """Return a view of the tissue as (slices, samples, H, W)."""
        return self.tissue.view(-1, self.samples, *self.tissue.shape[1:])

    @property
    def everything(self) -> Box:
        """The box of all points."""
        planes, rows, cols = self.tissue.shape
        return slice(0, planes), slice(0, rows), slice(0, cols)

    def box(self, frame: LocalFrame, low: ArrayLike, high: ArrayLike) -> Box | None:
        """Return a box that contains the points within local bounds; None if the canvas has none."""
        corners = frame.origin_mm + np.where(CORNERS, high, low) @ frame.axes  # (8, 3)
        return self._box_around(corners, np.zeros((3, 3)))

    def along(self, origin_mm: np.ndarray, vectors: np.ndarray, box: Box) -> list[Tensor]:
        """Dot product of each vector (n, 3) with the offset of each point of the box from an origin."""
        planes = self.on_device((self.origins_mm[box[0]] - origin_mm) @ vectors.T)
        rows = self.on_device(np.outer(np.arange(box[1].start, box[1].stop), vectors @ self.down_mm))
        cols = self.on_device(np.outer(np.arange(box[2].start, box[2].stop), vectors @ self.right_mm))
        return [(planes[:, None, n] + rows[:, n])[:, :, None] + cols[:, n] for n in range(len(vectors))]

    def local(self, frame: LocalFrame, box: Box) -> tuple[Tensor, Tensor, Tensor]:
        """Return the local coordinates of each point of the box, in mm."""
        left, back, up = self.along(frame.origin_mm, frame.axes, box)
        return left, back, up

    def paint(self, box: Box, mask: Tensor, tissue: int) -> None:
        """Set the tissue where the mask is true."""
        self.tissue[box].masked_fill_(mask, tissue)

    def rod(
        self,
        frame: LocalFrame,
        ends: ArrayLike,
        radii: tuple[float, float],
        stretch: ArrayLike = (1, 1, 1),
    ) -> Solid | None:
        """Build a rod with round ends, optionally stretched along the frame's axes."""
        ends, stretch = np.asarray(ends, dtype=float), np.asarray(stretch, dtype=float)
        half_axes = max(radii) * stretch[:, None] * frame.axes
        box = self._box_around(frame.origin_mm + ends @ frame.axes, half_axes)
        if box is None:
            return None
        way = (ends[1] - ends[0]) / stretch
        length2 = max(float(way @ way), 1e-9)
        axes = frame.axes / stretch[:, None]
        u, v, w, share = self.along(frame.to_patient(*ends[0]), np.vstack([axes, way @ axes / length2]), box)
        nearest = share.clamp(0, 1)
        distance2 = u * u + v * v + w * w + length2 * nearest * (nearest - 2 * share)
        return box, distance2.clamp_(min=0).sqrt_() - (radii[0] + (radii[1] - radii[0]) * nearest)

    def fill(self, solid: Solid | None, tissue: int, *, inset_mm: float = 0.0) -> None:
        """Paint the inside of a solid, except for a rim of `inset_mm`."""
        if solid is not None:
            self.paint(solid[0], solid[1] < -inset_mm, tissue)

    def bones(self, solids: Sequence[Solid | None], *, cortex_mm: float = CORTEX_MM) -> None:
        """Paint solids as one bone: marrow within a common cortex."""
        for solid in solids:
            self.fill(solid, Tissue.CORTEX)
        for solid in solids:
            self.fill(solid, Tissue.MARROW, inset_mm=cortex_mm)

    def _box_around(self, points_mm: np.ndarray, half_axes_mm: np.ndarray) -> Box | None:
        """Return the box around ellipsoids of given half axes (3, 3) at points (n, 3) and between them."""
        places = points_mm @ self._across
        reach = np.sqrt(((half_axes_mm @ self._across) ** 2).sum(axis=0))
        low, high = (places.min(axis=0) - reach).tolist(), (places.max(axis=0) + reach).tolist()
        start, stop = bisect_left(self._depths, low[0]), bisect_left(self._depths, high[0])
        if start >= stop:
            return None
        box = [slice(start, stop)]
        for axis, (first, last) in enumerate(self._starts, start=1):
            start = max(0, int(low[axis] - last - 1))
            stop = min(self.tissue.shape[axis], int(high[axis] - first + 2))
            if start >= stop:
                return None
            box.append(slice(start, stop))
        return box[0], box[1], box[2]

    @cached_property
    def _normal(self) -> np.ndarray:
        """Unit normal, pointing from the first to the last plane."""
        return unit(_ascending(self.origins_mm, self.down_mm, self.right_mm))

    @cached_property
    def _across(self) -> np.ndarray:
        """Matrix (3, 3) that converts positions in mm to depth, row and column."""
        rulers = [step / (step @ step) for step in (self.down_mm, self.right_mm)]
        return np.column_stack([self._normal, *rulers])

    @cached_property
    def _depths(self) -> list[float]:
        return (self.origins_mm @ self._normal).tolist()

    @cached_property
    def _starts(self) -> list[tuple[float, float]]:
        """Minimum and maximum row, and column, of the planes' first points."""
        places = self.origins_mm @ self._across[:, 1:]
        return list(zip(places.min(axis=0).tolist(), places.max(axis=0).tolist()))


def unit(vector: np.ndarray) -> np.ndarray:
    """Normalise a vector (3,) to length 1."""
    return vector / np.linalg.norm(vector)


def _ascending(origins_mm: np.ndarray, down_mm: np.ndarray, right_mm: np.ndarray) -> np.ndarray:
    """Return a normal (3,) of the planes, pointing to the last one."""
    normal = np.cross(right_mm, down_mm)
    return -normal if (origins_mm[-1] - origins_mm[0]) @ normal < 0 else normal
