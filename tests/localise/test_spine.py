from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from kitlib.localise.network import GRID, INPUT_PX, build_network
from kitlib.localise.spine import find_foramina, find_recess, find_spine, read_maps
from tests.localise.fakes import fake_reader, make_axial, make_canal, make_places, make_sagittal

CANAL = make_canal(bend_mm=7.0)
PLACES = make_places(CANAL)


def maps_of(stack, plane, **how):
    return fake_reader(PLACES, **how)(None, stack, np.arange(len(stack)), plane)


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
    rows, cols = np.mgrid[:GRID, :GRID]  # the spot's middle is saturated: its mean position is used
    pixel = np.array([np.average(one, weights=maps.shares[0, 0]) for one in (cols, rows)])
    found = maps.to_patient(pixel, maps.positions_mm[0])
    np.testing.assert_allclose(found[1:], place[1:], atol=0.3)
    np.testing.assert_allclose(maps.to_pixels(found), pixel, atol=1e-9)


def test_bad_pixels_give_maps_all_the_same():
    stack = make_sagittal(count=1, px=(40, 30), spacing_mm=4.0)
    stack.pixels[0, 3:5] = np.nan
    stack.pixels[0, 7] = np.inf
    maps = read_maps(build_network("sagittal").eval(), stack, np.array([0]), "sagittal")
    assert np.isfinite(maps.shares).all()
    assert (maps.shares.sum(axis=(2, 3)) <= 1 + 1e-5).all()


@pytest.mark.parametrize("step_mm", [2.0, 4.5, 6.0])
def test_a_bent_canal_is_followed_across_slices(step_mm):
    spine = find_spine(maps_of(make_sagittal(count=int(80 / step_mm), step_mm=step_mm), "sagittal"))
    assert set(spine.canal_mm) == set(CANAL)
    for level, place in spine.canal_mm.items():
        np.testing.assert_allclose(place[1:], CANAL[level][1:], atol=0.6)
        assert abs(place[0] - CANAL[level][0]) < 2.5
    assert spine.confidence > 0.95


def test_a_network_one_level_off_is_sure_of_it():
    """Nothing here identifies the level: the network's count stands."""
    right, wrong = (find_spine(maps_of(make_sagittal(), "sagittal", step=step)) for step in (0, 1))
    np.testing.assert_allclose(wrong.canal_mm["l2_l3"], right.canal_mm["l1_l2"], atol=0.5)


def test_a_count_without_the_sacrum_is_not_sure():
    above = {one: place for one, place in PLACES.items() if one.level not in ("l5_s1", "s1_s2")}
    spine = find_spine(fake_reader(above)(None, make_sagittal(), np.arange(15), "sagittal"))
    assert len(spine.canal_mm) == 5
    assert spine.confidence <= 0.25
    assert spine.with_evidence(100.0).confidence <= 0.25


def test_foramina_lie_on_their_sides_within_a_slice():
    stack = make_sagittal()
    found = find_foramina(maps_of(stack, "sagittal"), CANAL)
    assert len(found) == 10
    for landmark, seen in found.items():
        assert np.linalg.norm((seen.point_mm - PLACES[landmark])[1:]) < 0.6
        assert abs(seen.point_mm[0] - PLACES[landmark][0]) < stack.step_mm / 2
        assert seen.mass > 0.9


def test_a_foramen_that_no_slice_shows_is_not_found():
    in_canal = make_sagittal(count=3, step_mm=3.0, middle=(9.0, 0, 10))
    assert find_foramina(maps_of(in_canal, "sagittal"), CANAL) == {}
    right_half = make_sagittal(count=8, middle=(3 - 16.0, 0, 10))
    sides = {landmark.side for landmark in find_foramina(maps_of(right_half, "sagittal"), CANAL)}
    assert sides == {"right"}


def test_a_recess_is_taken_near_its_place():
    maps = maps_of(make_axial(CANAL), "axial")
    for landmark, place in PLACES.items():
        if landmark.place == "recess":
            seen = find_recess(maps, place + np.array([2.0, 2.0, 0]), landmark.side)
            np.testing.assert_allclose(seen.point_mm[:2], place[:2], atol=0.3)
            assert seen.point_mm[2] == pytest.approx(place[2], abs=1e-6)


def test_dark_maps_hold_no_spine():
    maps = fake_reader({})(None, make_sagittal(), np.arange(15), "sagittal")
    assert find_spine(maps) is None
    assert find_foramina(maps, CANAL) == {}
