"""Pictures of stacks: montages, planes with landmarks, the order and place of slices, grey options."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from kitlib.errors import DataError
from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from kitlib.mri.stack import Stack
from kitlib.mri.study import Series, Study
from kitlib.report import style
from kitlib.report.style import Marker, Picture, empty_figure, new_figure, styled
from kitlib.terms import EMPTY, SEVERITIES, Cell, Side, level2text

Points = pd.DataFrame
"""Landmarks: series_id, instance_number, condition, level, x, y (pixels of the stack), severity (code)."""
NO_POINTS = pd.DataFrame(columns=["series_id", "instance_number", "condition", "level", "x", "y", "severity"])

SHOWN_PERCENTILES = (1, 99.5)
ORDERED = 12  # slices shown of an order
OUTLINE = [withStroke(linewidth=2.5, foreground="black")]  # fluid is as bright as the points on it


def points_of(landmarks: pd.DataFrame, labels: pd.DataFrame, study_id: int) -> Points:
    """The landmarks of a study with the severity of their cell."""
    points = landmarks[landmarks["study_id"] == study_id]
    severities = labels.loc[study_id].to_dict() if study_id in labels.index else {}
    cells = points["condition"] + "_" + points["level"]
    return points.assign(severity=[severities.get(cell, EMPTY) for cell in cells])


def show_slice(axes: Axes, stack: Stack, index: int, points: Points = NO_POINTS) -> None:
    """Draw one slice in its true proportions, with landmarks coloured by severity."""
    pixels = np.asarray(stack.pixels[index], dtype=float)
    low, high = np.percentile(pixels, SHOWN_PERCENTILES)
    rows_mm, columns_mm = stack.spacing_mm
    axes.imshow(pixels, vmin=low, vmax=max(high, low + 1), aspect=rows_mm / columns_mm)
    axes.set_axis_off()
    here = points[points["instance_number"] == stack.instance_numbers[index]]
    columns = ["condition", "level", "x", "y", "severity"]
    for condition, level, x, y, code in here[columns].itertuples(index=False, name=None):
        side = Cell(condition, level).side
        marker = ("o", style.QUIET) if code == EMPTY else style.MARKERS[code]
        name = f"{level2text[level]} {side or ''}".strip()
        draw_point(axes, stack, (x, y), side, name, marker, 7)


def draw_point(
    axes: Axes, stack: Stack, xy: tuple[float, float], side: Side | None, text: str, marker: Marker, ms: int
) -> None:
    """Draw a point, `ms` typographic points across, on a slice of a stack, with its name beside it."""
    _outlined(axes, *xy, *marker, ms)
    # On an axial slice the patient's right is at the left: names point away from the spine.
    shift, ha = (-8, "right") if side == "right" and stack.plane == "axial" else (8, "left")
    name = axes.annotate(text, xy, (shift, 0), textcoords="offset points", ha=ha, va="center")
    name.set(color=marker[1], fontsize=7, path_effects=OUTLINE)


def marker_legend(figure: Picture, name2marker: Mapping[str, Marker]) -> None:
    """Name, below a figure, the markers of its points."""
    handles = [_outlined(figure.axes[0], [], [], *marker) for marker in name2marker.values()]
    figure.legend(handles, list(name2marker), loc="outside lower center", ncols=len(handles))


def _outlined(axes: Axes, x: Any, y: Any, marker: str, colour: str, ms: float = 6) -> Line2D:
    return axes.plot(x, y, marker, ms=ms, mfc="none", mec=colour, mew=1.5, path_effects=OUTLINE)[0]


@styled
def montage(stacks: Sequence[Stack], title: str, *, columns: int = 6) -> Picture:
    """All slices of a series in the order of the patient, each with its position along its stack's normal."""
    slices = in_patient_order(stacks)
    if not slices:
        return empty_figure("no slices")
    columns = min(columns, len(slices))
    rows = -(-len(slices) // columns)
    height_in = rows * (11 / columns * height_per_width(slices[0][0]) + 0.2) + 0.3
    figure = new_figure(11, height_in, title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(slices) :]:
        axes.set_axis_off()
    for axes, (stack, index) in zip(panels, slices):
        show_slice(axes, stack, index)
        axes.set_title(f"{stack.positions_mm[index]:.1f} mm", fontsize=7, pad=2)
    return figure


@styled
def planes(study: Study, title: str, points: Points = NO_POINTS) -> Picture:
    """One slice of each sequence: the one with most landmarks, else the middle one of the largest stack."""
    shown = study.sequences
    if not shown:
        return empty_figure("no image of this study can be shown")
    figure = new_figure(3.7 * len(shown), 4.9, title)
    for axes, sequence in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown):
        several = [series for series in study.series if series.sequence == sequence]
        stack, index, own = fullest_slice(several, points)
        show_slice(axes, stack, index, own)
        axes.set_title(f"{sequence}, {stack.plane}\nslice {index + 1} of {len(stack)}")
    if len(points):
        marker_legend(figure, dict(zip(SEVERITIES, style.MARKERS)))
    return figure


def fullest_slice(several: Sequence[Series], points: Points) -> tuple[Stack, int, Points]:
    """Stack, index and points of the slice with most of them; without any, the largest stack's middle one."""
    found = []
    for series in several:
        own = points[points["series_id"] == series.series_id]
        for stack in series.stacks:
            counts = np.array([(own["instance_number"] == number).sum() for number in stack.instance_numbers])
            index = int(counts.argmax()) if counts.any() else len(stack) // 2
            found.append((counts.max(), len(stack), stack, index, own))
    _, _, stack, index, own = max(found, key=lambda ranked: ranked[:2])
    return stack, index, own


def in_patient_order(stacks: Iterable[Stack]) -> list[tuple[Stack, int]]:
    """The slices of a series or sequence, its stacks end to end as they lie in the patient."""
    return [(stack, index) for stack in sorted(stacks, key=_middle_mm) for index in range(len(stack))]


def _middle_mm(stack: Stack) -> float:
    """Where a stack lies among others of its plane, whose normals differ a little."""
    axis = int(np.abs(stack.normal).argmax())
    return float(stack.centres_mm[:, axis].mean())


def height_per_width(stack: Stack) -> float:
    """Height of a slice in mm over its width in mm."""
    _, height, width = stack.pixels.shape
    return height * stack.spacing_mm[0] / (width * stack.spacing_mm[1])


@styled
def slice_order(stack: Stack, order: Sequence[int], title: str) -> Picture:
    """The slices of a stack in a given order, and below them their positions along the normal."""
    if not len(order):
        return empty_figure("no slices")
    picture_in = 11 / ORDERED * height_per_width(stack) + 0.3
    figure = new_figure(11, picture_in + 2.3, title)
    top, bottom = figure.subfigures(2, 1, height_ratios=(picture_in + 0.2, 2))
    pictures = top.subplots(1, ORDERED)
    for axes in pictures[len(order) :]:
        axes.set_axis_off()
    for axes, index in zip(pictures, order):
        show_slice(axes, stack, index)
        axes.set_title(f"{stack.positions_mm[index]:.0f} mm", fontsize=7, pad=2)
    graph = bottom.subplots()
    graph.plot(range(1, len(order) + 1), stack.positions_mm[list(order)], "o-", markersize=4)
    graph.set(xlabel="position in the order", ylabel="position along\nthe normal (mm)")
    graph.grid(axis="y")
    return figure


@styled
def stack_positions(study: Study, title: str) -> Picture:
    """Where every slice of a study cuts the patient, seen from the side and from the front."""
    placed = [(series.sequence, stack) for series in study.series for stack in series.stacks]
    if not placed:
        return empty_figure("no stack to place")
    figure = new_figure(9, 4.8, title)
    views = (1, "the side", "front to back, y (mm)"), (0, "the front", "right to left, x (mm)")
    for axes, (across, name, label) in zip(figure.subplots(1, 2, sharey=True), views):
        for sequence, stack in placed:
            outlines = list(_outlines_mm(stack)[..., [across, 2]])
            lines = LineCollection(outlines, colors=_colour(sequence), linewidths=0.7, alpha=0.8)
            axes.add_collection(lines)
        axes.autoscale_view()
        axes.set(title=f"seen from {name}", xlabel=label)
        axes.set_aspect("equal", adjustable="datalim")
    figure.axes[0].set_ylabel("foot to head, z (mm)")
    sequences = dict.fromkeys(series.sequence for series in study.series)
    handles = [Line2D([], [], color=_colour(name), label=name or "unknown") for name in sequences]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _colour(sequence: str | None) -> str:
    return style.sequence2colour.get(sequence or "", style.QUIET)


def _outlines_mm(stack: Stack) -> np.ndarray:
    """The closed outlines of the slices in the patient, (N, 5, 3)."""
    _, height, width = stack.pixels.shape
    columns, rows = np.array([0, 1, 1, 0, 0]) * (width - 1), np.array([0, 0, 1, 1, 0]) * (height - 1)
    return stack.to_patient(columns, rows, np.arange(len(stack))[:, None])


@styled
def grey_options(
    pixels: np.ndarray, options: Mapping[str, Callable[[np.ndarray], np.ndarray]], title: str
) -> Picture:
    """One uint8 slice (H, W) under each grey option, with the histogram below it."""
    figure = new_figure(4.2 * len(options), 5.4, title)
    grid = figure.subplots(2, len(options), height_ratios=(3, 1.2), squeeze=False)
    for (picture, histogram), (name, option) in zip(grid.T, options.items()):
        grey = option(pixels[None])[0]
        picture.imshow(grey, vmin=0, vmax=255)
        picture.set_axis_off()
        picture.set_title(name)
        histogram.hist(grey.ravel(), bins=64, range=(0, 256))
        histogram.set(xlabel="grey value (0-255)", ylabel="pixels")
    return figure


def first_readable(series: pd.DataFrame) -> tuple[int, Stack]:
    """The study and the largest stack of the first sagittal series, else of the first that can be read.

    `series` has study_id and folder; DataError where nothing can be read.
    """
    others = []
    for study_id, folder in zip(series["study_id"], series["folder"]):
        for stack in read_series(Path(folder), Ledger())[:1]:
            if stack.plane == "sagittal":
                return int(study_id), stack
            others.append((int(study_id), stack))
    if others:
        return others[0]
    hint = "Without images only 01_eda runs. Give the folder that holds train_images."
    raise DataError(f"none of {len(series)} series can be read", hint=hint)
