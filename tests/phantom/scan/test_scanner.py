from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from kitlib.phantom.body.anatomy import Anatomy
from kitlib.phantom.body.grid import PATIENT, Canvas
from kitlib.phantom.body.tissues import Tissue, water_and_fat
from kitlib.phantom.scan.coil import draw_coil
from kitlib.phantom.scan.plans import Plan, SeriesPlan
from kitlib.phantom.scan.scanner import Acquisition, Slab, acquire, draw_acquisition, draw_scanner
from kitlib.phantom.scan.signal import PulseSequence
from kitlib.terms import AXIAL_T2, SAGITTAL_T2

BALL_MM = np.array([4.0, 3.0, -6.0])
T1, T2, STIR = PulseSequence(600, 10), PulseSequence(4000, 100, 0.0, 16), PulseSequence(4500, 50, 165, 12)
SIZE = 96
BACK, DOWN = np.array([[0, 1.0, 0], [0, 0, -1.0]])
PLAN = Plan(np.zeros((1, 3)), BACK, DOWN, 2.0, (SIZE, SIZE), 4.0, 1)
COIL = draw_coil(np.random.default_rng(0))


class Ball:
    """A ball of CSF in a block of muscle: an anatomy whose position in an image can be measured."""

    at_mm = np.array([10.0, -20.0, 300.0])
    person = SimpleNamespace(marrow_fat=0.4)
    spine = SimpleNamespace(
        discs=[SimpleNamespace(water=0.5)],
        vertebrae=[SimpleNamespace(frame=PATIENT, depth_mm=30.0, lip_mm=1.0)],
    )
    canal = SimpleNamespace(centres_mm=np.zeros((2, 3)))
    torso = SimpleNamespace(skin_y_mm=np.full(9, 70.0))

    def paint(self, canvas: Canvas) -> None:
        canvas.paint(canvas.everything, canvas.tissue == Tissue.AIR, Tissue.MUSCLE)
        canvas.fill(canvas.rod(PATIENT, (BALL_MM, BALL_MM), (9.0, 9.0)), Tissue.CSF)


BALL = cast(Anatomy, Ball())


def planned(
    sequence: str = AXIAL_T2, motion_mm: Any = (0.0, 0.0, 0.0), *, ascending: bool = True
) -> SeriesPlan:
    axes = ((1.0, 0, 0), (0, 1.0, 0)) if sequence == AXIAL_T2 else ((0, 1.0, 0), (0, 0, -1.0))
    row, column = np.array(axes)
    normal = np.abs(np.cross(row, column))
    centres = np.linspace(-16, 16, 9)[:, None] * normal
    plan = Plan(centres, row, column, 0.9, (100, 100), 3.5, 3)
    return SeriesPlan(sequence, (plan,), ascending, np.asarray(motion_mm), np.arange(1, 10))


def ball_mm(motion_mm: Any, sequence: str) -> np.ndarray:
    """The patient position at which the ball's centre is imaged."""
    _, (stack,) = acquire(
        BALL, planned(sequence, motion_mm), draw_scanner(np.random.default_rng(1)), np.random.default_rng(4)
    )
    bright = np.argwhere(stack.pixels > 0.5 * np.percentile(stack.pixels, 99.8))
    return stack.to_patient(*bright.T[::-1]).mean(axis=0)


@pytest.mark.parametrize("sequence", [AXIAL_T2, SAGITTAL_T2])
def test_motion_moves_the_image_by_exactly_that_much(sequence: str) -> None:
    motion = np.array([2.0, -1.5, 1.0])
    still, moved = ball_mm((0, 0, 0), sequence), ball_mm(motion, sequence)
    assert np.allclose(still, BALL_MM + BALL.at_mm, atol=0.5)
    assert np.allclose(moved - still, motion, atol=0.45)


def test_the_same_seed_gives_the_same_whole_pixels() -> None:
    scanner = draw_scanner(np.random.default_rng(1))
    (_, (one,)), (_, (two,)), (_, (other,)) = (
        acquire(BALL, planned(), scanner, np.random.default_rng(seed)) for seed in (2, 2, 3)
    )
    assert one.pixels.dtype == np.float32
    assert one.pixels.shape == (9, 100, 100)
    assert (one.pixels == two.pixels).all()
    assert (one.pixels != other.pixels).any()
    assert one.pixels.min() >= 0
    assert (one.pixels == one.pixels.round()).all()


def test_stacks_of_one_series_share_timing_but_not_noise() -> None:
    plan = planned()
    twice = SeriesPlan(plan.sequence, plan.plans * 2, True, plan.motion_mm, np.arange(1, 19))
    timing, stacks = acquire(BALL, twice, draw_scanner(np.random.default_rng(1)), np.random.default_rng(0))
    assert timing.repetition_ms > 2000
    assert (stacks[0].pixels != stacks[1].pixels).mean() > 0.5
    assert np.concatenate([stack.instance_numbers for stack in stacks]).tolist() == list(range(1, 19))


def test_instances_are_numbered_as_planned() -> None:
    scanner = draw_scanner(np.random.default_rng(1))
    _, (stack,) = acquire(BALL, planned(ascending=False), scanner, np.random.default_rng(0))
    assert stack.instance_numbers.tolist() == list(range(9, 0, -1))
    assert stack.files[0] == "9.dcm"


def test_three_tesla_is_less_usual_and_less_noisy() -> None:
    scanners = [draw_scanner(np.random.default_rng(seed)) for seed in range(300)]
    high = [scanner for scanner in scanners if scanner.field_t == 3.0]
    low = [scanner for scanner in scanners if scanner.field_t == 1.5]
    assert len(high) + len(low) == 300
    assert 0.2 < len(high) / 300 < 0.4
    assert np.mean([s.noise for s in high]) < 0.8 * np.mean([s.noise for s in low])


def slab(tissue: torch.Tensor) -> Slab:
    """A sagittal slice with the skin of the back at its right edge."""
    before = (SIZE - 1 - torch.arange(float(SIZE))).expand(1, SIZE, SIZE) * 2
    height = (SIZE / 2 - torch.arange(float(SIZE)))[:, None].expand(1, SIZE, SIZE)
    return Slab(tissue, before, before - 60, height, 20.0, 2.0, True)


def acquisition(timing: PulseSequence, seed: int = 0) -> Acquisition:
    return draw_acquisition(timing, PLAN, 1.5, np.random.default_rng(seed))


def imaged(one: Acquisition, timing: PulseSequence, tissue: torch.Tensor, noise: float = 0.0) -> torch.Tensor:
    signal = timing.signal(water_and_fat(np.zeros(1), 1.5))
    return one.image(slab(tissue), signal, COIL, noise, np.random.default_rng(1))[0]


def body(*, front: Tissue, back: Tissue) -> torch.Tensor:
    tissue = torch.full((1, 1, SIZE, SIZE), int(front), dtype=torch.uint8)
    tissue[..., 48:] = back
    return tissue


def test_breathing_ghosts_come_from_the_front_alone() -> None:
    tissue = body(front=Tissue.AIR, back=Tissue.MUSCLE)
    tissue[..., :60, 10:20] = Tissue.FAT
    calm = replace(acquisition(T1), breath=0.0, pulse=0.0)
    restless = replace(calm, breath=0.3)
    change = (imaged(restless, T1, tissue) - imaged(calm, T1, tissue)).abs()
    assert change.max() > 0.01
    if calm.encoding.phase_axis == 1:
        change = change[:, 40:]
    assert change[:, 40:].max() < 1e-3


def test_stir_shows_muscle_brighter_than_fat_and_t1_the_reverse() -> None:
    tissue = body(front=Tissue.FAT, back=Tissue.MUSCLE)
    fat, muscle = (slice(None), slice(40, 44)), (slice(None), slice(52, 56))
    plain = {timing: replace(acquisition(timing), band=None, breath=0.0) for timing in (T1, STIR)}
    t1, stir = (imaged(one, timing, tissue) for timing, one in plain.items())
    assert t1[fat].mean() > 1.5 * t1[muscle].mean()
    assert stir[muscle].mean() > 3 * stir[fat].mean()


def test_no_band_takes_signal_from_the_foremost_body() -> None:
    flat = body(front=Tissue.MARROW, back=Tissue.MARROW)
    bands = [one for one in (acquisition(T1, seed) for seed in range(12)) if one.band]
    assert bands
    for one in bands:
        still = replace(one, breath=0.0, pulse=0.0)
        share = imaged(still, T1, flat) / imaged(replace(still, band=None), T1, flat)
        assert share[20:-20, 56:-4].min() > 0.88  # columns no further forward than the body
        assert 0.2 < share[20:-20, 4:8].min() < 0.6


@pytest.mark.parametrize("noise", [0.01, 0.02])
def test_a_receiver_of_wider_band_is_noisier(noise: float) -> None:
    air = body(front=Tissue.AIR, back=Tissue.AIR)
    narrow, wide = (replace(T2, bandwidth=bandwidth) for bandwidth in (100.0, 400.0))
    quiet, loud = (imaged(acquisition(timing), timing, air, noise) for timing in (narrow, wide))
    assert loud.mean().item() == pytest.approx(2 * quiet.mean().item(), rel=0.1)
    assert (imaged(acquisition(T2), T2, air) == 0).all()


def test_only_late_echoes_show_the_flow_of_csf() -> None:
    assert acquisition(T1).eddies == 0
    assert acquisition(T2).eddies > 0


def test_short_echo_trains_and_strong_fields_make_metal_bloom() -> None:
    reach = [
        draw_acquisition(timing, PLAN, field_t, np.random.default_rng(0)).metal_mm
        for timing, field_t in ((T2, 1.5), (T2, 3.0), (T1, 3.0))
    ]
    assert reach == sorted(reach)
    assert reach[0] < reach[-1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_images_the_same_as_a_cpu() -> None:
    scanner = draw_scanner(np.random.default_rng(1))
    (_, (one,)), (_, (two,)) = (
        acquire(BALL, planned(), scanner, np.random.default_rng(0), device) for device in ("cpu", "cuda")
    )
    assert np.abs(one.pixels - two.pixels).max() <= 0.02 * one.pixels.max()
