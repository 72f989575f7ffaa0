from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from kitlib.localise.heatmaps import of_plane, read_maps, spread, upright
from kitlib.localise.network import GRID, INPUT_PX, build_network
from tests.localise.fakes import make_canal, make_sagittal


class Brightest(nn.Module):
    """A network that points all channels at the brightest pixel."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = nn.functional.avg_pool2d(images[:, :1].float(), INPUT_PX // GRID).flatten(2)
        logits = 100 * torch.cat([pixels, torch.full_like(pixels[..., :1], -0.5)], dim=2)
        return logits.expand(-1, 12, -1)


def lit(stack, place_mm):
    """The stack with a bright spot of 8 mm at a place, on all slices."""
    col, row, _ = stack.to_pixel(place_mm)
    _, height, width = stack.pixels.shape
    rows, cols = np.mgrid[:height, :width]
    away = np.hypot((cols - col) * stack.spacing_mm[1], (rows - row) * stack.spacing_mm[0])
    return replace(stack, pixels=stack.pixels + np.exp(-0.5 * (away / 4) ** 2).astype(np.float32))


@pytest.mark.parametrize(("px", "spacing_mm"), [((256, 240), 1.1), ((512, 512), 0.6), ((150, 320), 1.4)])
def test_a_spot_is_found_where_it_is(px, spacing_mm):
    place = make_canal()["l4_l5"]
    stack = lit(make_sagittal(count=3, px=px, spacing_mm=spacing_mm), place)
    maps = read_maps(Brightest(), stack, np.array([0, 2]), "sagittal")
    rows, cols = np.mgrid[:GRID, :GRID]  # the spot's middle is saturated: its mean place counts
    pixel = np.array([np.average(one, weights=maps.shares[0, 0]) for one in (cols, rows)])
    found = maps.to_patient(pixel, maps.positions_mm[0])
    np.testing.assert_allclose(found[1:], place[1:], atol=0.3)
    np.testing.assert_allclose(maps.to_pixels(found), pixel, atol=1e-9)


@pytest.mark.parametrize("turn", ["rows", "columns", "both", "transposed"])
def test_upright_keeps_every_pixel_at_its_place(turn):
    stack = make_sagittal(count=3, px=(20, 30))
    stack = replace(stack, pixels=np.random.default_rng(1).random(stack.pixels.shape))
    turned = _turned(stack, turn)
    found = upright(turned, "sagittal")
    np.testing.assert_allclose(found.pixels, stack.pixels)
    np.testing.assert_allclose(found.origins_mm, stack.origins_mm)
    assert found.spacing_mm == stack.spacing_mm


def _turned(stack, how):
    rows, cols = how in ("rows", "both"), how in ("columns", "both")
    if how == "transposed":
        return replace(
            stack,
            pixels=stack.pixels.swapaxes(1, 2),
            row_direction=stack.column_direction,
            column_direction=stack.row_direction,
        )
    _, height, width = stack.pixels.shape
    return replace(
        stack,
        pixels=stack.pixels[:, :: -1 if rows else 1, :: -1 if cols else 1],
        origins_mm=stack.to_patient((width - 1) * cols, (height - 1) * rows, np.arange(len(stack))),
        row_direction=stack.row_direction * (-1 if cols else 1),
        column_direction=stack.column_direction * (-1 if rows else 1),
    )


def test_bad_pixels_give_maps_all_the_same():
    stack = make_sagittal(count=1, px=(40, 30), spacing_mm=4.0)
    stack.pixels[0, 3:5] = np.nan
    stack.pixels[0, 7] = np.inf
    maps = read_maps(build_network("sagittal").eval(), stack, np.array([0]), "sagittal")
    assert np.isfinite(maps.shares).all()
    assert (maps.visible <= 1 + 1e-5).all()


def test_thin_slices_are_skipped():
    assert len(spread(make_sagittal(count=1), 3, 24)) == 1
    thin = spread(make_sagittal(count=38, step_mm=1), 3, 24)
    assert set(np.diff(thin)) == {3}
    assert thin[0] <= 1
    assert thin[-1] >= 36
    np.testing.assert_array_equal(spread(make_sagittal(count=40), 3, 24), np.arange(8, 32))


def test_an_absurd_field_of_view_is_not_read():
    assert of_plane([make_sagittal(spacing_mm=50)], "sagittal") == []
    assert of_plane([make_sagittal(count=3), make_sagittal(count=5)], "axial") == []
