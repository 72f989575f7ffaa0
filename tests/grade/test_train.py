"""Training the grader: it learns, it can be killed and resumed, and its input is a view."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from kitlib.artefacts import Provenance, facts_of, sha256
from kitlib.grade import train as training
from kitlib.grade.augment import as_patients, changed
from kitlib.grade.calibration import AS_LEARNT
from kitlib.grade.network import (
    StudyNet,
    StudyOutput,
    ViewOutput,
    calibration_of,
    load_network,
    prediction_loss,
    save_network,
)
from kitlib.grade.samples import SLICES, ViewSamples
from kitlib.grade.thresholds import LIMITS_MM
from kitlib.grade.train import PersonBatches, Truths, grading_loss, mean_of_epochs, train_grader
from kitlib.nn.losses import OPENING_UNIT_MM, Truth
from kitlib.phantom.labels import PREVALENCE
from kitlib.prepare.views import MARGIN_PX, SLOTS, VIEW_PX
from kitlib.terms import CELLS, EMPTY

TINY = "test_resnet"


@pytest.fixture(scope="module")
def samples() -> ViewSamples:
    """A bright square, wider the less severe the place."""
    rng, side, count = np.random.default_rng(0), MARGIN_PX, 48
    severities = np.arange(count) % 3
    images = rng.integers(1, 90, (count, SLICES, side, side), np.uint8)
    for image, severity in zip(images, severities):
        half = 20 - 8 * severity
        image[:, side // 2 - half : side // 2 + half, side // 2 - half : side // 2 + half] = 220
    openings_mm = (12 - 5 * severities).astype(np.float32)
    cells, views = np.array(SLOTS)[(5 * np.arange(count)) % len(SLOTS)].T
    present = np.ones((count, SLICES), bool)
    return ViewSamples(images, present, cells, views, severities, openings_mm, np.arange(count) // 4)


def test_what_is_learnt_from_are_persons_with_their_views_in_other_greys(samples: ViewSamples) -> None:
    rng = torch.Generator().manual_seed(0)
    batches = PersonBatches(samples)
    for _ in range(6):
        batch, truth = batches.batch(np.arange(3), rng)
        images, present, views = batch.views
        assert images.shape[0] == 12
        assert images.shape[1] in (1, 3)
        assert images.shape[2:] == (VIEW_PX, VIEW_PX)
        assert images.min() >= 0
        assert images.max() <= 1
        assert present[:, present.shape[1] // 2].all()
        assert batch.studies.tolist() == np.repeat(np.arange(3), 4).tolist()
        assert views.tolist() == samples.views[:12].tolist()
        assert [SLOTS[slot].cell for slot in batch.slots] == samples.cells[:12].tolist()
        assert truth.views.severities[:, 0].tolist() == samples.severities[:12].tolist()
        assert truth.views.openings_mm[:, 0].tolist() == samples.openings_mm[:12].tolist()


def test_a_cell_of_a_person_has_the_truth_of_its_views_and_others_none(samples: ViewSamples) -> None:
    _, truth = PersonBatches(samples).batch(np.array([2]), None)
    known = samples.cells[8:12]
    assert truth.cells.severities[0, known].tolist() == samples.severities[8:12].tolist()
    others = np.setdiff1d(np.arange(len(CELLS)), known)
    assert (truth.cells.severities[0, others] == EMPTY).all()
    assert truth.cells.openings_mm[0, others].isnan().all()


def test_the_place_itself_is_on_the_slice_that_is_said_to_show_it(samples: ViewSamples) -> None:
    marked = np.zeros_like(samples.images)
    marked[:, SLICES // 2] = 255
    batches, rng, seen = PersonBatches(dataclasses.replace(samples, images=marked)), torch.Generator(), set()
    for seed in range(12):
        batch, truth = batches.batch(np.arange(12), rng.manual_seed(seed))
        if batch.views.images.shape[1] == 3:
            brightest = batch.views.images.mean(dim=(2, 3)).argmax(dim=1)
            there = batch.views.present.gather(1, truth.middles[:, None])[:, 0]
            assert (brightest == truth.middles)[there].all()
            seen |= set(truth.middles.tolist())
    assert seen == {0, 1, 2}


def test_without_draws_a_view_is_the_middle_slice_as_one_of_a_patient(samples: ViewSamples) -> None:
    batch, _ = PersonBatches(samples).batch(np.array([0]), None)
    images, views = torch.from_numpy(samples.images[:4, [SLICES // 2]]), batch.views.views
    expected = changed(images.float() / 255, views, None, as_patients(views))
    torch.testing.assert_close(batch.views.images, expected)


def test_the_loss_weighs_severities_and_falls_with_better_answers() -> None:
    predictions = torch.tensor([[4.0, 0.0, 0.0, 2.0], [0.0, 0.0, 4.0, 0.4]])
    truth = Truth(torch.tensor([[0], [2]]), torch.tensor([[10.0], [2.0]]))
    right = prediction_loss(predictions[:, None], truth)
    missed_severe = prediction_loss(predictions[[0, 0]][:, None], truth)
    missed_normal = prediction_loss(predictions[[1, 1]][:, None], truth)
    assert right < missed_normal < missed_severe
    assert right < prediction_loss(predictions[:, None] + torch.tensor([0.0, 0.0, 0.0, 1.0]), truth)


def test_attention_to_another_slice_costs() -> None:
    cells = Truth(torch.full((1, 25), EMPTY), torch.full((1, 25), torch.nan))
    views = Truth(torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1))
    losses = [
        grading_loss(
            StudyOutput(
                torch.zeros(1, 25, 4),
                ViewOutput(torch.zeros(1, 8), torch.zeros(1, 4), torch.tensor([weights])),
            ),
            Truths(views, cells, torch.tensor([1])),
        )
        for weights in ((0.1, 0.8, 0.1), (0.8, 0.1, 0.1))
    ]
    assert losses[0] < losses[1]


@pytest.mark.parametrize("mixup_alpha", [0.0, 0.4])
def test_training_learns_and_a_killed_one_ends_the_same(
    tmp_path: Path, samples: ViewSamples, monkeypatch: pytest.MonkeyPatch, mixup_alpha: float
) -> None:
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    how = {"epochs": 2, "seed": 1, "backbone": TINY, "mixup_alpha": mixup_alpha, "command": "as said"}
    found = train_grader(whole, samples, **how)
    assert facts_of(whole)["command"] == "as said"
    assert found == facts_of(whole)["metrics"]
    np.testing.assert_allclose(calibration_of(whole).usual, PREVALENCE, atol=1e-6)

    save = training.save_network

    def die(*arguments, **facts) -> None:
        save(*arguments, **facts)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_network", die)
    with pytest.raises(KeyboardInterrupt):
        train_grader(killed, samples, **how)
    monkeypatch.setattr(training, "save_network", save)
    train_grader(killed, samples, **how)
    assert sha256(killed) == sha256(whole)
    assert not list(tmp_path.glob("*.unfinished*"))
    assert isinstance(load_network(whole), StudyNet)
    measures = ("mm", "accuracy", "accuracy by mm")
    assert {f"{place}: {measure}" for place in ("foramen", "recess") for measure in measures} <= found.keys()


def test_what_is_saved_is_the_mean_of_all_epochs_however_often_one_is_told(tmp_path: Path) -> None:
    out, networks = tmp_path / "grader.safetensors", [StudyNet(TINY) for _ in range(3)]
    for number, network in enumerate(networks):
        for value in network.state_dict().values():
            value.fill_(2**number)  # whose means half precision holds
    for epoch in (1, 2, 2, 3, 3):
        mean = mean_of_epochs(out, networks[epoch - 1], epoch)
        save_network(out, mean, Provenance(), AS_LEARNT, epoch=epoch)
    weights = [value for value in load_network(out).state_dict().values() if value.is_floating_point()]
    assert weights
    for value in weights:
        np.testing.assert_allclose(value.cpu(), 7 / 3, rtol=1e-3)


def test_severities_are_judged_as_told_and_as_read_off_openings() -> None:
    cells = np.array([0, 0, 0, 0])
    severities = np.array([0, 1, 2, 2])
    openings_mm = LIMITS_MM[0, 1] + np.array([9.0, 0.5, -1.0, -2.0])
    heads = torch.nn.functional.one_hot(torch.tensor([2, 1, 0, 0]), 3).float()
    predictions = torch.cat([heads, torch.from_numpy(openings_mm / OPENING_UNIT_MM)[:, None].float()], dim=1)
    found = training._judged("canal", predictions, cells, severities, openings_mm)
    assert found == {
        "canal: mm": 0.0,
        "canal: accuracy": 0.25,
        "canal: AUC": 0.0,
        "canal: accuracy by mm": 1.0,
        "canal: AUC by mm": 1.0,
    }
    assert training._judged("canal", predictions[:0], cells[:0], severities[:0], openings_mm[:0]) == {}
