"""Views: a place as one sequence shows it, a square of millimetres on a few neighbouring slices."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kitlib.mri.stack import Stack
from kitlib.prepare.crops import crop_around
from kitlib.prepare.grey import window
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, Landmark, Place

VIEW_PX = 72
SAGITTAL_MM, AXIAL_MM = 54.0, 43.2
"""Side of a view: two thirds of a body above and below a disc; both recesses, and little beside them."""


class View(NamedTuple):
    """What is looked at, and on which sequence."""

    place: Place
    sequence: str

    @property
    def side_mm(self) -> float:
        """Side of the square around the place."""
        return AXIAL_MM if self.sequence == AXIAL_T2 else SAGITTAL_MM

    def up(self, axes: np.ndarray | None) -> np.ndarray | None:
        """What is up in it, of a level's axes (rows left, back, up): the head, or the front on axial slices."""
        if axes is None:
            return None
        return -axes[1] if self.sequence == AXIAL_T2 else axes[2]


VIEWS = (
    View("canal", SAGITTAL_T2),
    View("canal", AXIAL_T2),
    View("foramen", SAGITTAL_T1),
    View("foramen", SAGITTAL_T2),
    View("recess", AXIAL_T2),
)


def cut_view(
    stacks: Sequence[Stack],
    view: View,
    landmark: Landmark,
    place_mm: np.ndarray,
    *,
    slices: int = 3,
    margin: float = 1.0,
    up: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Images (slices, px, px) uint8 around a place (3,), and which of the slices there are, (slices,) bool.

    `stacks` are of the view's sequence; None where none of them shows the place. Greys span what is shown, so
    no scale needs to be known. Axial views of the right side are mirrored: all recesses look like left ones.
    `margin` widens the square, and px with it; `up` turns it, as `crop_around` says.
    """
    side_mm = margin * view.side_mm
    crop = crop_around(
        stacks,
        landmark,
        place_mm,
        size_mm=(side_mm, side_mm),
        slices=slices,
        px_mm=view.side_mm / VIEW_PX,
        up=up,
    )
    if crop is None:
        return None
    images = _spanned(crop.pixels)
    if landmark.side == "right" and view.sequence == AXIAL_T2:
        images = images[:, :, ::-1]
    return images, crop.stack.instance_numbers >= 0


def _spanned(pixels: np.ndarray) -> np.ndarray:
    """Greys as uint8, what lies outside of the original's pixels black."""
    low, high = window(pixels[pixels != 0])
    share = (np.nan_to_num(pixels) - low) / max(high - low, 1e-6)
    return np.where(pixels == 0, 0, 1 + 254 * share.clip(0, 1)).astype(np.uint8)
