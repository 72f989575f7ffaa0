"""Figures of phantoms: whole slices, one place at three severities, and real slices beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from kitlib.errors import DataError
from kitlib.phantom.statistics import GROUP2BOUND
from kitlib.phantom.study import PhantomStudy
from kitlib.report.figures.images import SHOWN_PERCENTILES, show_slice
from kitlib.report.style import LINE_COLOURS, QUIET, Picture, new_figure, styled
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, SEVERITIES, Cell

GRADES = (0.4, 1.5, 2.6)
"""One grade within each severity, in the order of SEVERITIES."""

REAL_PERCENTILES = (1, 95)
"""The window beside real slices, which came as 8 bit with some 5 % of their pixels saturated."""

CANAL = Cell("spinal_canal_stenosis", "l4_l5")
FORAMEN = Cell("left_neural_foraminal_narrowing", "l4_l5")
RECESS = Cell("left_subarticular_stenosis", "l4_l5")


@dataclass(frozen=True)
class CloseUp:
    """A cell as one sequence shows it, cropped to a square around its place."""

    title: str
    cell: Cell
    sequence: str
    crop_mm: int


CLOSE_UPS = (
    CloseUp("spinal canal on sagittal T2/STIR", CANAL, SAGITTAL_T2, 76),
    CloseUp("spinal canal on axial T2", CANAL, AXIAL_T2, 84),
    CloseUp("left foramen on sagittal T1", FORAMEN, SAGITTAL_T1, 60),
    CloseUp("left recess on axial T2", RECESS, AXIAL_T2, 60),
)
PLANES = (
    ("mid-sagittal T2/STIR", CANAL, SAGITTAL_T2),
    ("parasagittal T1", FORAMEN, SAGITTAL_T1),
    ("axial T2 at L4/L5", RECESS, AXIAL_T2),
)


@dataclass(frozen=True, eq=False)
class RealSlice:
    """A slice of a patient, upright, and the cell of phantoms through which theirs are like it."""

    name: str
    cell: Cell
    pixels: np.ndarray  # (H, W) uint8


# The files of SPIDER state neither contrast nor place; both were judged by eye.
sequence2real = {
    SAGITTAL_T2: (("10008_12.png", CANAL), ("10010_6.png", CANAL), ("10015_8.png", CANAL)),
    SAGITTAL_T1: (("10009_7.png", CANAL), ("10009_4.png", FORAMEN), ("10014_12.png", FORAMEN)),
}

WIDTH_IN = 10.5


def read_real(folder: Path) -> dict[str, list[RealSlice]]:
    """The real slices of `sequence2real` that stand in a folder; DataError for an unreadable one."""
    found: dict[str, list[RealSlice]] = {}
    for sequence, real in sequence2real.items():
        for name, cell in real:
            if (folder / name).is_file():
                found.setdefault(sequence, []).append(RealSlice(name, cell, _upright(folder / name)))
    return found


def _upright(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise DataError("the image cannot be read", where=path, hint="Fetch it again or take it away.")
    return pixels[::-1]  # the files are upside down


def place_of(study: PhantomStudy, cell: Cell) -> np.ndarray:
    """True place (3,) of a cell in the patient, in mm; DataError where it has no landmark."""
    points = study.landmarks
    here = points[(points["condition"] == cell.condition) & (points["level"] == cell.level)]
    if here.empty:
        raise DataError(f"phantom {study.study_id} has no landmark of {cell.name}")
    return here[["x_mm", "y_mm", "z_mm"]].to_numpy(float)[0]


@styled
def planes(studies: Sequence[PhantomStudy]) -> Picture:
    """Three whole slices of each phantom, a row each."""
    figure = new_figure(WIDTH_IN, len(studies) * (0.2 + WIDTH_IN / len(PLANES)))
    rows = figure.subplots(len(studies), len(PLANES), squeeze=False)
    for row, study in zip(rows, studies):
        for axes, (title, cell, sequence) in zip(row, PLANES):
            _show(axes, study, sequence, place_of(study, cell), bar_mm=50)
            axes.set_title(f"Phantom {study.study_id}, {title}")
    return figure


@styled
def severities(close_up: CloseUp, people: Sequence[Sequence[PhantomStudy]]) -> Picture:
    """One place of each person, a row each, as it looks at the three GRADES of its cell.

    The window of a row is that of its first square, so that grey values compare.
    """
    side_in = 0.8 * WIDTH_IN / len(GRADES)
    figure = new_figure(side_in * len(GRADES), (side_in + 0.2) * len(people))
    rows = figure.subplots(len(people), len(GRADES), squeeze=False)
    for row, studies in zip(rows, people):
        place_mm = place_of(studies[0], close_up.cell)
        for axes, study, severity, grade in zip(row, studies, SEVERITIES, GRADES):
            _show(axes, study, close_up.sequence, place_mm, bar_mm=20, side_mm=close_up.crop_mm)
            axes.images[0].set_clim(*_window(row[0]))
            axes.set_title(f"Phantom {study.study_id}, {severity} (grade {grade})")
    return figure


@styled
def beside_real(sequence: str, real: Sequence[RealSlice], studies: Sequence[PhantomStudy]) -> Picture:
    """Real slices above those of phantoms: one window, REAL_PERCENTILES, and one height for all."""
    figure = new_figure(WIDTH_IN, 0.4 + 2 * WIDTH_IN / len(real))
    upper, lower = figure.subplots(2, len(real), squeeze=False)
    for axes, patient in zip(upper, real):
        low, high = np.percentile(patient.pixels, REAL_PERCENTILES)
        axes.imshow(patient.pixels, vmin=low, vmax=high, interpolation="bicubic")
        axes.set_title(f"REAL, {patient.name}")
    for axes in (*upper, *lower):
        axes.set_axis_off()
    for axes, patient, study in zip(lower, real, studies):
        pixels = _show(axes, study, sequence, place_of(study, patient.cell), bar_mm=50)
        axes.images[0].set_clim(*np.percentile(pixels, REAL_PERCENTILES))
        axes.set_title(f"Phantom {study.study_id}")
    return figure


@styled
def drawn_against_real(compared: pd.DataFrame) -> Picture:
    """Each row of `statistics.compare` as a point; the bands are the bounds of prevalence and correlation."""
    panels = {"Shares": ["prevalence", "any severe", "empty"]}
    if "left-right" in set(compared["group"]):
        panels["Rank correlations of two cells"] = ["left-right", "neighbours"]
    figure = new_figure(WIDTH_IN, 4.6)
    for axes, (title, groups) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        bound = GROUP2BOUND[groups[0]]
        axes.fill_between([0, 1], [-bound, 1 - bound], [bound, 1 + bound], color="#e8edf1", linewidth=0)
        axes.axline((0, 0), slope=1, color=QUIET, linewidth=0.8)
        for group, colour in zip(groups, LINE_COLOURS):
            part = compared[compared["group"] == group]
            axes.plot(part["real"], part["drawn"], "o", ms=5, alpha=0.8, color=colour, label=group)
        axes.set(title=title, xlabel="real", ylabel="drawn", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.legend(loc="lower right")
    return figure


def _show(
    axes: Axes, study: PhantomStudy, sequence: str, place_mm: np.ndarray, *, bar_mm: int, side_mm: int = 0
) -> np.ndarray:
    """Show the slice (H, W) nearest to a place, or a square around that place, with a bar of some length."""
    shown = study.study.nearest(sequence, place_mm)
    if shown is None:
        raise DataError(f"phantom {study.study_id} has no {sequence}")
    stack = shown.stack
    show_slice(axes, stack, shown.index)
    axes.images[0].set_interpolation("bicubic")  # enlarged pixels are smooth, as in viewers
    axes.set_autoscale_on(False)
    if side_mm:
        col, row, _ = stack.to_pixel(place_mm)
        rows, cols = (side_mm / 2 / spacing for spacing in stack.spacing_mm)
        axes.set(xlim=(col - cols, col + cols), ylim=(row + rows, row - rows))
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = left + 0.05 * (right - left), bottom + 0.06 * (top - bottom)
    bar: dict[str, Any] = {"color": "white", "path_effects": [withStroke(linewidth=4, foreground="black")]}
    axes.plot([x, x + bar_mm / stack.spacing_mm[1]], [y, y], linewidth=2, **bar)
    axes.annotate(f"{bar_mm} mm", (x, y), (0, 5), textcoords="offset points", **bar)
    return stack.pixels[shown.index]


def _window(axes: Axes) -> np.ndarray:
    """Grey values at SHOWN_PERCENTILES of what the panel shows of its slice."""
    shown = [slice(max(0, int(min(ends))), int(max(ends)) + 1) for ends in (axes.get_ylim(), axes.get_xlim())]
    return np.percentile(np.asarray(axes.images[0].get_array())[tuple(shown)], SHOWN_PERCENTILES)
