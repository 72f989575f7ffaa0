"""Pictures of stacks: montages, planes with landmarks, the order and place of slices, grey options."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from kitlib.errors import DataError
from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from kitlib.mri.stack import Plane, Stack
from kitlib.mri.study import Series, Study
from kitlib.report.style import (
    LINE_COLOURS,
    QUIET,
    Picture,
    empty_figure,
    new_figure,
    sequence2colour,
    severity2marker,
    styled,
)
from kitlib.terms import EMPTY, SEVERITIES, level2text

Points = pd.DataFrame
"""Landmarks: series_id, instance_number, condition, level, x, y (pixels of the stack), severity (code)."""
NO_POINTS = pd.DataFrame(columns=["series_id", "instance_number", "condition", "level", "x", "y", "severity"])

SHOWN_PERCENTILES = (1, 99.5)
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
        side = condition.split("_")[0] if condition.startswith(("left_", "right_")) else ""
        # On an axial slice the patient's right is at the left: names point away from the spine.
        outwards = -1 if side == "right" and stack.plane == "axial" else 1
        _draw_point(axes, x, y, f"{level2text[level]} {side}".strip(), code, outwards)


def _draw_point(axes: Axes, x: float, y: float, text: str, code: int, outwards: int) -> None:
    marker, colour = ("o", QUIET) if code == EMPTY else severity2marker[SEVERITIES[code]]
    axes.plot(x, y, marker, markersize=7, mfc="none", mec=colour, mew=1.5, path_effects=OUTLINE)
    ha = "left" if outwards > 0 else "right"
    name = axes.annotate(text, (x, y), (8 * outwards, 0), textcoords="offset points", ha=ha, va="center")
    name.set(color=colour, fontsize=7, path_effects=OUTLINE)


@styled
def montage(stacks: Sequence[Stack], title: str, *, columns: int = 6) -> Picture:
    """All slices of a series in the order of the patient, each with its position along its stack's normal."""
    slices = [(stack, index) for stack in sorted(stacks, key=_middle_mm) for index in range(len(stack))]
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
        handles = [
            figure.axes[0].plot([], [], marker, mfc="none", mec=colour, mew=1.5, path_effects=OUTLINE)[0]
            for marker, colour in severity2marker.values()
        ]
        figure.legend(handles, list(severity2marker), loc="outside lower center", ncols=len(handles))
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


def _middle_mm(stack: Stack) -> float:
    """Where a stack lies among others of its plane, whose normals differ a little."""
    axis = int(np.abs(stack.normal).argmax())
    return float(stack.centres_mm[:, axis].mean())


def height_per_width(stack: Stack) -> float:
    """Height of a slice in mm over its width in mm."""
    _, height, width = stack.pixels.shape
    return height * stack.spacing_mm[0] / (width * stack.spacing_mm[1])


@styled
def slice_order(stack: Stack, order: Sequence[int], title: str, *, columns: int = 12) -> Picture:
    """The slices of a stack in a given order, and below them their positions along the normal."""
    if not len(order):
        return empty_figure("no slices")
    shown = list(order)[:columns]
    picture_in = 11 / columns * height_per_width(stack) + 0.3
    figure = new_figure(11, picture_in + 2.3, title)
    top, bottom = figure.subfigures(2, 1, height_ratios=(picture_in + 0.2, 2))
    for axes, index in zip(top.subplots(1, columns, squeeze=False)[0], [*shown, *[None] * columns]):
        axes.set_axis_off()
        if index is not None:
            show_slice(axes, stack, index)
            axes.set_title(f"{stack.positions_mm[index]:.0f} mm", fontsize=7, pad=2)
    graph = bottom.subplots()
    graph.plot(range(1, len(order) + 1), stack.positions_mm[list(order)], "o-", markersize=4)
    graph.set(xlabel="place in the order", ylabel="position along\nthe normal (mm)")
    graph.grid(axis="y")
    return figure


@styled
def stack_positions(study: Study, title: str) -> Picture:
    """Where every slice of a study cuts the patient, seen from the side and from the front."""
    if not any(series.stacks for series in study.series):
        return empty_figure("no stack to place")
    figure = new_figure(9, 4.8, title)
    panels = (
        (1, "seen from the side", "front to back, y (mm)"),
        (0, "seen from the front", "right to left, x (mm)"),
    )
    for axes, (across, name, label) in zip(figure.subplots(1, 2, sharey=True), panels):
        for series in study.series:
            for stack in series.stacks:
                outlines = [_outline(stack, index)[:, [across, 2]] for index in range(len(stack))]
                axes.add_collection(
                    LineCollection(outlines, colors=_colour(series.sequence), linewidths=0.7, alpha=0.8)
                )
        axes.autoscale_view()
        axes.set(title=name, xlabel=label)
        axes.set_aspect("equal", adjustable="datalim")
    figure.axes[0].set_ylabel("foot to head, z (mm)")
    sequences = dict.fromkeys(series.sequence for series in study.series)
    handles = [Line2D([], [], color=_colour(name), label=name or "unknown") for name in sequences]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _colour(sequence: str | None) -> str:
    return sequence2colour.get(sequence or "", QUIET)


def _outline(stack: Stack, index: int) -> np.ndarray:
    """The closed outline of one slice in patient millimetres, (5, 3)."""
    _, height, width = stack.pixels.shape
    columns = np.array([0, width - 1, width - 1, 0, 0], dtype=float)
    rows = np.array([0, 0, height - 1, height - 1, 0], dtype=float)
    return stack.to_patient(columns, rows, np.full(5, float(index)))


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
        histogram.hist(grey.ravel(), bins=64, range=(0, 256), color=LINE_COLOURS[0])
        histogram.set(xlabel="grey value (0-255)", ylabel="pixels")
    return figure


def first_readable(series: pd.DataFrame, plane: Plane = "sagittal") -> tuple[int, Stack]:
    """The study and the largest stack of the first series of that plane, else of the first that can be read.

    `series` has study_id and folder; DataError where nothing can be read.
    """
    other: tuple[int, Stack] | None = None
    for study_id, folder in zip(series["study_id"], series["folder"]):
        stacks = read_series(Path(folder), Ledger())
        if stacks and stacks[0].plane == plane:
            return int(study_id), stacks[0]
        if stacks and other is None:
            other = int(study_id), stacks[0]
    if other is None:
        raise DataError(
            f"none of {len(series)} series can be read",
            hint="Without images only 01_eda runs. Give the folder that holds train_images.",
        )
    return other
