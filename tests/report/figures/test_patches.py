import dataclasses

import numpy as np
import pandas as pd
import pytest

from kitlib.embed.field_of_view import stack_images
from kitlib.embed.tokens import Tokens
from kitlib.inputs.slices import SliceDataset
from kitlib.report.figures.patches import PatchAttention, asked, on_square, patch_look, patches
from kitlib.terms import CELLS, LEVELS, SEQUENCES, Cell
from tests.report.builders import drawn, make_stack

CELL = Cell("spinal_canal_stenosis", LEVELS[3])
STACK = make_stack()
SHARES = np.full((4, 4), 1 / 32)


def make_points(instance_number: int = 4, level: str = CELL.level) -> pd.DataFrame:
    row = (100, 11, instance_number, CELL.condition, level, 6.0, 4.0)
    columns = ["study_id", "series_id", "instance_number", "condition", "level", "x", "y"]
    return pd.DataFrame([row], columns=columns)


def look_at(points: pd.DataFrame, index: int = 1) -> PatchAttention:
    pixels = np.zeros(64, np.float32)
    return patch_look(100, CELL, pixels, STACK.centres_mm[index], SHARES, points, {11: [STACK]})


@pytest.mark.parametrize("looks", [0, 1, 3])
def test_every_figure_draws_without_a_warning(looks: int) -> None:
    texts = drawn(
        patches([look_at(make_points()), look_at(make_points(1)), look_at(make_points()[:0])][:looks])
    )
    assert not looks or "50% of the attention is on this slice" in texts


def test_an_annotated_point_is_drawn_and_its_distance_in_slices_known() -> None:
    assert look_at(make_points(4)).slices_away == 0  # instance numbers run against the stack
    assert look_at(make_points(1)).slices_away == 3
    assert look_at(make_points(4), index=3).slices_away == 2


@pytest.mark.parametrize("points", [make_points()[:0], make_points(level=LEVELS[0]), make_points(99)])
def test_a_cell_without_a_known_point_has_no_cross(points: pd.DataFrame) -> None:
    assert look_at(points).landmark_px is None


@pytest.mark.parametrize("view", ["whole", "middle"])
def test_a_point_on_the_square_is_where_its_pixel_went(field_of_view: str) -> None:
    pixels = np.zeros((1, 60, 80), np.uint8)
    pixels[0, 28:32, 44:48] = 255  # centred on x 45.5, y 29.5
    stack = dataclasses.replace(make_stack(1), pixels=pixels)
    image = stack_images(stack, 40, field_of_view=field_of_view)[0].astype(float)
    rows, columns = np.indices(image.shape)
    x, y = on_square((45.5, 29.5), stack, 40, field_of_view)
    assert x == pytest.approx((image * columns).sum() / image.sum(), abs=0.1)
    assert y == pytest.approx((image * rows).sum() / image.sum(), abs=0.1)


def test_a_model_is_asked_for_the_slice_it_looks_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kitlib.report.figures.patches.read_series", lambda *_: [STACK])

    class Looker:
        def attention_map(self, features: SliceDataset, cell: Cell) -> tuple[int, np.ndarray]:
            assert (len(features), cell) == (1, CELL)
            return 2, SHARES

    slices = np.arange(5 * 64, dtype=np.float16).reshape(5, 64)
    bags = {name: [Tokens(slices, STACK.centres_mm)] for name in SEQUENCES}
    study = SliceDataset(np.array([100]), bags, pd.DataFrame(index=[100]))
    look = asked(Looker(), study, CELL, make_points(4), {11: "read"}, field_of_view="whole")
    assert look.pixels[0, 0] == slices[2, 0]
    assert look.slices_away == 1
    assert look.title.startswith("Study 100")


def test_cells_and_study_are_named() -> None:
    assert look_at(make_points()).title == f"Study 100\n{CELLS[3].name.replace('_', ' ')}"
