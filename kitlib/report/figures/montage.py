"""Pictures of stacks: montages, and the planes of a study with their landmarks."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from kitlib.mri.stack import Stack
from kitlib.report.style import QUIET, Picture, empty_figure, look, new_figure, severity2mark
from kitlib.terms import EMPTY, SEQUENCES, SEVERITIES, level2text

Points = pd.DataFrame
"""Landmarks of one series: instance_number, condition, level, x, y (pixels of the stack), severity (code)."""

SHOWN_PERCENTILES = (1, 99.5)
OUTLINE = [withStroke(linewidth=2.5, foreground="black")]  # fluid is as bright as the marks on it


def points_of(landmarks: pd.DataFrame, labels: pd.DataFrame, study_id: int, series_id: int) -> Points:
    """The landmarks of one series with the severity of their cell."""
    here = (landmarks["study_id"] == study_id) & (landmarks["series_id"] == series_id)
    points = landmarks[here]
    severities = labels.loc[study_id].to_dict() if study_id in labels.index else {}
    cells = points["condition"] + "_" + points["level"]
    return points.assign(severity=[severities.get(cell, EMPTY) for cell in cells])


def show_slice(axes: Axes, stack: Stack, index: int, points: Points | None = None) -> None:
    """Draw one slice in its true proportions, with landmarks coloured by severity."""
    pixels = np.asarray(stack.pixels[index], dtype=float)
    low, high = np.percentile(pixels, SHOWN_PERCENTILES)
    rows_mm, columns_mm = stack.spacing_mm
    axes.imshow(pixels, vmin=low, vmax=max(high, low + 1), aspect=rows_mm / columns_mm)
    axes.set_axis_off()
    if points is not None:
        here = points[points["instance_number"] == stack.instance_numbers[index]]
        columns = ["condition", "level", "x", "y", "severity"]
        for condition, level, x, y, code in here[columns].itertuples(index=False, name=None):
            side = condition.split("_")[0] if condition.startswith(("left_", "right_")) else ""
            # On an axial slice the patient's right is at the left: names point away from the spine.
            outwards = -1 if side == "right" and stack.plane == "axial" else 1
            _mark(axes, x, y, f"{level2text[level]} {side}".strip(), code, outwards)


def _mark(axes: Axes, x: float, y: float, text: str, code: int, outwards: int) -> None:
    marker, colour = ("o", QUIET) if code == EMPTY else severity2mark[SEVERITIES[code]]
    axes.plot(x, y, marker, markersize=7, mfc="none", mec=colour, mew=1.5, path_effects=OUTLINE)
    ha = "left" if outwards > 0 else "right"
    name = axes.annotate(text, (x, y), (8 * outwards, 0), textcoords="offset points", ha=ha, va="center")
    name.set(color=colour, fontsize=7, path_effects=OUTLINE)


@look
def montage(
    stacks: Sequence[Stack], title: str, *, columns: int = 6, points: Points | None = None
) -> Picture:
    """All slices of a series in the order of the patient, each with its position along its stack's normal."""
    places = [(stack, index) for stack in sorted(stacks, key=_middle_mm) for index in range(len(stack))]
    if not places:
        return empty_figure("no slices")
    columns = min(columns, len(places))
    rows = -(-len(places) // columns)
    height_in = rows * (11 / columns * height_per_width(places[0][0]) + 0.2) + 0.3
    figure = new_figure(11, height_in, title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(places) :]:
        axes.set_axis_off()
    for axes, (stack, index) in zip(panels, places):
        show_slice(axes, stack, index, points)
        axes.set_title(f"{stack.positions_mm[index]:.1f} mm", fontsize=7, pad=2)
    return figure


@look
def planes(stacks: Mapping[str, Sequence[Stack]], points: Mapping[str, Points], title: str) -> Picture:
    """One slice of each sequence: the one with most landmarks, else the middle one of the largest stack."""
    shown = {sequence: stacks[sequence] for sequence in SEQUENCES if stacks.get(sequence)}
    if not shown:
        return empty_figure("no image of this study can be shown")
    figure = new_figure(3.7 * len(shown), 4.9, title)
    for axes, (sequence, found) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown.items()):
        stack, index = fullest_slice(found, points.get(sequence))
        show_slice(axes, stack, index, points.get(sequence))
        axes.set_title(f"{sequence}, {stack.plane}\nslice {index + 1} of {len(stack)}")
    if points:
        marks = [
            figure.axes[0].plot([], [], marker, mfc="none", mec=colour, mew=1.5, path_effects=OUTLINE)[0]
            for marker, colour in severity2mark.values()
        ]
        figure.legend(marks, list(severity2mark), loc="outside lower center", ncols=len(marks))
    return figure


def fullest_slice(stacks: Sequence[Stack], points: Points | None) -> tuple[Stack, int]:
    """The slice with most landmarks; without any, the middle one of the largest stack."""
    numbers = np.empty(0, dtype=int) if points is None else points["instance_number"].to_numpy()
    counts = [(stack.instance_numbers[:, None] == numbers[None]).sum(axis=1) for stack in stacks]
    best = max(range(len(stacks)), key=lambda k: (counts[k].max(), len(stacks[k])))
    found = counts[best].any()
    return stacks[best], int(counts[best].argmax()) if found else len(stacks[best]) // 2


def _middle_mm(stack: Stack) -> float:
    """Where a stack lies among others of its plane, whose normals differ a little."""
    axis = int(np.abs(stack.normal).argmax())
    return float(stack.centres_mm[:, axis].mean())


def height_per_width(stack: Stack) -> float:
    """Height of a slice in mm over its width in mm."""
    _, height, width = stack.pixels.shape
    return height * stack.spacing_mm[0] / (width * stack.spacing_mm[1])
