import numpy as np
import torch

from kitlib.phantom.signal import Sequence, draw_receiver, draw_sequence, noise_field, tissue_image
from kitlib.phantom.tissues import Tissue, relaxation
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2

SPINS = relaxation(np.array([0.0, 1.0]))  # a black disc and a white one


def signal(name: str, seed: int = 0) -> np.ndarray:
    return draw_sequence(name, np.random.default_rng(seed)).signal(SPINS)


def test_contrasts_are_those_of_the_textbook() -> None:
    for seed in range(20):
        t1, t2 = signal(SAGITTAL_T1, seed), signal(AXIAL_T2, seed)
        assert t1[Tissue.FAT] > t1[Tissue.MARROW] > t1[Tissue.ANNULUS] > t1[Tissue.CSF]
        assert t2[Tissue.CSF] > t2[Tissue.FAT] > t2[Tissue.MARROW] > t2[Tissue.MUSCLE] > t2[Tissue.LIGAMENT]
        assert t2[Tissue.NUCLEUS + 1] > 3 * t2[Tissue.NUCLEUS]
        assert t1[Tissue.AIR] == t2[Tissue.AIR] == 0


def test_inversion_recovery_puts_fat_out() -> None:
    stir = Sequence(4000, 60, 160).signal(SPINS)
    assert stir[Tissue.FAT] < 0.35 * stir[Tissue.CSF]


def test_some_sagittal_t2_are_stir_and_no_other() -> None:
    rng = np.random.default_rng(0)
    inverted = {
        name: np.mean([draw_sequence(name, rng).inversion_ms > 0 for _ in range(400)])
        for name in (SAGITTAL_T1, SAGITTAL_T2, AXIAL_T2)
    }
    assert inverted[SAGITTAL_T1] == inverted[AXIAL_T2] == 0
    assert 0.03 < inverted[SAGITTAL_T2] < 0.15


def test_partial_volume_is_the_mean_through_the_slice() -> None:
    tissue = torch.tensor([Tissue.AIR, Tissue.CSF], dtype=torch.uint8)[None, :, None, None].expand(1, 2, 8, 8)
    levels = signal(AXIAL_T2)
    image = tissue_image(tissue, levels, 0.2, (2.0, 2.0), 1.0, np.random.default_rng(0))
    assert (
        image.mean().item() == np.float32(levels[Tissue.CSF] / 2)
        or abs(image.mean().item() - levels[Tissue.CSF] / 2) < 0.1 * levels[Tissue.CSF]
    )


def test_air_holds_rician_noise_and_the_back_is_brighter_than_the_belly() -> None:
    rng = np.random.default_rng(0)
    receiver = draw_receiver(rng)
    depth = torch.arange(0.0, 200.0)[None, :, None].expand(1, 200, 50)
    stored = receiver.stored(torch.ones(1, 200, 50), depth, torch.zeros_like(depth), rng)
    assert stored[0, :20].mean() > 1.3 * stored[0, -20:].mean()
    noise = receiver.stored(torch.zeros(1, 200, 200), torch.zeros(1, 200, 200), torch.zeros(1, 200, 200), rng)
    assert noise.min() >= 0
    assert noise.mean().item() == np.float32(noise.mean())
    assert abs(noise.mean().item() / (receiver.noise * receiver.gain) - np.sqrt(np.pi / 2)) < 0.05


def test_noise_field_has_the_grain_asked_for() -> None:
    field = noise_field((2, 64, 64), (16.0, 2.0), np.random.default_rng(0))
    assert field.shape == (2, 64, 64)
    assert field.diff(dim=1).abs().mean() < 0.5 * field.diff(dim=2).abs().mean()
