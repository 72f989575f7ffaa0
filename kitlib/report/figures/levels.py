"""Pictures of what the localiser found: named points on the three planes, and the crops around them."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from kitlib.localise.points import Located, Point
from kitlib.mri.stack import Stack
from kitlib.mri.study import Study
from kitlib.prepare.crops import Crop
from kitlib.report.figures.images import draw_point, height_per_width, marker_legend, show_slice
from kitlib.report.style import MARKERS, Picture, empty_figure, new_figure, note, styled
from kitlib.terms import LANDMARKS, LEVELS, Landmark, level2text

place2marker = dict(zip(("canal", "foramen", "recess"), MARKERS))
MOST_PANELS = 4  # a row
GUESS_CONFIDENCE = 0.5  # points below it have it written beside them
PANEL_IN = 1.5
MENTIONED = 0.01  # a padded share below it is not seen


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
    text = (side or "") if place == "recess" else level.upper().replace("_", "/")
    return text + (f" ({point.confidence:.0%})" if point.confidence < GUESS_CONFIDENCE else "")


@styled
def crop_grid(crops: Sequence[Crop], title: str = "", guessed: Collection[Landmark] = ()) -> Picture:
    """The middle slice of each crop of a study: a row for each place and side, a column for each level.

    What lies beyond the image is black, and said above the crop. `guessed` are landmarks that nobody found,
    cropped where they usually are.
    """
    found = {crop.landmark: crop for crop in crops}
    graded = [landmark for landmark in LANDMARKS if landmark in found and landmark.level in LEVELS]
    kinds = dict.fromkeys(landmark[::2] for landmark in graded)
    if not kinds:
        return empty_figure("no crop to show")
    firsts = [next(crop for crop in crops if crop.landmark[::2] == kind) for kind in kinds]
    heights = [height_per_width(crop.stack) for crop in firsts]
    figure = new_figure(PANEL_IN * len(LEVELS) + 0.9, sum(heights) * PANEL_IN + 0.2 * len(kinds) + 0.5, title)
    grid = figure.subplots(len(kinds), len(LEVELS), squeeze=False, height_ratios=heights)
    for panels, (place, side), first in zip(grid, kinds, firsts):
        for axes, level in zip(panels, LEVELS):
            landmark = Landmark(place, level, side)
            if landmark in found:
                show_slice(axes, found[landmark].stack, len(found[landmark].stack) // 2)
            else:
                note(axes, "no crop")
            axes.set_title(_heading(landmark, found.get(landmark), landmark in guessed), fontsize=7, pad=2)
        _, height, width = first.stack.pixels.shape
        size = f"{height * first.stack.spacing_mm[0]:.0f} x {width * first.stack.spacing_mm[1]:.0f} mm"
        name = f"{side or ''} {place}\n{first.stack.plane}\n{size}".strip()
        panels[0].text(-0.08, 0.5, name, transform=panels[0].transAxes, ha="right", va="center", fontsize=8)
    return figure


def _heading(landmark: Landmark, crop: Crop | None, is_guessed: bool) -> str:
    """The level, and what is to be known of its crop."""
    padded = crop.padded_share if crop else 0.0
    words = [f"{padded:.0%} padded" if padded > MENTIONED else "", "guessed" if is_guessed else ""]
    return ", ".join([level2text[landmark.level], *filter(None, words)])
