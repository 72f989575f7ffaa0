"""Mixup: pairs of the same kind, shares that sum to one, soft targets, and no effect when it is off."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import torch

from kitlib.grade.mixup import Mixed, blended_studies, blended_views, mixed_loss, mixup
from kitlib.grade.network import StudyBatch, ViewBatch, prediction_loss
from kitlib.grade.train import Truths
from kitlib.nn.losses import Truth
from kitlib.prepare.views import slot2view
from kitlib.terms import CELLS, EMPTY

SHARE = 0.7
SLOTS_OF = ((0, 1, 7), (1, 7, 30), (1, 30))  # what each of three studies shows


def studies() -> tuple[StudyBatch, Truths]:
    """Brightness and openings equal the number of the view; a cell's number is its study's."""
    at = torch.tensor([study for study, slots in enumerate(SLOTS_OF) for _ in slots])
    slots = torch.tensor([slot for shown in SLOTS_OF for slot in shown])
    count = len(slots)
    images = torch.arange(count).float()[:, None, None, None].expand(count, 3, 4, 4)
    present = torch.ones(count, 3, dtype=torch.bool)
    present[1, 0] = False
    views = ViewBatch(images, present, torch.from_numpy(slot2view)[slots])
    of_views = Truth(torch.arange(count)[:, None] % 3, torch.arange(count).float()[:, None])
    numbers = torch.arange(len(SLOTS_OF))[:, None].expand(-1, len(CELLS))
    of_cells = Truth(numbers, numbers.float())
    return StudyBatch(views, at, slots, len(SLOTS_OF)), Truths(of_views, of_cells, torch.ones(count).long())


def test_studies_are_blended_slot_by_slot_where_both_show_it() -> None:
    batch, truth = studies()
    mixed, shown = blended_studies(batch, truth, SHARE)
    # The next one of the first study is the last: roll(1).
    assert mixed.studies.tolist() == [0, 1, 1, 2, 2]
    assert mixed.slots.tolist() == [1, 1, 7, 1, 30]
    own, other = torch.tensor([1, 3, 4, 6, 7]), torch.tensor([6, 1, 2, 3, 5])
    assert batch.slots[own].tolist() == batch.slots[other].tolist() == mixed.slots.tolist()
    expected = SHARE * own + (1 - SHARE) * other
    torch.testing.assert_close(mixed.views.images[:, 0, 0, 0], expected)
    assert mixed.views.present[:, 0].tolist() == [False, False, True, True, True]
    assert shown.own.views.openings_mm[:, 0].tolist() == own.tolist()
    assert shown.other.views.openings_mm[:, 0].tolist() == other.tolist()
    assert shown.own.cells.severities[:, 0].tolist() == [0, 1, 2]
    assert shown.other.cells.severities[:, 0].tolist() == [2, 0, 1]
    assert shown.share == SHARE


def test_views_are_blended_with_another_of_their_kind() -> None:
    kinds = torch.tensor([0, 1, 0, 2, 1, 0])
    images = torch.arange(6).float()[:, None, None, None].expand(6, 1, 4, 4)
    truth = Truth(torch.arange(6)[:, None], torch.full((6, 1), torch.nan))
    batch, shown = blended_views(ViewBatch(images, torch.ones(6, 1, dtype=torch.bool), kinds), truth, SHARE)
    others = shown.other.severities[:, 0]
    assert kinds[others].tolist() == kinds.tolist() == batch.views.tolist()
    assert sorted(others.tolist()) == list(range(6))
    assert (others == torch.arange(6)).tolist() == [False, False, False, True, False, False]
    torch.testing.assert_close(batch.images[:, 0, 0, 0], SHARE * torch.arange(6) + (1 - SHARE) * others)


def test_the_loss_is_that_of_a_soft_severity_and_of_the_opening_in_between() -> None:
    predictions = torch.tensor([[[1.0, -0.5, 0.2, 1.1]]], requires_grad=True)
    own = Truth(torch.tensor([[0]]), torch.tensor([[6.0]]))
    other = Truth(torch.tensor([[2]]), torch.tensor([[4.0]]))
    mixed_loss(prediction_loss)(predictions, Mixed(own, other, SHARE)).backward()
    found = predictions.grad[0, 0].clone()
    # Cross-entropy of the soft target, weighted 1/2/4; a square around the mixed opening, in units of 5 mm.
    chances, soft = predictions.detach()[0, 0, :3].softmax(0), torch.tensor([SHARE, 0.0, 4 * (1 - SHARE)])
    torch.testing.assert_close(found[:3], soft.sum() * chances - soft)
    torch.testing.assert_close(found[3], predictions.detach()[0, 0, 3] - (SHARE * 6 + (1 - SHARE) * 4) / 5)


def test_an_unknown_severity_adds_nothing() -> None:
    predictions = torch.randn(2, 1, 4)
    own = Truth(torch.tensor([[0], [2]]), torch.tensor([[6.0], [3.0]]))
    unknown = Truth(torch.full((2, 1), EMPTY), torch.full((2, 1), torch.nan))
    found = mixed_loss(prediction_loss)(predictions, Mixed(own, unknown, SHARE))
    torch.testing.assert_close(found, SHARE * prediction_loss(predictions, own))


def test_it_is_off_unless_it_is_asked_for_and_never_without_draws() -> None:
    batch, truth = studies()
    batches = SimpleNamespace(batch=lambda *_: (batch, truth))
    assert mixup(batches, prediction_loss, 0.0) == (batches, prediction_loss)
    blended, _ = mixup(batches, prediction_loss, 0.4)
    assert blended.batch(np.arange(3), None) == (batch, truth)
    draw = partial(blended.batch, np.arange(3))
    shares = [draw(torch.Generator().manual_seed(seed))[1].share for seed in (0, 0, 1)]
    assert shares[0] == shares[1] != shares[2]
    assert all(0 <= share <= 1 for share in shares)


def of_studies(numbers: list[int]) -> tuple[StudyBatch, Truths]:
    """Some of the studies, renumbered."""
    batch, truth = studies()
    rows = torch.cat([(batch.studies == number).nonzero()[:, 0] for number in numbers])
    at = torch.tensor([numbers.index(study) for study in batch.studies[rows]])
    views = ViewBatch(*(part[rows] for part in batch.views))
    return StudyBatch(views, at, batch.slots[rows], len(numbers)), truth.take(rows, torch.tensor(numbers))


def test_a_study_alone_is_as_it_was() -> None:
    batch, truth = of_studies([1])
    mixed, shown = blended_studies(batch, truth, SHARE)
    torch.testing.assert_close(mixed.views.images, batch.views.images)
    assert shown.own.views.openings_mm.tolist() == shown.other.views.openings_mm.tolist()


def test_studies_that_have_nothing_in_common_are_as_they_were() -> None:
    batch, truth = of_studies([0, 2])
    apart = batch._replace(slots=torch.tensor([0, 1, 7, 2, 30]))
    assert blended_studies(apart, truth, SHARE) == (apart, Mixed(truth, truth, SHARE))
