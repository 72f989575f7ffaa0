"""The picture of crops: every cell has its panel, and what is missing or guessed is said."""

import numpy as np
import pytest

from kitlib.mri.stack import Stack
from kitlib.prepare.crops import Crop
from kitlib.report.figures.crops import crop_grid
from kitlib.terms import LANDMARKS, LEVELS, Landmark

SHAPES = {"canal": (5, 72, 90), "foramen": (5, 72, 90), "recess": (5, 90, 90)}
GRADED = [one for one in LANDMARKS if one.level in LEVELS]


def make_crop(landmark: Landmark, padded_share: float = 0.0) -> Crop:
    shape = SHAPES[landmark.place]
    axial = landmark.place == "recess"
    across, down = ((1, 0, 0), (0, 1, 0)) if axial else ((0, 1, 0), (0, 0, -1))
    step = np.array([0, 0, 4.0] if axial else [4.0, 0, 0])
    stack = Stack(
        pixels=np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8),
        origins_mm=np.arange(shape[0])[:, None] * step,
        row_direction=np.array(across, float),
        column_direction=np.array(down, float),
        spacing_mm=(0.5, 0.5),
        instance_numbers=np.arange(1, shape[0] + 1),
        files=("",) * shape[0],
    )
    return Crop(landmark, stack, padded_share)


def headings(picture) -> list[str]:
    return [axes.get_title(loc="left") for axes in picture.axes]


def test_a_row_for_each_place_and_side_and_a_column_for_each_level():
    picture = crop_grid([make_crop(one) for one in GRADED], "a study")
    assert len(picture.axes) == 5 * len(LEVELS)
    assert headings(picture)[: len(LEVELS)] == ["L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1"]
    names = [axes.texts[0].get_text() for axes in picture.axes[:: len(LEVELS)]]
    assert names[0] == "canal\nsagittal\n36 x 45 mm"
    assert [name.split("\n")[0] for name in names[1:]] == [
        "left foramen",
        "right foramen",
        "left recess",
        "right recess",
    ]
    assert picture._repr_png_().startswith(b"\x89PNG")


def test_the_middle_slice_is_shown():
    crop = make_crop(GRADED[0])
    shown = crop_grid([crop]).axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown, crop.stack.pixels[2])


def test_what_is_padded_guessed_or_missing_is_said():
    first, second = GRADED[:2]
    picture = crop_grid([make_crop(first, 0.25), make_crop(second)], guessed=[second])
    assert headings(picture)[:3] == ["L1/L2, 25% padded", "L2/L3, guessed", "L3/L4"]
    assert not picture.axes[2].images


@pytest.mark.parametrize("crops", [[], [make_crop(LANDMARKS[0])]], ids=["none", "beyond the graded levels"])
def test_nothing_to_show(crops):
    assert crop_grid(crops).axes[0].texts[0].get_text() == "no crop to show"
