"""Training the grader: it learns, it can be killed, and what it sees is a view."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kitlib.artefacts import facts_of, sha256
from kitlib.grade import train as training
from kitlib.grade.network import ViewNet, load_grader
from kitlib.grade.samples import SLICES, ViewSamples
from kitlib.grade.train import ViewBatches, grading_loss, train_grader
from kitlib.prepare.views import MARGIN_PX, VIEW_PX, VIEWS

TINY = "test_resnet"


@pytest.fixture(scope="module")
def samples() -> ViewSamples:
    """A bright square, the wider the less severe."""
    rng, side, count = np.random.default_rng(0), MARGIN_PX, 48
    severities = np.arange(count) % 3
    images = rng.integers(1, 90, (count, SLICES, side, side), np.uint8)
    for image, severity in zip(images, severities):
        half = 20 - 8 * severity
        image[:, side // 2 - half : side // 2 + half, side // 2 - half : side // 2 + half] = 220
    openings_mm = (12 - 5 * severities).astype(np.float32)
    views = (np.arange(count) // 3) % len(VIEWS)
    return ViewSamples(
        images,
        np.ones((count, SLICES), bool),
        np.zeros(count, int),
        views,
        severities,
        openings_mm,
        np.arange(count),
    )


def test_what_is_learnt_from_is_a_view_in_other_greys(samples: ViewSamples) -> None:
    rng = torch.Generator().manual_seed(0)
    batches = ViewBatches(samples)
    for _ in range(6):
        batch, (severities, openings_mm) = batches.batch(np.arange(12), rng)
        assert batch.images.shape[0] == 12
        assert batch.images.shape[1] in (1, 3)
        assert batch.images.shape[2:] == (VIEW_PX, VIEW_PX)
        assert batch.images.min() >= 0
        assert batch.images.max() <= 1
        assert batch.present[:, batch.present.shape[1] // 2].all()
        assert severities.tolist() == samples.severities[:12].tolist()
        assert openings_mm.tolist() == samples.openings_mm[:12].tolist()


def test_without_draws_a_view_is_the_middle_as_it_is(samples: ViewSamples) -> None:
    batch, _ = ViewBatches(samples).batch(np.arange(4), None)
    edge = (samples.images.shape[-1] - VIEW_PX) // 2
    expected = samples.images[:4, SLICES // 2, edge:-edge, edge:-edge]
    np.testing.assert_allclose(255 * batch.images[:, 0].numpy(), expected, atol=1e-3)


def test_the_loss_weighs_severities_and_falls_with_better_answers() -> None:
    logits = torch.tensor([[4.0, 0.0, 0.0], [0.0, 0.0, 4.0]])
    openings = torch.tensor([2.0, 0.4])
    truth = torch.tensor([0, 2]), torch.tensor([10.0, 2.0])
    right = grading_loss((logits, openings), truth)
    missed_severe = grading_loss((logits[[0, 0]], openings), truth)
    missed_normal = grading_loss((logits[[1, 1]], openings), truth)
    assert right < missed_normal < missed_severe
    assert right < grading_loss((logits, openings + 1), truth)


def test_training_learns_and_a_killed_one_ends_the_same(
    tmp_path: Path, samples: ViewSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    found = train_grader(whole, samples, epochs=2, seed=1, backbone=TINY, command="as said")
    assert facts_of(whole)["command"] == "as said"
    assert found == facts_of(whole)["metrics"]

    save = training.save_grader

    def die(*arguments, **facts) -> None:
        save(*arguments, **facts)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_grader", die)
    with pytest.raises(KeyboardInterrupt):
        train_grader(killed, samples, epochs=2, seed=1, backbone=TINY, command="as said")
    monkeypatch.setattr(training, "save_grader", save)
    train_grader(killed, samples, epochs=2, seed=1, backbone=TINY, command="as said")
    assert sha256(killed) == sha256(whole)
    assert not list(tmp_path.glob("*.unfinished*"))
    assert isinstance(load_grader(whole), ViewNet)
