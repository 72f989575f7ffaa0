"""Where on its slice a vision transformer looks: attention over patches, beside the annotated landmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kitlib.embed.field_of_view import FIELDS_OF_VIEW, square_of
from kitlib.inputs.slices import SliceDataset
from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from kitlib.mri.stack import Stack
from kitlib.report.figures.montage import OUTLINE
from kitlib.report.style import Picture, empty_figure, look, new_figure
from kitlib.terms import Cell, group2sequence

MARK_COLOUR = "#7fd3ff"
ATTENTION_COLOURS = "inferno"


@dataclass(frozen=True, eq=False)
class PatchAttention:
    """A slice as a model saw it, and what it looked at."""

    title: str
    pixels: np.ndarray  # (px, px)
    shares: np.ndarray  # (grid, grid), of the cell's attention over all slices of the study
    landmark_px: tuple[float, float] | None = None  # x and y of the annotated point on these pixels
    slices_away: int = 0  # from this slice to the annotated one


@look
def patches(looks: Sequence[PatchAttention]) -> Picture:
    """For each look the slice, above the same slice under its attention; a cross is the annotated point.

    A faint cross was put on another slice of the series. Each map has a colour scale of its own: the share of
    the attention that lies in a patch.
    """
    if not looks:
        return empty_figure("this model has no attention over patches to show")
    figure = new_figure(3.3 * len(looks), 6.4, "Attention over the patches of the slice looked at most")
    axes = figure.subplots(2, len(looks), squeeze=False)
    for (above, below), one in zip(axes.T, looks):
        px = len(one.pixels)
        extent = (-0.5, px - 0.5, px - 0.5, -0.5)
        for panel in (above, below):
            panel.imshow(one.pixels, extent=extent)
            panel.set_axis_off()
        seen = below.imshow(one.shares, extent=extent, cmap=ATTENTION_COLOURS, alpha=0.55, vmin=0)
        figure.colorbar(seen, ax=below, shrink=0.8, label="share of attention")
        above.set_title(one.title, fontsize=8)
        below.set_title(f"{one.shares.sum():.0%} of the attention is on this slice", fontsize=8)
        _cross(above, one)
        _cross(below, one)
    return figure


def _cross(axes: Axes, one: PatchAttention) -> None:
    if one.landmark_px is not None:
        alpha = 0.5 if one.slices_away else 1.0
        axes.plot(*one.landmark_px, "x", ms=9, mew=2, color=MARK_COLOUR, alpha=alpha, path_effects=OUTLINE)


class LooksAtPatches(Protocol):
    """What `models.vit` is."""

    def attention_map(self, features: SliceDataset, cell: Cell) -> tuple[int, np.ndarray]:
        """The slice of one study that a cell looks at most, and its attention over it, (grid, grid)."""


def asked(
    model: LooksAtPatches,
    study: SliceDataset,
    cell: Cell,
    landmarks: pd.DataFrame,
    folders: Mapping[int, str],
    *,
    field_of_view: str,
) -> PatchAttention:
    """Where a model looks for a cell of one study, whose tokens are pixels of this view.

    `folders` has the study's series as DICOM; those that carry the cell's landmark are read (`patch_look`).
    """
    study_id = int(study.study_ids[0])
    marked = set(landmarks_of(landmarks, study_id, cell)["series_id"]) & set(folders.keys())
    series = {one: read_series(Path(folders[one]), Ledger()) for one in marked}
    index, shares = model.attention_map(study, cell)
    slices = study.tokens[group2sequence[cell.group]][0]
    seen = slices.vectors[index], slices.positions_mm[index]
    return patch_look(study_id, cell, *seen, shares, landmarks, series, field_of_view=field_of_view)


def landmarks_of(landmarks: pd.DataFrame, study_id: int, cell: Cell) -> pd.DataFrame:
    """The annotated points of one cell of one study."""
    here = (landmarks["study_id"] == study_id) & (landmarks["condition"] == cell.condition)
    return landmarks[here & (landmarks["level"] == cell.level)]


def patch_look(
    study_id: int,
    cell: Cell,
    pixels: np.ndarray,
    place_mm: np.ndarray,
    shares: np.ndarray,
    landmarks: pd.DataFrame,
    series: Mapping[int, Sequence[Stack]],
    *,
    field_of_view: str = "whole",
) -> PatchAttention:
    """What a model saw of one slice (px * px,) at a place (3,), with the cell's annotated point where known.

    `series` holds the stacks of the cell's sequence as they were read: landmarks count their pixels.
    """
    px = round(pixels.size**0.5)
    name = f"Study {study_id}\n{cell.name.replace('_', ' ')}"
    points = landmarks_of(landmarks, study_id, cell).set_index("series_id")
    found = [
        (float(np.linalg.norm(stack.centres_mm - place_mm, axis=1).min()), series_id, order)
        for series_id, stacks in series.items()
        for order, stack in enumerate(stacks)
        if series_id in points.index
    ]
    if not found:
        return PatchAttention(name, pixels.reshape(px, px), shares)
    _, series_id, order = min(found)
    stack, point = series[series_id][order], points.loc[[series_id]].iloc[0]
    index = int(np.linalg.norm(stack.centres_mm - place_mm, axis=1).argmin())
    marked = np.flatnonzero(stack.instance_numbers == point["instance_number"])
    if not len(marked):
        return PatchAttention(name, pixels.reshape(px, px), shares)
    xy = on_square((point["x"], point["y"]), stack, px, field_of_view)
    return PatchAttention(name, pixels.reshape(px, px), shares, xy, int(abs(marked[0] - index)))


def on_square(xy: tuple[float, float], stack: Stack, px: int, field_of_view: str) -> tuple[float, float]:
    """A pixel (x, y) of a stack's slices on the square that `embed.field_of_view` makes of them."""
    side, first = square_of(stack.pixels.shape[1:], FIELDS_OF_VIEW[field_of_view].get(stack.plane, 1.0))
    x, y = ((at - start + 0.5) * px / side - 0.5 for at, start in zip(xy, first[::-1]))
    return float(x), float(y)
