"""Linked planes: each sequence of a study at the slice that comes nearest to one point of the patient."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse, Rectangle

from kitlib.localise.localiser import shipped_localiser
from kitlib.mri.stack import Stack
from kitlib.mri.study import SliceAt
from kitlib.predict.folder import CONDITION_NAMES, StudyResult
from kitlib.prepare.crops import stack_of
from kitlib.prepare.views import SLOTS, VIEWS, slots_of
from kitlib.report import style
from kitlib.report.figures.images import (
    OUTLINE,
    draw_point,
    height_per_width,
    in_patient_order,
    marker_legend,
    show_slice,
)
from kitlib.report.figures.levels import GUESS_CONFIDENCE
from kitlib.report.figures.views import show_slot
from kitlib.report.style import Picture, empty_figure, new_figure, note, styled
from kitlib.terms import (
    CELLS,
    CONDITIONS,
    SEVERITIES,
    SEVERITY_WEIGHTS,
    Landmark,
    landmark2cell,
    landmark_of,
    level2text,
    level_text,
)

WIDTH_IN, PLANE_IN, TALLEST = 11.0, 3.0, 1.3
NEAR_SLICES = 1  # places this many slices off are drawn, too
CROSS = "#ffffff"
LETTERS = ("RL", "AP", "FH")
"""What the two ends of x, y and z are called by those who read images."""


@dataclass(frozen=True, eq=False)
class LinkedPlanes:
    """A study and what was said of it, to be looked at from any point of the patient."""

    result: StudyResult

    @cached_property
    def places(self) -> dict[Landmark, tuple[np.ndarray, float]]:
        """Where views were cut, (3,), and the confidence in it; without views, what the localiser finds."""
        if self.result.examination is None:
            points = shipped_localiser().locate_study(self.result.study).points
            return {point.landmark: (point.patient_mm, point.confidence) for point in points}
        crops = self.result.examination.crops
        return {
            SLOTS[number].landmark: (crops.points_mm[number], float(crops.confidences[number]))
            for number in np.flatnonzero(crops.shown)
        }

    @property
    def gravest(self) -> int:
        """The cell (index into CELLS) whose likely severity weighs most."""
        return int((self.result.prediction.probabilities @ SEVERITY_WEIGHTS).argmax())

    def start_mm(self, cell: int) -> np.ndarray | None:
        """Where a cell is graded, else the middle of the first stack; None where there is no image."""
        if (landmark := landmark_of(CELLS[cell])) in self.places:
            return self.places[landmark][0]
        study = self.result.study
        middles = (
            stack.centres_mm[len(stack) // 2] for name in study.sequences for stack in study.stacks(name)
        )
        return next(middles, None)

    def shown(self, point_mm: np.ndarray) -> dict[str, SliceAt]:
        """By sequence the slice that comes nearest to a point."""
        study = self.result.study
        found = {sequence: study.nearest(sequence, point_mm) for sequence in study.sequences}
        return {sequence: shown for sequence, shown in found.items() if shown}

    def slices(self, sequence: str, point_mm: np.ndarray) -> list[SliceAt]:
        """All slices of a sequence in the order of the patient, each where it comes nearest to a point."""
        series = {stack: one for one in self.result.study.series for stack in one.stacks}
        order = in_patient_order(self.result.study.stacks(sequence))
        return [SliceAt.closest(series[stack], stack, index, point_mm) for stack, index in order]

    def places_on(self, shown: SliceAt) -> dict[Landmark, np.ndarray]:
        """The places near a slice that views of its sequence are cut around, as column and row (2,)."""
        looked_at = {view.place for view in VIEWS if view.sequence == shown.series.sequence}
        _, height, width = shown.stack.pixels.shape
        found = {}
        for landmark, (place_mm, _) in self.places.items():
            col, row, depth = shown.stack.to_pixel(place_mm)
            is_near = abs(depth - shown.index) <= NEAR_SLICES and 0 <= col < width and 0 <= row < height
            if landmark.place in looked_at and is_near:
                found[landmark] = np.array([col, row])
        return found

    def attention(self, shown: SliceAt, cell: int) -> tuple[int, float] | None:
        """The view of a cell (of SLOTS) that holds a slice, and its attention on it; None where none does."""
        examination, sequence = self.result.examination, shown.series.sequence
        slots = [number for number in slots_of(cell) if VIEWS[SLOTS[number].view].sequence == sequence]
        if examination is None or not slots or not examination.crops.shown[slots[0]]:
            return None
        weights, place_mm = examination.slice_weights[slots[0]], examination.crops.points_mm[slots[0]]
        found = stack_of(self.result.study.stacks(sequence or ""), place_mm, len(weights))
        if found is None or found[0] is not shown.stack:
            return None
        order = shown.index - found[1] + len(weights) // 2
        return (slots[0], float(weights[order])) if 0 <= order < len(weights) else None


def at_shares(shown: SliceAt, across: float, down: float) -> SliceAt:
    """The same slice at shares of its width and height, as a click on its picture says."""
    _, height, width = shown.stack.pixels.shape
    return replace(shown, xy=np.array([across * width - 0.5, down * height - 0.5]), away_mm=0.0)


def cell_title(cell: int) -> str:
    """A cell in few words, such as "L4/L5, left foramen"."""
    condition, level = CELLS[cell]
    return f"{level2text[level]}, {CONDITION_NAMES[CONDITIONS.index(condition)]}"


def slice_title(shown: SliceAt) -> str:
    """Which slice a plane shows, and how far off the point is where none reaches it."""
    off = f", {shown.away_mm:.0f} mm off" if shown.away_mm > shown.stack.pace_mm else ""
    return f"{shown.series.sequence}, slice {shown.index + 1} of {len(shown.stack)}{off}"


@styled
def linked(planes: LinkedPlanes, cell: int | None = None) -> Picture:
    """Three planes at the place of a cell (the gravest, unless told), its views, and all severities."""
    cell = planes.gravest if cell is None else cell
    if (point_mm := planes.start_mm(cell)) is None:
        return empty_figure("no image of this study can be shown")
    shown = planes.shown(point_mm).values()
    tallest = min(TALLEST, max(height_per_width(one.stack) for one in shown))
    height_in = WIDTH_IN / len(shown) * tallest
    figure = new_figure(
        WIDTH_IN, height_in + 3.6, f"Study {planes.result.study.study_id}: {cell_title(cell)}"
    )
    above, below = figure.subfigures(2, 1, height_ratios=(height_in, 3))
    for axes, one in zip(above.subplots(1, len(shown), squeeze=False)[0], shown):
        draw_plane(axes, planes, one, cell)
        axes.set_title(slice_title(one), fontsize=8)
    left, right = below.subfigures(1, 2, width_ratios=(2, 1))
    _draw_severities(left.subplots(), planes.result, cell)
    slots = slots_of(cell)
    for axes, slot in zip(right.subplots(len(slots), squeeze=False)[:, 0], slots):
        if (examination := planes.result.examination) and examination.crops.shown[slot]:
            show_slot(axes, examination, slot)
        else:
            note(axes, "no view of it")
    marker_legend(figure, dict(zip(SEVERITIES, style.MARKERS)))
    return figure


@styled
def plane_png(planes: LinkedPlanes, shown: SliceAt, cell: int) -> bytes:
    """One plane as PNG whose edges are those of the slice."""
    figure = new_figure(PLANE_IN, PLANE_IN * height_per_width(shown.stack))
    figure.set_layout_engine("none")
    draw_plane(figure.add_axes((0, 0, 1, 1)), planes, shown, cell)
    return figure._repr_png_()


def draw_plane(axes: Axes, planes: LinkedPlanes, shown: SliceAt, cell: int) -> None:
    """A slice with the point, places by their likeliest severity, and the view of a cell as a ring."""
    stack = shown.stack
    show_slice(axes, stack, shown.index)
    axes.set_autoscale_on(False)
    for line in (axes.axvline(shown.xy[0]), axes.axhline(shown.xy[1])):
        line.set(color=CROSS, linewidth=0.7, alpha=0.6)
    codes = planes.result.prediction.probabilities.argmax(axis=1)
    for landmark, (x, y) in planes.places_on(shown).items():
        number, confidence = landmark2cell.get(landmark), planes.places[landmark][1]
        marker = ("o", style.QUIET) if number is None else style.MARKERS[codes[number]]
        name = f"{level_text(landmark.level)} {landmark.side or ''}".strip()
        guess = f" ({confidence:.0%})" if confidence < GUESS_CONFIDENCE else ""
        draw_point(axes, stack, (x, y), landmark.side, name + guess, marker, 10 if number == cell else 6)
    if found := planes.attention(shown, cell):
        _draw_ring(axes, stack, planes.places[landmark_of(CELLS[cell])][0], *found)
    _draw_letters(axes, stack)


def _draw_ring(axes: Axes, stack: Stack, place_mm: np.ndarray, slot: int, weight: float) -> None:
    """The ring that fits into a view, however that is turned; the more attention, the stronger."""
    col, row, _ = stack.to_pixel(place_mm)
    height, width = (VIEWS[SLOTS[slot].view].side_mm / size_mm for size_mm in stack.spacing_mm)
    look: dict[str, Any] = {"edgecolor": style.MARKERS[1][1], "alpha": 0.25 + 0.75 * weight}
    axes.add_patch(Ellipse((col, row), width, height, fill=False, linewidth=2, **look))
    text = axes.text(col, row + height / 2, f"attention {weight:.0%}", ha="center", va="top", fontsize=7)
    text.set(color=style.MARKERS[1][1], path_effects=OUTLINE, clip_on=True, in_layout=False)


def _draw_letters(axes: Axes, stack: Stack) -> None:
    """At the edges, which side of the patient lies there."""
    ways = (
        (stack.row_direction, (0.02, 0.5), (0.98, 0.5)),
        (stack.column_direction, (0.5, 0.97), (0.5, 0.03)),
    )
    for direction, *edges in ways:
        axis = int(np.abs(direction).argmax())
        for letter, at in zip(LETTERS[axis][:: 1 if direction[axis] > 0 else -1], edges):
            text = axes.text(*at, letter, transform=axes.transAxes, ha="center", va="center", fontsize=9)
            text.set(color=CROSS, path_effects=OUTLINE)


def _draw_severities(axes: Axes, result: StudyResult, cell: int) -> None:
    """Levels by conditions in words and millimetres, in the colours of their probabilities."""
    words, chances = result.severities, result.prediction.probabilities.reshape(5, 5, 3)  # by condition
    axes.imshow(style.severity_rgb(chances).swapaxes(0, 1) / 255, aspect="auto")
    axes.set_xticks(range(5), list(words.columns))
    axes.set_yticks(range(5), list(words.index))
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    for (row, column), text in np.ndenumerate(words.to_numpy()):
        axes.text(column, row, text.replace(", ", "\n"), ha="center", va="center", fontsize=8)
    column, row = divmod(cell, 5)
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=style.INK, linewidth=2))
