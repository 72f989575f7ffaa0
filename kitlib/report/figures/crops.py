"""Pictures of crops: what a grader of single places gets to see."""

from collections.abc import Collection, Sequence

from kitlib.prepare.crops import Crop
from kitlib.report.figures.montage import height_per_width, show_slice
from kitlib.report.style import Picture, empty_figure, look, new_figure, note
from kitlib.terms import LANDMARKS, LEVELS, Landmark, level2text

PANEL_IN = 1.5
MENTIONED = 0.01  # a padded share below it is not seen


@look
def crop_grid(crops: Sequence[Crop], title: str = "", guessed: Collection[Landmark] = ()) -> Picture:
    """The middle slice of each crop of a study: a row for each place and side, a column for each level.

    What lies beyond the image is black, and said above the crop. `guessed` are landmarks that nobody found,
    cropped where they usually are.
    """
    found = {crop.landmark: crop for crop in crops}
    kinds = dict.fromkeys(one[::2] for one in LANDMARKS if one in found and one.level in LEVELS)
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
