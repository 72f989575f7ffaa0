import numpy as np
import pytest
import torch

from kitlib.phantom.body.abdomen import Abdomen, draw_abdomen, paint_bowel
from kitlib.phantom.body.muscles import Places
from kitlib.phantom.body.person import Person
from kitlib.phantom.body.spine import Spine
from kitlib.phantom.body.tissues import Tissue, draw_texture
from kitlib.phantom.body.vertebrae import LUMBOSACRAL
from tests.phantom.body.test_torso import draw_body


def draw(seed: int, **changes: object) -> tuple[Person, Spine, Abdomen]:
    person, spine, _, torso = draw_body(seed, **changes)
    return person, spine, torso.abdomen


@pytest.mark.parametrize("seed", range(4))
def test_kidneys_lie_beside_the_spine_and_not_in_it(seed: int) -> None:
    _, spine, abdomen = draw(seed)
    kidneys = [(centre, half) for centre, half, tissue in abdomen.blobs if tissue == Tissue.KIDNEY]
    assert sorted(np.sign(centre[0]) for centre, _ in kidneys) == [-1, 1]
    for centre, half in kidneys:
        nearest = min(spine.vertebrae, key=lambda body: abs(body.frame.origin_mm[2] - centre[2]))
        assert spine.vertebrae.index(nearest) in range(LUMBOSACRAL + 2, LUMBOSACRAL + 6)  # L4 to T12
        assert abs(centre[0] - nearest.frame.origin_mm[0]) - half[0] > nearest.width_mm / 2


@pytest.mark.parametrize("seed", range(4))
def test_the_aorta_lies_left_of_the_cava_and_both_before_the_bodies(seed: int) -> None:
    _, spine, abdomen = draw(seed)
    trunks = {}
    for tissue in (Tissue.ARTERY, Tissue.VEIN):
        thickest = max(
            (one for one in abdomen.vessels if one.tissue == tissue), key=lambda one: one.radius_mm
        )
        trunks[tissue] = thickest.line_mm[1:], thickest.radius_mm
    aorta, cava = trunks[Tissue.ARTERY][0], trunks[Tissue.VEIN][0]
    assert (aorta[:, 0] > cava[:, 0] + 12).all()
    for line, radius in trunks.values():
        for body, place in zip(spine.vertebrae[LUMBOSACRAL + 2 :], line):
            _, back, _ = body.frame.axes @ (place - body.frame.origin_mm)
            assert back + radius < -body.depth_mm / 2


def test_only_women_have_a_uterus() -> None:
    counts = [len(draw(0, female=female)[2].blobs) for female in (True, False)]
    assert counts[0] == counts[1] + 2


def test_the_same_lots_give_the_same_abdomen() -> None:
    person, spine, _ = draw(0)
    first, again = (draw_abdomen(person, spine, np.random.default_rng(7)) for _ in range(2))
    for one, other in zip(first.blobs, again.blobs, strict=True):
        assert (np.array(one[:2]) == other[:2]).all()
        assert one[2] == other[2]


def test_loops_of_bowel_keep_before_the_retroperitoneum() -> None:
    behind, up = torch.meshgrid(torch.arange(-120.0, -27), torch.arange(-60.0, 61), indexing="ij")
    flat = torch.zeros(behind.numel()), behind.ravel(), up.ravel(), torch.full((behind.numel(),), 47.0)
    tissue = torch.full((1, behind.numel()), Tissue.FAT, dtype=torch.uint8)
    paint_bowel(tissue, Places(*flat, torch.zeros(1, 1)), draw_texture(np.random.default_rng(0)))
    bowel = (tissue == Tissue.BOWEL).view(behind.shape).numpy()
    assert 0.2 < bowel[:60].mean() < 0.7
    assert not bowel[-10:].any()
