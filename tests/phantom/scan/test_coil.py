import numpy as np
import pytest
import torch

from kitlib.phantom.scan.coil import Band, bloomed, draw_band, draw_coil


def test_the_back_is_brighter_than_the_belly_and_less_so_when_evened() -> None:
    depth = torch.linspace(0, 220, 111)
    for seed in range(20):
        coil = draw_coil(np.random.default_rng(seed))
        received = coil.sensitivity(depth, torch.zeros_like(depth))
        shown = received * coil.evening(received)
        assert (received.diff() < 0).all()
        assert (received > 0).all()
        assert received[0] / received[-1] > shown[0] / shown[-1] > 1


def test_elements_ripple_along_the_patient_and_more_so_near_them() -> None:
    coil = draw_coil(np.random.default_rng(0))
    height = torch.linspace(-60, 60, 121)
    near, far = (coil.sensitivity(torch.full_like(height, depth), height) for depth in (20.0, 150.0))
    assert near.std() / near.mean() > far.std() / far.mean()


def test_a_saturation_band_darkens_its_side_alone() -> None:
    before = torch.linspace(-80, 160, 241)
    left = Band(60, 0.0, 2.0, 0.2).transmitted(before, torch.zeros_like(before))
    assert left[before < 55].min() > 0.99
    assert left[before > 80].max() == pytest.approx(0.2, abs=0.01)
    leaning = Band(60, 0.5, 2.0, 0.2).transmitted(torch.full((2,), 70.0), torch.tensor([0.0, 60.0]))
    assert leaning[0] < 0.3
    assert leaning[1] > 0.99


def test_half_of_the_sagittal_series_have_a_band_and_fewer_axial_ones() -> None:
    rng = np.random.default_rng(0)
    rates = [
        np.mean([draw_band(sagittal, rng) is not None for _ in range(300)]) for sagittal in (True, False)
    ]
    assert 0.42 < rates[0] < 0.58
    assert 0.32 < rates[1] < 0.48


@pytest.mark.parametrize("readout_axis", [1, 2])
def test_metal_leaves_a_void_with_a_bright_rim_and_the_rest_as_it_was(readout_axis: int) -> None:
    images, metal = torch.ones(2, 3, 80, 80), torch.zeros(3, 80, 80)
    metal[1, 38:43, 38:43] = 1
    marred = bloomed(images, metal, readout_axis, 4.0)
    assert (marred[:, [0, 2]] == 1).all()
    assert (images == 1).all()
    assert (marred[:, 1, 37:44, 37:44] < 0.05).all()
    assert marred[:, 1].max() > 1.3
    assert torch.allclose(marred[:, 1, :20], torch.ones(2, 20, 80), atol=1e-3)
    assert (bloomed(images, metal, readout_axis, 8.0) < 0.5).sum() > (marred < 0.5).sum()


def test_metal_moves_what_is_beside_it_along_the_readout() -> None:
    rows = torch.arange(80.0)[None, :, None].expand(1, 80, 80)
    metal = torch.zeros(1, 80, 80)
    metal[0, 38:43, 38:43] = 1
    images = torch.stack([rows, rows])
    beside = (0, 0, 40, slice(31, 35))
    assert torch.allclose(bloomed(images, metal, 2, 4.0)[0, 0, :20], images[0, 0, :20], atol=0.1)
    ratio = [
        bloomed(images, metal, axis, 4.0)[beside] / bloomed(torch.ones_like(images), metal, axis, 4.0)[beside]
        for axis in (1, 2)
    ]
    assert (ratio[0] - 40).abs().max() > 1
    assert torch.allclose(ratio[1], torch.full((4,), 40.0), atol=0.01)


def test_without_metal_nothing_changes() -> None:
    images = torch.rand(2, 1, 8, 8)
    assert bloomed(images, torch.zeros(1, 8, 8), 1, 4.0) is images
