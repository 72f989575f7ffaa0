"""What the crop model looked at: its views with their attention, and its points on whole slices."""

import cv2
import numpy as np

from kitlib.inputs.crops import StudyCrops
from kitlib.localise.points import Located, point_on
from kitlib.mri.study import Study
from kitlib.prepare.views import SLOTS, VIEWS, without_margin
from kitlib.report.style import MARKERS
from kitlib.terms import AXIAL_T2, CELLS, group2sequence

GAP_PX, BAR_PX = 2, 5  # between slices, and for the bar of attention below them


def view_png(images: np.ndarray, present: np.ndarray, weights: np.ndarray, *, is_mirrored: bool) -> bytes:
    """The slices (S, n, n) of a view side by side as PNG, with a bar as wide as the attention (S,) to each.

    A slice that is not present is black; a mirrored view is turned back.
    """
    slices, side = len(images), images.shape[-1]
    picture = np.full((side + GAP_PX + BAR_PX, slices * (side + GAP_PX) - GAP_PX, 3), 255, np.uint8)
    colour = tuple(int(MARKERS[1][1][place : place + 2], 16) for place in (5, 3, 1))  # blue, green, red
    for index, (image, there, weight) in enumerate(zip(images, present, weights)):
        left = index * (side + GAP_PX)
        shown = (image[:, ::-1] if is_mirrored else image) * there
        picture[:side, left : left + side] = shown[..., None]
        picture[side + GAP_PX :, left : left + side] = 225
        picture[side + GAP_PX :, left : left + round(side * float(weight))] = colour
    return cv2.imencode(".png", picture)[1].tobytes()


def slot_png(crops: StudyCrops, weights: np.ndarray, slot: int) -> bytes:
    """The view of one of SLOTS, as readers see it; `weights` (40, S) are of all."""
    is_mirrored = CELLS[SLOTS[slot].cell].side == "right" and VIEWS[SLOTS[slot].view].sequence == AXIAL_T2
    images = without_margin(crops.images[slot])
    return view_png(images, crops.present[slot], weights[slot], is_mirrored=is_mirrored)


def located_in(study: Study, crops: StudyCrops) -> Located:
    """The places around which views were cut, as points on the slices of the sequence that grades them."""
    points = []
    for slot, point_mm, confidence in zip(SLOTS, crops.points_mm, crops.confidences):
        sequence = VIEWS[slot.view].sequence
        if sequence != group2sequence[CELLS[slot.cell].group] or np.isnan(point_mm).any():
            continue
        graded_on = tuple(series for series in study.series if series.sequence == sequence)
        if shown := Study(study.study_id, graded_on).slice_at(point_mm):
            points.append(point_on(shown.series, slot.landmark, point_mm, float(confidence)))
    return Located(tuple(filter(None, points)), abstained=False)
