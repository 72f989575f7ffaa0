"""The part of a slice that a backbone sees, the whole or the middle, resized to a square."""

import cv2
import numpy as np

from kitlib.errors import known_name
from kitlib.mri.stack import Plane, Stack
from kitlib.prepare.grey import GREY_OPTIONS

# Of the competition's landmarks 99.8 % (sagittal) and 99.99 % (axial) lie in these middles.
MIDDLE: dict[Plane, float] = {"sagittal": 0.75, "axial": 0.5}
FIELDS_OF_VIEW: dict[str, dict[Plane, float]] = {"whole": {}, "middle": MIDDLE}
"""Side of the visible square, as a share of the slice's longer side; 1 for planes not listed."""


def stack_images(
    stack: Stack, px: int, *, field_of_view: str = "whole", grey: str = "greyscale"
) -> np.ndarray:
    """Return the slices of a prepared stack as a backbone sees them: (N, px, px) uint8.

    Raises UsageError if `field_of_view` is not in FIELDS_OF_VIEW or `grey` not in GREY_OPTIONS.
    """
    known_name(field_of_view, FIELDS_OF_VIEW, "view")
    known_name(grey, GREY_OPTIONS, "grey")
    pixels = GREY_OPTIONS[grey](np.asarray(stack.pixels))
    return square(pixels, px, FIELDS_OF_VIEW[field_of_view].get(stack.plane, 1.0))


def square(slices: np.ndarray, px: int, share: float = 1.0) -> np.ndarray:
    """Resize the middle of slices (B, H, W) to (B, px, px), keeping proportions and padding with black."""
    side, first = square_of(slices.shape[1:], share)
    row, col = np.maximum(first, 0)
    seen = slices[:, row : row + side, col : col + side]
    before = np.maximum(-first, 0)
    window = np.pad(seen, [(0, 0), *zip(before, side - before - seen.shape[1:])])
    if side == px:
        return window
    method = cv2.INTER_AREA if side > px else cv2.INTER_LINEAR
    resized = [cv2.resize(image, (px, px), interpolation=method) for image in window]
    return np.array(resized).reshape(-1, px, px)


def square_of(shape: tuple[int, ...], share: float = 1.0) -> tuple[int, np.ndarray]:
    """Return the side and first (row, column) of the square that `square` cuts from slices (H, W)."""
    size = np.array(shape)
    side = max(1, round(share * size.max()))
    return side, (size - side) // 2  # negative where the square extends beyond the slice
