from dataclasses import replace

import numpy as np
import pytest
import torch

from kitlib.phantom.body.tissues import Tissue, water_and_fat
from kitlib.phantom.scan.coil import draw_coil
from kitlib.phantom.scan.imaging import Protocol, View, draw_protocol
from kitlib.phantom.scan.plans import Plan
from kitlib.phantom.scan.signal import Sequence

T1, T2, STIR = Sequence(600, 10), Sequence(4000, 100, 0.0, 16), Sequence(4500, 50, 165, 12)
SIZE = 96
BACK, DOWN = np.array([[0, 1.0, 0], [0, 0, -1.0]])
PLAN = Plan(np.zeros((1, 3)), BACK, DOWN, 2.0, (SIZE, SIZE), 4.0, 1)
COIL = draw_coil(np.random.default_rng(0))


def view(tissue: torch.Tensor) -> View:
    """A sagittal slice with the skin of the back at its right edge."""
    before = (SIZE - 1 - torch.arange(float(SIZE))).expand(1, SIZE, SIZE) * 2
    height = (SIZE / 2 - torch.arange(float(SIZE)))[:, None].expand(1, SIZE, SIZE)
    return View(tissue, before, before - 60, height, 20.0, 2.0, True)


def protocol(timing: Sequence, seed: int = 0) -> Protocol:
    return draw_protocol(timing, PLAN, 1.5, np.random.default_rng(seed))


def imaged(one: Protocol, timing: Sequence, tissue: torch.Tensor, noise: float = 0.0) -> torch.Tensor:
    signal = timing.signal(water_and_fat(np.zeros(1), 1.5))
    return one.image(view(tissue), signal, COIL, noise, np.random.default_rng(1))[0]


def body(*, front: Tissue, back: Tissue) -> torch.Tensor:
    tissue = torch.full((1, 1, SIZE, SIZE), int(front), dtype=torch.uint8)
    tissue[..., 48:] = back
    return tissue


def test_breathing_ghosts_come_from_the_front_alone() -> None:
    tissue = body(front=Tissue.AIR, back=Tissue.MUSCLE)
    tissue[..., :60, 10:20] = Tissue.FAT
    calm = replace(protocol(T1), breath=0.0, pulse=0.0)
    restless = replace(calm, breath=0.3)
    change = (imaged(restless, T1, tissue) - imaged(calm, T1, tissue)).abs()
    assert change.max() > 0.01
    if calm.encoding.phase_axis == 1:
        change = change[:, 40:]
    assert change[:, 40:].max() < 1e-3


def test_stir_shows_muscle_brighter_than_fat_and_t1_the_reverse() -> None:
    tissue = body(front=Tissue.FAT, back=Tissue.MUSCLE)
    fat, muscle = (slice(None), slice(40, 44)), (slice(None), slice(52, 56))
    plain = {timing: replace(protocol(timing), band=None, breath=0.0) for timing in (T1, STIR)}
    t1, stir = (imaged(one, timing, tissue) for timing, one in plain.items())
    assert t1[fat].mean() > 1.5 * t1[muscle].mean()
    assert stir[muscle].mean() > 3 * stir[fat].mean()


def test_no_band_takes_signal_from_the_foremost_body() -> None:
    flat = body(front=Tissue.MARROW, back=Tissue.MARROW)
    bands = [one for one in (protocol(T1, seed) for seed in range(12)) if one.band]
    assert bands
    for one in bands:
        still = replace(one, breath=0.0, pulse=0.0)
        share = imaged(still, T1, flat) / imaged(replace(still, band=None), T1, flat)
        assert share[20:-20, 56:-4].min() > 0.88  # columns that lie no further forward than the body
        assert 0.2 < share[20:-20, 4:8].min() < 0.6


@pytest.mark.parametrize("noise", [0.01, 0.02])
def test_a_receiver_of_wider_band_is_noisier(noise: float) -> None:
    air = body(front=Tissue.AIR, back=Tissue.AIR)
    narrow, wide = (replace(T2, bandwidth=bandwidth) for bandwidth in (100.0, 400.0))
    quiet, loud = (imaged(protocol(timing), timing, air, noise) for timing in (narrow, wide))
    assert loud.mean().item() == pytest.approx(2 * quiet.mean().item(), rel=0.1)
    assert (imaged(protocol(T2), T2, air) == 0).all()


def test_only_late_echoes_show_the_flow_of_csf() -> None:
    assert protocol(T1).eddies == 0
    assert protocol(T2).eddies > 0


def test_short_echo_trains_and_strong_fields_make_metal_bloom() -> None:
    reach = [
        draw_protocol(timing, PLAN, field_t, np.random.default_rng(0)).metal_mm
        for timing, field_t in ((T2, 1.5), (T2, 3.0), (T1, 3.0))
    ]
    assert reach == sorted(reach)
    assert reach[0] < reach[-1]
