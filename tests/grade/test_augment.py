"""Augmentation of views: size, grey values and mirroring."""

import pytest
import torch

from kitlib.grade.augment import SMALLER, as_patients, changed, place2behind_mm
from kitlib.prepare.views import MARGIN_PX, VIEW_PX, VIEWS, without_margin
from kitlib.terms import AXIAL_T2

CANAL = VIEWS.index(("canal", AXIAL_T2))


def half_bright(count: int) -> torch.Tensor:
    images = torch.full((count, 1, MARGIN_PX, MARGIN_PX), 0.2)
    images[..., MARGIN_PX // 2 :] = 0.8
    return images


def test_without_draws_nothing_changes() -> None:
    images = torch.rand(3, 2, MARGIN_PX, MARGIN_PX)
    assert torch.equal(changed(images, torch.zeros(3, dtype=torch.int64), None), without_margin(images))


def test_phantoms_are_looked_at_smaller_and_about_where_annotators_mark() -> None:
    for number, view in enumerate(VIEWS):
        images = torch.zeros(1, 1, MARGIN_PX, MARGIN_PX)
        middle = slice(MARGIN_PX // 2 - 10, MARGIN_PX // 2 + 10)
        images[..., middle, middle] = 1  # 20 pixels about the point that phantoms have
        views = torch.tensor([number])
        seen = changed(images, views, None, as_patients(views))[0, 0]
        assert float(seen.sum()) == pytest.approx((20 / SMALLER) ** 2, rel=0.01)
        rows, columns = torch.meshgrid(torch.arange(VIEW_PX), torch.arange(VIEW_PX), indexing="ij")
        middle_px = (VIEW_PX - 1) / 2
        off_px = [float((seen * at).sum() / seen.sum()) - middle_px for at in (columns, rows)]
        behind_px = place2behind_mm[view.place] / (view.side_mm / VIEW_PX)
        expected = [0, -behind_px] if view.sequence == AXIAL_T2 else [-behind_px, 0]
        assert off_px == pytest.approx(expected, abs=0.02)


def test_half_of_the_axial_canals_are_mirrored_and_no_others() -> None:
    for view in range(len(VIEWS)):
        rng = torch.Generator().manual_seed(view)
        seen = changed(half_bright(200), torch.full((200,), view), rng)
        assert seen.shape == (200, 1, VIEW_PX, VIEW_PX)
        assert seen.min() >= 0
        assert seen.max() <= 1
        left, right = seen[..., : VIEW_PX // 3].mean((1, 2, 3)), seen[..., -VIEW_PX // 3 :].mean((1, 2, 3))
        share = float((left > right).float().mean())
        assert 0.4 < share < 0.6 if view == CANAL else share < 0.1


def test_no_view_can_be_changed_too() -> None:
    nothing = torch.zeros(0, 1, MARGIN_PX, MARGIN_PX)
    rng = torch.Generator().manual_seed(0)
    assert changed(nothing, torch.zeros(0, dtype=torch.int64), rng).shape == (0, 1, VIEW_PX, VIEW_PX)
