from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from kitlib.phantom.scan.kspace import Encoding, draw_encoding, ghosts

WHOLE = Encoding(phase_axis=1, readout_share=1.0, phase_share=1.0, taper=0.0, fat_shift_px=0.0)


def square(size: int = 64) -> Tensor:
    image = torch.zeros(1, size, size)
    image[:, 20:40, 24:36] = 1
    return image


def encoded(encoding: Encoding, water: Tensor, fat: Tensor | None = None, noise: float = 0.0) -> Tensor:
    fat = torch.zeros_like(water) if fat is None else fat
    return encoding.magnitude(torch.stack([water, fat]), noise, np.random.default_rng(0))


def centre(image: Tensor, axis: int) -> float:
    profile = image[0].sum(dim=2 - axis)
    return float((profile * torch.arange(len(profile))).sum() / profile.sum())


@pytest.mark.parametrize("phase_axis", [1, 2])
def test_fat_moves_along_the_readout_and_water_does_not(phase_axis: int) -> None:
    encoding = replace(WHOLE, phase_axis=phase_axis, fat_shift_px=3.0)
    readout = 3 - phase_axis
    assert torch.allclose(encoded(encoding, square()), square(), atol=1e-5)
    moved = encoded(encoding, torch.zeros_like(square()), square())
    assert torch.allclose(moved, square().roll(3, readout), atol=1e-5)


@pytest.mark.parametrize("shift_px", [-3.0, 3.0])
def test_fat_shifted_out_at_one_side_does_not_come_in_at_the_other(shift_px: float) -> None:
    fat = torch.zeros(1, 64, 64)
    fat[..., :20] = 1
    fat = fat if shift_px < 0 else fat.flip(2)
    moved = encoded(replace(WHOLE, fat_shift_px=shift_px), torch.zeros_like(fat), fat)
    near, far = (moved[..., :4], moved[..., -4:]) if shift_px < 0 else (moved[..., -4:], moved[..., :4])
    assert torch.allclose(near, torch.ones_like(near), atol=1e-4)
    assert torch.allclose(far, torch.zeros_like(far), atol=1e-4)


def test_the_shift_counts_in_acquired_pixels() -> None:
    coarse = replace(WHOLE, readout_share=0.5, fat_shift_px=2.0, taper=0.8)
    blob = torch.exp(-((torch.arange(128.0) - 60) ** 2) / 50)
    fat = blob[:, None] * blob[None, :]
    moved = encoded(coarse, torch.zeros(1, 128, 128), fat[None])
    acquired = coarse.acquired((128, 128))[1]
    assert centre(moved, 2) - 60 == pytest.approx(2 * 128 / acquired, abs=0.05)
    assert centre(moved, 1) == pytest.approx(60, abs=0.05)


def test_truncation_rings_along_the_phase_alone_and_keeps_the_mean() -> None:
    step = torch.zeros(1, 96, 96)
    step[:, 24:72] = 1
    step += 1  # so that magnitude does not fold the ringing
    cut = encoded(replace(WHOLE, phase_share=0.6), step)
    assert cut.mean().item() == pytest.approx(1.5, abs=1e-3)
    assert cut[0, 24:72].max() > 2.05
    assert cut[0].std(dim=1).max() < 1e-4
    smooth = encoded(replace(WHOLE, phase_share=0.6, taper=0.9), step)
    assert smooth.max() - 2 < 0.7 * (cut.max() - 2)


def test_air_holds_rician_noise_of_the_level_asked_for() -> None:
    for encoding in (WHOLE, replace(WHOLE, readout_share=0.8, phase_share=0.6, taper=0.5)):
        air = encoded(encoding, torch.zeros(4, 128, 128), noise=0.02)
        assert (air.mean() / air.std()).item() == pytest.approx(1.91, abs=0.03)
        assert air.mean().item() == pytest.approx(0.02 * np.sqrt(np.pi / 2), rel=0.03)


def test_noise_is_correlated_where_zeros_were_filled_in() -> None:
    def likeness(encoding: Encoding) -> float:
        bright = encoded(encoding, torch.ones(4, 128, 128), noise=0.02) - 1
        return float((bright[:, 1:] * bright[:, :-1]).mean() / bright.var())

    assert abs(likeness(WHOLE)) < 0.05
    assert likeness(replace(WHOLE, phase_share=0.5)) > 0.5


@pytest.mark.parametrize("phase_axis", [1, 2])
def test_ghosts_lie_along_the_phase_alone(phase_axis: int) -> None:
    copies = ghosts(square(), phase_axis, 6.0, torch.tensor([0.1]))
    beside = copies.abs().sum(dim=phase_axis)[0] > 0
    assert (beside == (square().sum(dim=phase_axis)[0] > 0)).all()
    assert 0 < copies.max() < 0.3
    assert (ghosts(square(), phase_axis, 6.0, torch.tensor([0.0])) == 0).all()


def test_drawn_encodings_fill_some_of_the_phase_with_zeros() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        encoding = draw_encoding(rng.uniform(0.3, 2.5), bool(rng.random() < 0.5), 1.5, rng)
        shape = encoding.acquired((320, 320))
        assert shape[encoding.phase_axis - 1] < shape[2 - encoding.phase_axis] <= 320
        assert abs(encoding.fat_shift_px) == 1.5
