"""Pictures of what the localiser found: named points on the three planes, and the crops around them."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from kitlib.inputs.crops import StudyCrops
from kitlib.localise.points import Located, Point
from kitlib.mri.stack import Stack
from kitlib.mri.study import Study
from kitlib.prepare.views import SLOTS, VIEWS, without_margin
from kitlib.report.figures.images import draw_point, height_per_width, marker_legend, show_slice
from kitlib.report.style import MARKERS, Picture, empty_figure, new_figure, note, styled
from kitlib.terms import LANDMARKS, LEVELS, Landmark, level2text, level_text

place2marker = dict(zip(("canal", "foramen", "recess"), MARKERS))
MOST_PANELS = 4  # a row
GUESS_CONFIDENCE = 0.5  # points below it have it written beside them
PANEL_IN = 1.5


@styled
def overlay(study: Study, located: Located, title: str = "") -> Picture:
    """The slices of a study that hold points: canal, foramina of each side, recesses of each level.

    Where nothing was found the middle slice of each series is shown, under the reason.
    """
    panels = list(_panels(study, located.points)) or list(_middles(study))
    if not panels:
        return empty_figure(located.reason or "no image can be shown")
    columns = min(MOST_PANELS, len(panels))
    rows = -(-len(panels) // columns)
    heading = "; ".join(filter(None, [title, f"ABSTAINED: {located.reason}" if located.abstained else ""]))
    tallest = max(height_per_width(stack) for _, stack, _, _ in panels)
    figure = new_figure(2.9 * columns, rows * (2.9 * min(tallest, 1.6) + 0.4) + 0.6, heading)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in axes[len(panels) :]:
        panel.set_axis_off()
    for panel, (name, stack, index, points) in zip(axes, panels):
        show_slice(panel, stack, index)
        panel.set_title(f"{name}, slice {index + 1} of {len(stack)}", fontsize=8)
        for point in points:
            place, _, side = point.landmark
            draw_point(panel, stack, (point.x, point.y), side, _name(point), place2marker[place], 6)
    if located.points:
        shown = {point.landmark.place for point in located.points}
        marker_legend(figure, {place: place2marker[place] for place in place2marker if place in shown})
    return figure


Panel = tuple[str, Stack, int, list[Point]]
"""Name, stack, slice and the points to draw there."""


def _panels(study: Study, points: Sequence[Point]) -> Iterable[Panel]:
    """A panel for the canal, for each side's foramina, and for each level's recesses; none where no point is.

    A panel shows the slice that holds most of its points, and those of its points within a slice of it.
    """
    groups: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: LANDMARKS.index(point.landmark)):
        place, level, side = point.landmark
        names = {"foramen": f"{side} foramina", "recess": f"recesses {level2text.get(level)}"}
        groups.setdefault(names.get(place, place), []).append(point)
    for name, group in groups.items():
        placed = [(point, *found) for point in group if (found := _slice_of(study, point))]
        if placed:
            keys = [(point.series_id, point.instance_number) for point, _, _ in placed]
            _, stack, index = placed[keys.index(max(keys, key=keys.count))]
            near = [point for point, other, at in placed if other is stack and abs(at - index) <= 1]
            yield name, stack, index, near


def _middles(study: Study) -> Iterable[Panel]:
    for series in study.series:
        if series.stacks:
            stack = max(series.stacks, key=len)
            yield f"series {series.series_id}, {stack.plane}", stack, len(stack) // 2, []


def _slice_of(study: Study, point: Point) -> tuple[Stack, int] | None:
    """The stack and slice of a point; of equal instance numbers, the slice nearest to it."""
    found = [
        (abs(float(stack.positions_mm[index] - point.patient_mm @ stack.normal)), stack, int(index))
        for series in study.series
        if series.series_id == point.series_id
        for stack in series.stacks
        for index in np.flatnonzero(stack.instance_numbers == point.instance_number)
    ]
    return min(found, key=lambda ranked: ranked[0])[1:] if found else None


def _name(point: Point) -> str:
    place, level, side = point.landmark
    text = (side or "") if place == "recess" else level_text(level)
    return text + (f" ({point.confidence:.0%})" if point.confidence < GUESS_CONFIDENCE else "")


@styled
def crop_grid(crops: StudyCrops, title: str = "") -> Picture:
    """The middle slice of each view of a study: a row for each place, side and sequence, a column a level.

    Views of the right side are shown as they are cut: axial ones are mirrored. What lies beyond an image is
    black; a place that nobody found says so, and is cut where it usually is.
    """
    rows = dict.fromkeys((VIEWS[slot.view], slot.landmark.side) for slot in SLOTS)
    if not crops.shown.any():
        return empty_figure("no crop to show")
    figure = new_figure(PANEL_IN * len(LEVELS) + 0.9, len(rows) * (PANEL_IN + 0.2) + 0.5, title)
    grid = figure.subplots(len(rows), len(LEVELS), squeeze=False)
    for panels, (view, side) in zip(grid, rows):
        for axes, level in zip(panels, LEVELS):
            landmark = Landmark(view.place, level, side)
            number = [(slot.landmark, VIEWS[slot.view]) for slot in SLOTS].index((landmark, view))
            _crop(axes, crops, number)
        name = (
            f"{side or ''} {view.place}\n{view.sequence}\n{view.side_mm:.0f} x {view.side_mm:.0f} mm".strip()
        )
        panels[0].text(-0.08, 0.5, name, transform=panels[0].transAxes, ha="right", va="center", fontsize=8)
    return figure


def _crop(axes: Axes, crops: StudyCrops, number: int) -> None:
    """One view without its margin, under its level."""
    axes.set_axis_off()
    guessed = "" if crops.confidences[number] > 0 else ", guessed"
    if crops.shown[number]:
        axes.imshow(
            without_margin(crops.images[number, crops.images.shape[1] // 2]), cmap="gray", vmin=0, vmax=255
        )
    else:
        note(axes, "no crop")
        guessed = ""
    axes.set_title(level2text[SLOTS[number].landmark.level] + guessed, fontsize=7, pad=2)
