from dataclasses import replace

import numpy as np
import pytest
import torch

from kitlib.phantom.body.muscles import HEIGHTS_MM, Places, at_height, paint_back, paint_beside
from kitlib.phantom.body.person import Person
from kitlib.phantom.body.tissues import Tissue, draw_texture

FAT = (Tissue.FAT, Tissue.MESENTERY)
TYPICAL = Person(50.0, True, size=1.0, fat_mm=12.0, muscle=1.0, fatty=0.2, marrow_fat=0.4)


def axial_places(up_mm: float = -37.0) -> Places:
    """A level with points 1 mm apart: 161 across, 101 from front to back."""
    behind, side = torch.meshgrid(torch.arange(-50.0, 51), torch.arange(-80.0, 81), indexing="ij")
    flat = side.ravel(), behind.ravel(), torch.full((side.numel(),), up_mm), torch.full((side.numel(),), 47.0)
    return Places(*flat, torch.zeros(1, 1))


def painted(fatty: float, up_mm: float = -37.0, muscle: float = 1.0, seed: int = 0) -> np.ndarray:
    places, texture = axial_places(up_mm), draw_texture(np.random.default_rng(seed))
    tissue = torch.full((1, len(places.side)), Tissue.FAT, dtype=torch.uint8)
    person = replace(TYPICAL, muscle=muscle, fatty=fatty)
    paint_beside(tissue, places, person, texture)
    paint_back(tissue, places, person, texture)
    return tissue.view(101, 161).numpy()


def fat_in_the_back(tissue: np.ndarray) -> float:
    return float(np.isin(tissue[70:90, 85:120], FAT).mean())


@pytest.mark.parametrize("seed", range(3))
def test_fat_replaces_more_muscle_in_fatty_persons_and_at_low_levels(seed: int) -> None:
    shares = [fat_in_the_back(painted(fatty, seed=seed)) for fatty in (0.05, 0.3, 0.6)]
    assert shares[0] + 0.02 < shares[1] < shares[2] - 0.02
    assert fat_in_the_back(painted(0.4, -70.0, seed=seed)) > fat_in_the_back(painted(0.4, 70.0, seed=seed))


def test_fat_starts_in_the_medial_and_deep_corner() -> None:
    tissue = np.stack([painted(0.3, seed=seed) for seed in range(6)])
    corner, lateral = (
        np.isin(tissue[:, 66:78, at], Tissue.FAT).mean() for at in (slice(86, 94), slice(118, 128))
    )
    assert corner > 1.5 * lateral


def test_left_and_right_muscles_are_about_equal_but_not_the_same() -> None:
    muscle = painted(0.2) == Tissue.MUSCLE
    left, right = muscle[:, 81:], muscle[:, 79::-1]
    assert abs(left.sum() / right.sum() - 1) < 0.08
    assert (left != right).any()


def test_psoas_grows_from_l1_to_l4_and_leaves_the_spine_below() -> None:
    def psoas(up_mm: float) -> np.ndarray:
        return (painted(0.0, up_mm) == Tissue.MUSCLE)[:40, 81:]

    areas = [psoas(up_mm).sum() for up_mm in (70.0, 36.0, 0.0, -37.0)]
    assert (np.diff(areas) > 50).all()
    lateral = [np.nonzero(psoas(up_mm))[1].mean() for up_mm in (0.0, -37.0, -90.0)]
    assert (np.diff(lateral) > 2).all()


def test_a_muscular_person_has_more_muscle() -> None:
    assert (painted(0.2, muscle=1.25) == Tissue.MUSCLE).sum() > 1.1 * (
        painted(0.2, muscle=0.8) == Tissue.MUSCLE
    ).sum()


def test_tables_hold_their_values_at_the_heights_of_a_larger_person() -> None:
    up = torch.as_tensor(HEIGHTS_MM * 1.2, dtype=torch.float32)
    (values,) = at_height(up, replace(TYPICAL, size=1.2), HEIGHTS_MM)
    assert np.allclose(values, HEIGHTS_MM, atol=1.0)


@pytest.mark.parametrize("seed", range(3))
def test_fascia_lies_behind_the_muscles_and_never_crosses_before_them(seed: int) -> None:
    fascia = painted(0.2, seed=seed) == Tissue.FASCIA
    assert not fascia[: 50 + 20].any()
    assert fascia[80:].any(axis=0)[40:120].mean() > 0.7
