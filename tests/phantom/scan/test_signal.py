from itertools import pairwise

import numpy as np
import pytest
import torch

from kitlib.phantom.body.tissues import FIELDS_T, Tissue, water_and_fat
from kitlib.phantom.scan.signal import (
    PulseSequence,
    csf_flow,
    draw_pulse_sequence,
    frayed,
    in_flow,
    noise_field,
    tissue_images,
)
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2

DISCS = np.array([0.0, 1.0])  # a black one and a white one
T1_ORDER = (Tissue.FAT, Tissue.MARROW, Tissue.MUSCLE, Tissue.CSF)
T2_ORDER = (Tissue.CSF, Tissue.FAT, Tissue.MARROW, Tissue.MUSCLE, Tissue.CORTEX)


def signal(name: str, field_t: float, seed: int = 0) -> np.ndarray:
    timing = draw_pulse_sequence(name, np.random.default_rng(seed), field_t)
    return timing.signal(water_and_fat(DISCS, field_t)).sum(axis=0)


def stirs(field_t: float) -> list[PulseSequence]:
    drawn = [draw_pulse_sequence(SAGITTAL_T2, np.random.default_rng(seed), field_t) for seed in range(300)]
    return [timing for timing in drawn if timing.inversion_ms]


@pytest.mark.parametrize("field_t", FIELDS_T)
def test_contrasts_are_those_of_the_textbook(field_t: float) -> None:
    for seed in range(20):
        t1, t2 = signal(SAGITTAL_T1, field_t, seed), signal(AXIAL_T2, field_t, seed)
        assert all(t1[brighter] > t1[darker] for brighter, darker in pairwise(T1_ORDER))
        assert all(t2[brighter] > t2[darker] for brighter, darker in pairwise(T2_ORDER))
        assert t2[Tissue.NUCLEUS + 1] > 3 * t2[Tissue.NUCLEUS]
        assert t1[Tissue.AIR] == t2[Tissue.AIR] == 0


def test_oedema_and_fatty_marrow_are_told_apart_by_both_weightings() -> None:
    t1, t2 = signal(SAGITTAL_T1, 1.5), signal(AXIAL_T2, 1.5)
    assert t1[Tissue.OEDEMA] < t1[Tissue.MARROW] < t1[Tissue.FATTY_MARROW]
    assert min(t2[Tissue.OEDEMA], t2[Tissue.FATTY_MARROW]) > t2[Tissue.MARROW] > t2[Tissue.SCLEROSIS]


def test_signal_falls_with_the_echo_and_grows_with_the_repetition() -> None:
    spins = water_and_fat(DISCS, 1.5)
    there = spins[..., 0] > 0
    early, late = PulseSequence(600, 10).signal(spins)[there], PulseSequence(600, 90).signal(spins)[there]
    assert (late < early).all()
    assert (PulseSequence(4000, 10).signal(spins)[there] > early).all()


@pytest.mark.parametrize("field_t", FIELDS_T)
def test_inversion_recovery_puts_fat_out_and_leaves_water(field_t: float) -> None:
    spins = water_and_fat(DISCS, field_t)
    assert stirs(field_t)
    for timing in stirs(field_t):
        water, fat = timing.signal(spins)
        at_rest = PulseSequence(timing.repetition_ms, timing.echo_ms).signal(spins)[1]
        assert abs(fat[Tissue.FAT]) < 0.07 * at_rest[Tissue.FAT]
        assert (water >= 0).all()
        assert water[Tissue.OEDEMA] > 1.8 * water[Tissue.MARROW]


def test_some_sagittal_t2_are_stir_and_no_other() -> None:
    rng = np.random.default_rng(0)
    inverted = {
        name: np.mean([draw_pulse_sequence(name, rng).inversion_ms > 0 for _ in range(400)])
        for name in (SAGITTAL_T1, SAGITTAL_T2, AXIAL_T2)
    }
    assert inverted[SAGITTAL_T1] == inverted[AXIAL_T2] == 0
    assert 0.03 < inverted[SAGITTAL_T2] < 0.15


def test_fat_is_shifted_by_the_same_pixels_at_both_fields() -> None:
    assert PulseSequence(600, 10, bandwidth=224).fat_shift_px(1.5) == pytest.approx(1, abs=0.01)
    for field_t in FIELDS_T:
        timings = [
            draw_pulse_sequence(SAGITTAL_T1, np.random.default_rng(seed), field_t) for seed in range(50)
        ]
        shifts = [timing.fat_shift_px(field_t) for timing in timings]
        assert 0.99 < min(shifts) < max(shifts) < 2.51


def test_flow_takes_from_blood_alone() -> None:
    before = PulseSequence(4000, 100).signal(water_and_fat(DISCS, 1.5))
    after = in_flow(before, 0.1, 0.5)
    changed = [Tissue.ARTERY, Tissue.VEIN]
    assert np.allclose(after[0, changed], before[0, changed] * [0.1, 0.5])
    assert (np.delete(after, changed, axis=1) == np.delete(before, changed, axis=1)).all()


def test_partial_volume_is_the_mean_through_the_slice() -> None:
    tissue = torch.tensor([Tissue.AIR, Tissue.CSF], dtype=torch.uint8)[None, :, None, None]
    levels = PulseSequence(4000, 100).signal(water_and_fat(DISCS, 1.5))
    water, fat = tissue_images(tissue.expand(1, 2, 64, 64), levels, (2.0, 2.0), 1.0, np.random.default_rng(0))
    assert abs(water.mean().item() - levels[0, Tissue.CSF] / 2) < 0.02 * levels[0, Tissue.CSF]
    assert not fat.any()


def test_a_flip_back_brightens_csf_and_leaves_what_relaxes_in_time() -> None:
    spins = water_and_fat(DISCS, 1.5)
    plain, turned = (PulseSequence(4000, 100, flip_back_ms=ms).signal(spins) for ms in (0.0, 220.0))
    assert turned[0, Tissue.CSF] > 1.15 * plain[0, Tissue.CSF]
    assert np.allclose(turned[1], plain[1])
    assert np.allclose(turned[0, Tissue.MUSCLE], plain[0, Tissue.MUSCLE], rtol=1e-3)


def test_changes_fade_into_the_marrow_and_nothing_else_does() -> None:
    middle = torch.full((2, 60, 60), int(Tissue.MARROW), dtype=torch.uint8)
    middle[:, :, :10] = Tissue.CSF
    middle[1, 20:40, 30:50] = Tissue.OEDEMA
    water, fat = torch.rand(2, 60, 60), (middle == Tissue.OEDEMA).float()
    before = water.clone()
    frayed(water, fat, middle, 1.0, np.random.default_rng(0))
    assert torch.equal(water[0], before[0])
    assert torch.equal(water[1, :, :10], before[1, :, :10])
    assert fat[1, 30, 30:50].diff().abs().max() < 0.5
    assert fat[1, 30, 38:42].min() > 0.99
    edge = fat[1, 20:40, 29:31]
    assert 0.02 < edge.min() < edge.max() < 0.98
    assert edge.std(dim=0).min() > 0.05


def test_texture_is_of_tissue_and_none_is_in_air() -> None:
    tissue = torch.full((1, 3, 96, 96), int(Tissue.AIR), dtype=torch.uint8)
    tissue[..., 48:] = Tissue.MESENTERY
    levels = PulseSequence(600, 10).signal(water_and_fat(DISCS, 1.5))
    images = tissue_images(tissue, levels, (2.0, 2.0), 1.0, np.random.default_rng(0))
    assert not images[..., :48].any()
    assert images[..., 48:].std() > 0.05 * images[..., 48:].mean()


def test_streaming_darkens_csf_alone() -> None:
    tissue = torch.full((2, 40, 40), int(Tissue.FAT), dtype=torch.uint8)
    tissue[:, :, 20:] = Tissue.CSF
    still, streaming = (
        csf_flow(tissue, (4.0, 4.0), 1.0, torch.full(tissue.shape, strength), np.random.default_rng(0))
        for strength in (0.0, 1.0)
    )
    assert (still == 1).all()
    assert (streaming[..., :20] == 1).all()
    assert 0.1 < streaming[..., 20:].min() < 0.6
    assert streaming[..., 20:].max() == 1


def test_noise_field_has_the_grain_asked_for() -> None:
    field = noise_field(torch.zeros(2, 64, 64), (16.0, 2.0), np.random.default_rng(0))
    assert field.shape == (2, 64, 64)
    assert field.diff(dim=1).abs().mean() < 0.5 * field.diff(dim=2).abs().mean()
