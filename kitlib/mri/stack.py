"""A stack of slices with its geometry: the only place that converts between pixels and millimetres."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike

from kitlib.errors import DataError

Plane = Literal["sagittal", "axial", "coronal", "oblique"]
PLANES: tuple[Plane, ...] = ("sagittal", "coronal", "axial")  # whose normal is nearest to x, y, z
OBLIQUE_COSINE = np.cos(np.radians(45))
LONE_STEP_MM = 1.0  # a single slice has no step: positions beyond it are counted in millimetres
ORTHONORMAL_TOLERANCE = 1e-6
# Patient directions along which columns and rows grow on images as radiologists view them. All but sagittal
# images are axial, however steep, with the back at the bottom, or coronal, with the feet there.
READERS_SAGITTAL = np.array([(0, 1, 0), (0, 0, -1)])
READERS_OTHER = np.array([(1, 0, 0), (0, 1, -0.5)])
VECTORS = ("origins_mm", "row_direction", "column_direction")
GEOMETRY = (*VECTORS, "spacing_mm", "instance_numbers", "files")


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of one orientation and size, ordered by position along their normal.

    Sagittal stacks run from the patient's right to left, axial ones from foot to head, coronal ones from
    front to back. Pixel (0, 0) is the centre of the first pixel; coordinates may be fractional.

    >>> (stack,) = read_series("competition/test_images/11/111", Ledger())
    >>> point_mm = stack.to_patient(col=2.5, row=1, slice=3)
    >>> stack.to_pixel(point_mm).round(6).tolist()
    [2.5, 1.0, 3.0]
    """

    pixels: np.ndarray  # (N, H, W); float32 as read, uint8 once prepared
    origins_mm: np.ndarray  # (N, 3) float64, LPS position of each slice's first pixel centre
    row_direction: np.ndarray  # (3,) unit vector along which the COLUMN index grows (DICOM's first triple)
    column_direction: np.ndarray  # (3,) unit vector along which the ROW index grows (DICOM's second triple)
    spacing_mm: tuple[float, float]  # (between rows, between columns), as DICOM's PixelSpacing
    instance_numbers: np.ndarray  # (N,) int64; -1 unknown
    files: tuple[str, ...]  # (N,) file names inside the series

    def __post_init__(self) -> None:
        """Raise DataError if the fields are not those of a stack."""
        count = len(self.pixels)
        directions = np.stack([self.row_direction, self.column_direction])
        problems = {
            "pixels are not (N, H, W), or empty": self.pixels.ndim != 3 or not self.pixels.size,
            "origins_mm is not (N, 3) and finite": self.origins_mm.shape != (count, 3)
            or not np.isfinite(self.origins_mm).all(),
            "instance_numbers or files are not N long": not (
                len(self.instance_numbers) == len(self.files) == count
            ),
            "the directions are not orthonormal": not np.allclose(
                directions @ directions.T, np.eye(2), atol=ORTHONORMAL_TOLERANCE
            ),
            "spacing_mm is not positive": not min(self.spacing_mm) > 0,
        }
        found = [problem for problem, is_there in problems.items() if is_there]
        if not found and (np.diff(self.positions_mm) <= 0).any():
            found = ["the slices do not ascend along the normal"]
        if found:
            raise DataError("this is not a stack: " + "; ".join(found), where=", ".join(self.files[:2]))

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def normal(self) -> np.ndarray:
        """The (3,) unit normal along which slices ascend: towards the patient's left, head or back."""
        return normal_of(self.row_direction, self.column_direction)

    @property
    def plane(self) -> Plane:
        """The anatomical plane within 45 degrees of which the slices lie."""
        return plane_of(self.normal)

    @property
    def readers(self) -> np.ndarray:
        """Patient directions (2, 3) of columns and rows as radiologists view such images."""
        return READERS_SAGITTAL if np.abs(self.normal).argmax() == 0 else READERS_OTHER

    @cached_property
    def positions_mm(self) -> np.ndarray:
        """Position of each slice along the normal: (N,), strictly ascending."""
        return self.origins_mm @ self.normal

    @property
    def step_mm(self) -> float:
        """Median distance between neighbouring slices; NaN for a single slice."""
        return float(np.median(np.diff(self.positions_mm))) if len(self) > 1 else float("nan")

    @property
    def pace_mm(self) -> float:
        """The step used beyond the ends: `step_mm`, or LONE_STEP_MM for a single slice."""
        return self.step_mm if len(self) > 1 else LONE_STEP_MM

    @property
    def centres_mm(self) -> np.ndarray:
        """Patient position of each slice's centre: (N, 3)."""
        _, height, width = self.pixels.shape
        return self.to_patient((width - 1) / 2, (height - 1) / 2, np.arange(len(self)))

    def to_patient(self, col: ArrayLike, row: ArrayLike, slice: ArrayLike) -> np.ndarray:
        """Patient positions (..., 3) in mm of pixels (col, row) on slices counted from 0; inputs broadcast.

        The origin is interpolated between slices, and extrapolated along the normal by the median step beyond
        the ends.
        """
        col, row, index = np.broadcast_arrays(
            *(np.asarray(part, dtype=np.float64) for part in (col, row, slice))
        )
        inside = np.clip(index, 0, len(self) - 1)
        beyond_mm = (index - inside) * self.pace_mm
        return (
            self._origins_at(inside)
            + beyond_mm[..., None] * self.normal
            + (col * self.spacing_mm[1])[..., None] * self.row_direction
            + (row * self.spacing_mm[0])[..., None] * self.column_direction
        )

    def to_pixel(self, points_mm: ArrayLike) -> np.ndarray:
        """(col, row, slice) of patient positions (..., 3): the inverse of `to_patient`, also outside."""
        points = np.asarray(points_mm, dtype=np.float64)
        positions = points @ self.normal
        nearest = np.clip(positions, self.positions_mm[0], self.positions_mm[-1])
        inside = np.interp(nearest, self.positions_mm, np.arange(len(self)))
        in_plane = points - self._origins_at(inside)
        return np.stack(
            [
                in_plane @ self.row_direction / self.spacing_mm[1],
                in_plane @ self.column_direction / self.spacing_mm[0],
                inside + (positions - nearest) / self.pace_mm,
            ],
            axis=-1,
        )

    def closest_mm(self, point_mm: np.ndarray, index: int) -> np.ndarray:
        """The position (3,) on one slice that is closest to a patient position (3,)."""
        _, height, width = self.pixels.shape
        col, row, _ = self.to_pixel(point_mm)
        return self.to_patient(np.clip(col, 0, width - 1), np.clip(row, 0, height - 1), index)

    def fitted(self, longest_px: int) -> "Stack":
        """The stack, geometry included, resampled by area so that no image side exceeds `longest_px`."""
        _, height, width = self.pixels.shape
        shrink = longest_px / max(height, width)
        if shrink >= 1:
            return self
        size = max(1, round(height * shrink)), max(1, round(width * shrink))
        by_row, by_col = height / size[0], width / size[1]
        return replace(
            self,
            pixels=np.stack(
                [cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA) for image in self.pixels]
            ),
            origins_mm=self.to_patient((by_col - 1) / 2, (by_row - 1) / 2, np.arange(len(self))),
            spacing_mm=(self.spacing_mm[0] * by_row, self.spacing_mm[1] * by_col),
        )

    def laid_out(
        self, *, swapped: bool = False, flip_rows: bool = False, flip_columns: bool = False
    ) -> "Stack":
        """The same slices stored differently: rows and columns swapped, then each of them reversed.

        Every pixel keeps its patient position: the directions turn with the array.
        """
        if swapped:
            return replace(
                self,
                pixels=self.pixels.swapaxes(1, 2),
                row_direction=self.column_direction,
                column_direction=self.row_direction,
                spacing_mm=self.spacing_mm[::-1],
            ).laid_out(flip_rows=flip_rows, flip_columns=flip_columns)
        _, height, width = self.pixels.shape
        corner = (width - 1) * flip_columns, (height - 1) * flip_rows
        return replace(
            self,
            pixels=self.pixels[:, :: -1 if flip_rows else 1, :: -1 if flip_columns else 1],
            origins_mm=self.to_patient(*corner, np.arange(len(self))),
            row_direction=self.row_direction * (-1 if flip_columns else 1),
            column_direction=self.column_direction * (-1 if flip_rows else 1),
        )

    def upright(self) -> "Stack":
        """The same slices stored as radiologists view them; returns itself if they already are.

        Columns of sagittal slices run to the patient's back, of others to the left; rows of sagittal and
        coronal ones to the feet, of axial ones to the back, as closely as swaps and flips allow.
        """
        across, down = self.readers
        if abs(self.row_direction @ across) < abs(self.column_direction @ across):
            return self.laid_out(swapped=True).upright()
        leftwards, upwards = self.row_direction @ across < 0, self.column_direction @ down < 0
        if not (leftwards or upwards):
            return self
        return self.laid_out(flip_columns=bool(leftwards), flip_rows=bool(upwards))

    def slices(self, index: np.ndarray) -> "Stack":
        """A subset of the slices, by a mask (N,) or ascending indices; raises DataError if it is empty."""
        return replace(
            self,
            pixels=self.pixels[index],
            origins_mm=self.origins_mm[index],
            instance_numbers=self.instance_numbers[index],
            files=tuple(np.array(self.files, dtype=object)[index]),
        )

    def geometry(self) -> dict[str, Any]:
        """Everything but the pixels, as JSON-able values."""
        return {name: np.asarray(getattr(self, name)).tolist() for name in GEOMETRY}

    @classmethod
    def from_geometry(cls, pixels: np.ndarray, geometry: Mapping[str, Any]) -> "Stack":
        """The inverse of `geometry`: a stack of these pixels."""
        rows_mm, columns_mm = geometry["spacing_mm"]
        return cls(
            pixels,
            **{name: np.asarray(geometry[name], np.float64) for name in VECTORS},
            spacing_mm=(float(rows_mm), float(columns_mm)),
            instance_numbers=np.asarray(geometry["instance_numbers"], np.int64),
            files=tuple(geometry["files"]),
        )

    def _origins_at(self, index: np.ndarray) -> np.ndarray:
        """Origins (..., 3) at fractional slices within the stack; neighbours may be shifted in plane."""
        whole = np.arange(len(self))
        return np.stack([np.interp(index, whole, axis) for axis in self.origins_mm.T], axis=-1)


def normal_of(row_direction: np.ndarray, column_direction: np.ndarray) -> np.ndarray:
    """The (3,) unit normal that points to the patient's left, back or head, whichever is nearest."""
    normal = np.cross(row_direction, column_direction)
    return normal * np.sign(normal[np.abs(normal).argmax()])


def plane_of(normal: np.ndarray) -> Plane:
    """The anatomical plane within 45 degrees of which slices with this normal lie, else "oblique"."""
    cosines = np.abs(normal)
    return PLANES[cosines.argmax()] if cosines.max() > OBLIQUE_COSINE else "oblique"


def orthonormal(directions: np.ndarray) -> np.ndarray:
    """The pair of orthogonal unit vectors (2, 3) nearest to two almost orthogonal, almost unit ones."""
    left, _, right = np.linalg.svd(directions, full_matrices=False)
    return left @ right
