"""Where a model attends: attention over slices and over patches, beside the annotated landmarks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from kitlib.embed.field_of_view import FIELDS_OF_VIEW, square_of
from kitlib.evaluate.attention import AttentionRecord, StacksOf, along_axis, annotated_mm
from kitlib.inputs.pixels import PixelDataset
from kitlib.models.vit.model import ViTModel
from kitlib.mri.stack import Stack
from kitlib.mri.study import Study
from kitlib.report.figures.images import OUTLINE
from kitlib.report.style import Picture, empty_figure, new_figure, note, sequence2colour, styled
from kitlib.terms import AXIAL_T2, CELLS, SAGITTAL_T1, SAGITTAL_T2, Cell, group2sequence

sequence2axis = {
    SAGITTAL_T1: "right to left, x (mm)",
    SAGITTAL_T2: "right to left, x (mm)",
    AXIAL_T2: "foot to head, z (mm)",
}


@styled
def plot_weights(
    weights: Mapping[str, tuple[np.ndarray, np.ndarray]], marked_mm: Mapping[str, Sequence[float]], title: str
) -> Picture:
    """Attention over the slices of one study; the annotated slices are dotted lines.

    `weights` holds, per sequence, the slices' positions in the patient in mm and their weights.
    """
    if not weights:
        return empty_figure("this model has no attention to show")
    figure = new_figure(11, 2.9, title)
    panels = figure.subplots(1, len(weights), squeeze=False)[0]
    for axes, (sequence, (positions_mm, values)) in zip(panels, weights.items()):
        axes.set_title(sequence)
        if not len(values):
            note(axes, "not in this study")
            continue
        axes.vlines(positions_mm, 0, values, color=sequence2colour[sequence], linewidth=3)
        for position_mm in marked_mm.get(sequence, []):
            axes.axvline(position_mm, color="black", linewidth=0.8, linestyle=":")
        axes.set(xlabel=sequence2axis[sequence], ylim=(0, None))
    figure.axes[0].set_ylabel("attention weight")
    return figure


def plot_attention(
    record: AttentionRecord, study_id: int, cell: Cell, landmarks: pd.DataFrame, stacks_of: StacksOf
) -> Picture:
    """One cell's attention in one study, and the slices on which that cell was annotated."""
    row = record.study_ids.tolist().index(study_id)
    weights = {
        sequence: (along_axis(sequence, positions_mm[row]), record.weights[row][sequence][CELLS.index(cell)])
        for sequence, positions_mm in record.positions_mm.items()
    }
    sequence = group2sequence[cell.group]
    points_mm: list[float] = []
    for series_id, points in landmarks_of(landmarks, study_id, cell).groupby("series_id"):
        points_mm += annotated_mm(points, stacks_of(study_id, cast(int, series_id)), sequence)
    title = f"Study {study_id}, {cell.name.replace('_', ' ')}: attention over slices (dotted: annotated)"
    return plot_weights(weights, {sequence: points_mm}, title)


def landmarks_of(landmarks: pd.DataFrame, study_id: int, cell: Cell) -> pd.DataFrame:
    """The annotated points of one cell of one study."""
    here = (landmarks["study_id"] == study_id) & (landmarks["condition"] == cell.condition)
    return landmarks[here & (landmarks["level"] == cell.level)]


@dataclass(frozen=True, eq=False)
class PatchAttention:
    """The slice that a cell's attention is on most, as the model reads it, and the attention over it."""

    title: str
    pixels: np.ndarray  # (px, px)
    shares: np.ndarray  # (grid, grid), of the cell's attention over all slices of the study
    landmark_px: tuple[float, float] | None = None  # x and y of the annotated point on these pixels
    slices_away: int = 0  # from this slice to the annotated one


@styled
def plot_patches(slices: Sequence[PatchAttention]) -> Picture:
    """Each slice, above the same slice under its attention; a cross is the annotated point.

    A faint cross was put on another slice of the series. Each map has a colour scale of its own: the share of
    the attention that lies in a patch.
    """
    if not slices:
        return empty_figure("this model has no attention over patches to show")
    figure = new_figure(3.3 * len(slices), 6.4, "Attention over the patches of the most attended slice")
    axes = figure.subplots(2, len(slices), squeeze=False)
    for (above, below), shown in zip(axes.T, slices):
        px = len(shown.pixels)
        extent = (-0.5, px - 0.5, px - 0.5, -0.5)
        for panel in (above, below):
            panel.imshow(shown.pixels, extent=extent)
            panel.set_axis_off()
            if shown.landmark_px is not None:
                look = {"color": "#7fd3ff", "alpha": 0.5 if shown.slices_away else 1.0}
                panel.plot(*shown.landmark_px, "x", ms=9, mew=2, path_effects=OUTLINE, **look)
        image = below.imshow(shown.shares, extent=extent, cmap="inferno", alpha=0.55, vmin=0)
        figure.colorbar(image, ax=below, shrink=0.8, label="share of attention")
        above.set_title(shown.title, fontsize=8)
        below.set_title(f"{shown.shares.sum():.0%} of the attention is on this slice", fontsize=8)
    return figure


def patch_attention(
    model: ViTModel,
    data: PixelDataset,
    cell: Cell,
    landmarks: pd.DataFrame,
    study: Study,
    *,
    field_of_view: str,
) -> PatchAttention:
    """The attention of a model for a cell of one study, whose tokens are pixels of this field of view.

    `study` is the same study as it was read, not prepared: landmarks count its pixels.
    """
    index, shares = model.attention_map(data, cell)
    bag = data.tokens[group2sequence[cell.group]][0]
    pixels = bag.vectors[index].reshape(data.px, data.px)
    title = f"Study {study.study_id}\n{cell.name.replace('_', ' ')}"
    found = _landmark_near(study, landmarks_of(landmarks, study.study_id, cell), bag.positions_mm[index])
    if found is None:
        return PatchAttention(title, pixels, shares)
    stack, xy, slices_away = found
    return PatchAttention(title, pixels, shares, on_square(xy, stack, data.px, field_of_view), slices_away)


def _landmark_near(
    study: Study, points: pd.DataFrame, centre_mm: np.ndarray
) -> tuple[Stack, tuple[float, float], int] | None:
    """Of the stacks with a point the one nearest to a slice's centre (3,), its point, and slices between."""
    firsts = points.drop_duplicates("series_id").to_dict("records")
    stacks = [
        (np.linalg.norm(stack.centres_mm - centre_mm, axis=1), stack, point)
        for series in study.series
        for point in firsts
        if point["series_id"] == series.series_id
        for stack in series.stacks
    ]
    if not stacks:
        return None
    away_mm, stack, point = min(stacks, key=lambda placed: placed[0].min())
    annotated = np.flatnonzero(stack.instance_numbers == point["instance_number"])
    if not len(annotated):
        return None
    return stack, (float(point["x"]), float(point["y"])), abs(int(annotated[0]) - int(away_mm.argmin()))


def on_square(xy: tuple[float, float], stack: Stack, px: int, field_of_view: str) -> tuple[float, float]:
    """A pixel (x, y) of a stack's slices on the square that `embed.field_of_view` makes of them."""
    side, first = square_of(stack.pixels.shape[1:], FIELDS_OF_VIEW[field_of_view].get(stack.plane, 1.0))
    x, y = ((at - start + 0.5) * px / side - 0.5 for at, start in zip(xy, first[::-1]))
    return float(x), float(y)
