"""What the crop model looked at: its views with their attention, and its points on whole slices."""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kitlib.inputs.crops import StudyCrops
from kitlib.localise.points import Located, point_on
from kitlib.models.crop.model import Examination
from kitlib.mri.study import Study
from kitlib.prepare.views import SLOTS, VIEWS, slots_of, without_margin
from kitlib.report.style import MARKERS, Picture, empty_figure, new_figure, styled
from kitlib.terms import AXIAL_T2, CELLS, SEVERITIES, condition2text, group2sequence, level2text

GAP_PX, BAR_PX = 2, 5  # between slices, and for the bar of attention below them


def view_bgr(
    images: np.ndarray, present: np.ndarray, weights: np.ndarray, *, is_mirrored: bool
) -> np.ndarray:
    """The slices (S, n, n) of a view side by side, with a bar as wide as the attention (S,) to each.

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
    return picture


def slot_bgr(examination: Examination, slot: int) -> np.ndarray:
    """The view of one of SLOTS, as readers see it, with the attention on its slices."""
    crops = examination.crops
    is_mirrored = CELLS[SLOTS[slot].cell].side == "right" and VIEWS[SLOTS[slot].view].sequence == AXIAL_T2
    images = without_margin(crops.images[slot])
    weights = examination.slice_weights[slot]
    return view_bgr(images, crops.present[slot], weights, is_mirrored=is_mirrored)


def slot_png(examination: Examination, slot: int) -> bytes:
    """The same as PNG."""
    return cv2.imencode(".png", slot_bgr(examination, slot))[1].tobytes()


@styled
def gallery(cells: pd.DataFrame, examinations: Sequence[Examination]) -> Picture:
    """The views of some cells, a row each, as wide as their slices; bars below a slice are its attention.

    `cells` (as `evaluate.classification.worst_cells`) say what was read; examinations are of their studies.
    """
    rows = [(row, one, slots_of(row["cell"])) for row, one in zip(cells.to_dict("records"), examinations)]
    if not rows:
        return empty_figure("no cell to show")
    widest = max(len(slots) for *_, slots in rows)
    figure = new_figure(0.8 + 3.4 * widest, 1.5 * len(rows) + 0.4)
    panels = figure.subplots(len(rows), widest, squeeze=False)
    for axes, (row, one, slots) in zip(panels, rows):
        for panel, slot in itertools.zip_longest(axes, slots):
            panel.set_axis_off()
            if slot is not None:
                show_slot(panel, one, slot)
        axes[0].text(-0.02, 0.5, _said(row), transform=axes[0].transAxes, ha="right", va="center", fontsize=7)
    return figure


def show_slot(axes: Axes, examination: Examination, slot: int) -> None:
    """One of SLOTS as `slot_bgr` draws it, under the name of its sequence."""
    axes.set_axis_off()
    axes.imshow(slot_bgr(examination, slot)[..., ::-1])
    axes.set_title(VIEWS[SLOTS[slot].view].sequence, fontsize=7, pad=2)


def _said(row: Mapping[Hashable, Any]) -> str:
    cell = CELLS[row["cell"]]
    name = condition2text[cell.condition].replace(" ", "\n", 1)
    read = f"label {SEVERITIES[row['severity']]},\npredicted {row['probability']:.1%}"
    return f"study {row['study_id']}\n{name}\n{level2text[cell.level]}\n{read}"


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
