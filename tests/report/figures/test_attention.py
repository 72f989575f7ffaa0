import dataclasses

import numpy as np
import pandas as pd
import pytest

from kitlib.embed.field_of_view import FIELDS_OF_VIEW, stack_images
from kitlib.embed.tokens import Tokens
from kitlib.inputs.pixels import PixelDataset
from kitlib.mri.study import Series, Study
from kitlib.report.figures import attention
from kitlib.report.figures.attention import PatchAttention, on_square, patch_attention, plot_patches
from kitlib.terms import AXIAL_T2, CELLS, LEVELS, SAGITTAL_T2, SEQUENCES, Cell
from tests.report.builders import drawn, make_labels, make_landmarks, make_record, make_stack, stacks_of

CELL = Cell("spinal_canal_stenosis", LEVELS[3])
STACK = make_stack()
STUDY = Study(100, (Series(11, SAGITTAL_T2, (STACK,)),))
SHARES = np.full((4, 4), 1 / 32)
SLICES = np.arange(5 * 64, dtype=np.uint8).reshape(5, 64)
DATA = PixelDataset(np.array([100]), {name: [Tokens(SLICES, STACK.centres_mm)] for name in SEQUENCES}, 8)


def test_one_cell_is_drawn_with_units_and_without_a_landmark():
    points = make_landmarks(make_labels(1, empty=0))
    texts = drawn(attention.plot_attention(make_record([100], 3), 100, CELLS[3], points, stacks_of))
    assert {"attention weight", "right to left, x (mm)", "foot to head, z (mm)"} <= set(texts)
    unmarked = attention.plot_attention(make_record([100], 3), 100, CELLS[3], points.iloc[:0], stacks_of)
    assert not any(axes.lines for axes in unmarked.axes)  # no slice is dotted


def test_missing_sequences_and_models_without_attention_say_so():
    nothing = (np.empty(0), np.empty(0))
    assert "not in this study" in drawn(attention.plot_weights({AXIAL_T2: nothing}, {}, "A study"))
    assert drawn(attention.plot_weights({}, {}, "")) == ["this model has no attention to show"]


class Model:
    """Attention entirely on this one slice."""

    def __init__(self, index: int) -> None:
        self.index = index

    def attention_map(self, data: PixelDataset, cell: Cell) -> tuple[int, np.ndarray]:
        assert (len(data), cell) == (1, CELL)
        return self.index, SHARES


def make_points(instance_number: int = 4, level: str = CELL.level) -> pd.DataFrame:
    row = (100, 11, instance_number, CELL.condition, level, 6.0, 4.0)
    columns = ["study_id", "series_id", "instance_number", "condition", "level", "x", "y"]
    return pd.DataFrame([row], columns=columns)


def attend(points: pd.DataFrame, index: int = 1) -> PatchAttention:
    return patch_attention(Model(index), DATA, CELL, points, STUDY, field_of_view="whole")


@pytest.mark.parametrize("count", [1, 3])
def test_patches_say_how_much_of_the_attention_is_on_the_slice(count: int) -> None:
    several = [attend(make_points()), attend(make_points(1)), attend(make_points()[:0])][:count]
    texts = drawn(plot_patches(several))
    assert {"50% of the attention is on this slice", "share of attention", several[0].title} <= set(texts)


def test_no_patches_say_so() -> None:
    assert drawn(plot_patches([])) == ["this model has no attention over patches to show"]


def test_the_slice_is_the_one_that_the_model_names_and_its_title_names_the_cell() -> None:
    shown = attend(make_points(), index=2)
    np.testing.assert_array_equal(shown.pixels.ravel(), SLICES[2])
    assert shown.title == f"Study 100\n{CELLS[3].name.replace('_', ' ')}"


def test_an_annotated_point_has_its_distance_in_slices() -> None:
    assert attend(make_points(4)).slices_away == 0  # instance numbers run against the stack
    assert attend(make_points(1)).slices_away == 3
    assert attend(make_points(4), index=3).slices_away == 2


def test_only_a_point_of_the_cell_itself_is_drawn() -> None:
    for points in (make_points()[:0], make_points(level=LEVELS[0]), make_points(99)):
        assert attend(points).landmark_px is None
    assert attend(make_points()).landmark_px is not None


@pytest.mark.parametrize("field_of_view", list(FIELDS_OF_VIEW))
def test_a_point_on_the_square_is_where_its_pixel_went(field_of_view: str) -> None:
    pixels = np.zeros((1, 60, 80), np.uint8)
    pixels[0, 28:32, 44:48] = 255  # centred on x 45.5, y 29.5
    stack = dataclasses.replace(make_stack(1), pixels=pixels)
    image = stack_images(stack, 40, field_of_view=field_of_view)[0].astype(float)
    rows, columns = np.indices(image.shape)
    x, y = on_square((45.5, 29.5), stack, 40, field_of_view)
    assert x == pytest.approx((image * columns).sum() / image.sum(), abs=0.1)
    assert y == pytest.approx((image * rows).sum() / image.sum(), abs=0.1)
