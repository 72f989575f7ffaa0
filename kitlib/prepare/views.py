"""Views: a place on one sequence, as a square in millimetres on a few neighbouring slices."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kitlib.mri.stack import Stack
from kitlib.mri.study import Study
from kitlib.prepare.crops import NO_SLICE, crop_around
from kitlib.prepare.grey import window
from kitlib.terms import (
    AXIAL_T2,
    CELLS,
    SAGITTAL_T1,
    SAGITTAL_T2,
    SEQUENCES,
    Landmark,
    Place,
    group2place,
    landmark_of,
)

VIEW_PX, MARGIN_PX = 72, 96
"""Side of a view, and of one cut with a margin that allows it to be rotated and shifted."""
SAGITTAL_MM, AXIAL_MM = 54.0, 43.2
"""Side of a view: two thirds of the vertebra above and below a disc; both recesses, and little beyond."""


class View(NamedTuple):
    """A kind of place, and the sequence on which it is viewed."""

    place: Place
    sequence: str

    @property
    def side_mm(self) -> float:
        """Side of the square around the place."""
        return AXIAL_MM if self.sequence == AXIAL_T2 else SAGITTAL_MM

    @property
    def text(self) -> str:
        """The view in words."""
        return f"{self.place} on {self.sequence}"

    def up(self, axes: np.ndarray | None) -> np.ndarray | None:
        """The level axis (of rows left, back, up) that points up in the view: up, or the front if axial."""
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


class Slot(NamedTuple):
    """One view of one cell."""

    cell: int  # index into CELLS
    view: int  # index into VIEWS

    @property
    def landmark(self) -> Landmark:
        """The landmark at which the cell is graded."""
        cell = CELLS[self.cell]
        return landmark_of(cell)


SLOTS = tuple(
    Slot(cell, view)
    for cell in range(len(CELLS))
    for view in range(len(VIEWS))
    if VIEWS[view].place == group2place[CELLS[cell].group]
)
"""The 40 views of a complete study."""
slot2cell, slot2view = np.array(SLOTS).T
slot2sequence = np.array([SEQUENCES.index(VIEWS[view].sequence) for view in slot2view])
"""The indices of each slot's cell, view and sequence."""


def slots_of(cell: int) -> list[int]:
    """The indices of a cell's views in SLOTS."""
    return [number for number, slot in enumerate(SLOTS) if slot.cell == cell]


def cut_view(
    stacks: Sequence[Stack],
    view: View,
    landmark: Landmark,
    place_mm: np.ndarray,
    *,
    slices: int = 3,
    px: int = VIEW_PX,
    up: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Cut images (slices, px, px) uint8 around a place (3,), and a mask (slices,) of the slices that exist.

    `stacks` are of the view's sequence; returns None if none of them shows the place. Greys are scaled to the
    crop itself, so no intensity scale needs to be known. Axial views of the right side are mirrored, so that
    all recesses look like left ones. More than VIEW_PX pixels widen the square; `up` is as in `crop_around`.
    """
    side_mm = px * view.side_mm / VIEW_PX
    crop = crop_around(
        stacks, place_mm, size_mm=(side_mm, side_mm), px_mm=view.side_mm / VIEW_PX, slices=slices, up=up
    )
    if crop is None:
        return None
    images = _spanned(crop.pixels.astype(np.float32))
    if landmark.side == "right" and view.sequence == AXIAL_T2:
        images = images[:, :, ::-1]
    return images, crop.instance_numbers != NO_SLICE


def cut_slots(
    study: Study,
    places_mm: Mapping[Landmark, np.ndarray],
    axes: Mapping[str, np.ndarray] | None = None,
    *,
    slices: int = 3,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield, for each of SLOTS that a study shows, its index and what `cut_view` returns, MARGIN_PX wide.

    Views are rotated with their level if `axes` (rows left, back, up) has it.
    """
    stacks = {sequence: study.stacks(sequence) for sequence in SEQUENCES}
    for number, slot in enumerate(SLOTS):
        view, landmark = VIEWS[slot.view], slot.landmark
        if landmark in places_mm:
            up = view.up((axes or {}).get(landmark.level))
            shown = stacks[view.sequence]
            cut = cut_view(shown, view, landmark, places_mm[landmark], slices=slices, px=MARGIN_PX, up=up)
            if cut is not None:
                yield number, *cut


def without_margin(images: Any) -> Any:
    """Crop images (..., MARGIN_PX, MARGIN_PX), an array or tensor, to the central VIEW_PX."""
    edge = (MARGIN_PX - VIEW_PX) // 2
    return images[..., edge : edge + VIEW_PX, edge : edge + VIEW_PX]


def _spanned(pixels: np.ndarray) -> np.ndarray:
    """Scale greys to uint8, keeping pixels outside the original black."""
    low, high = window(pixels[pixels != 0])
    share = (np.nan_to_num(pixels) - low) / max(high - low, 1e-6)
    return np.where(pixels == 0, 0, 1 + 254 * share.clip(0, 1)).astype(np.uint8)
