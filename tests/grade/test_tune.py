"""Fine-tuning on labels: it learns, keeps the best epoch, leaves openings unchanged, and can be killed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kitlib.artefacts import facts_of, sha256
from kitlib.grade.calibration import AS_LEARNT
from kitlib.grade.labelled import read_labelled
from kitlib.grade.network import SHIPPED, calibration_of, load_network, prediction_loss
from kitlib.grade.samples import SLICES, ViewSamples
from kitlib.grade.starts import started
from kitlib.grade.tune import LabelledBatches, calibration_of_tuned, held_out_loss, tune_grader, tuned
from kitlib.nn import loop
from kitlib.prepare.views import VIEW_PX, without_margin
from tests.grade.labels import labelled_table

TINY = "test_resnet"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> ViewSamples:
    return read_labelled(labelled_table(tmp_path_factory.mktemp("labels"), studies=12)).samples


def test_what_is_learnt_from_are_slices_that_there_are(samples: ViewSamples) -> None:
    rng, batches, seen = torch.Generator().manual_seed(0), LabelledBatches(samples), set()
    for _ in range(8):
        batch, truth = batches.batch(np.arange(10), rng)
        seen.add(batch.images.shape[1])
        assert batch.images.shape[2:] == (VIEW_PX, VIEW_PX)
        assert batch.present.any(dim=1).all()
        assert truth.severities[:, 0].tolist() == samples.severities[:10].tolist()
    assert seen == {1, 3}
    batch, _ = batches.batch(np.arange(4), None)
    expected = without_margin(samples.images[:4, SLICES // 2 - 1 : SLICES // 2 + 2])
    np.testing.assert_allclose(255 * batch.images.numpy(), expected, atol=1e-3)


def test_what_is_absent_changes_nothing(samples: ViewSamples) -> None:
    views = started("nothing", TINY).eval().views
    batch, truth = LabelledBatches(samples).batch(np.arange(6), None)
    noise = torch.where(batch.present[..., None, None], batch.images, torch.rand(batch.images.shape))
    torch.testing.assert_close(views(batch).predictions, views(batch._replace(images=noise)).predictions)
    prediction_loss(views(batch).predictions[:, None], truth).backward()
    openings = views.heads.weight.grad.unflatten(0, (-1, 4))[:, 3]
    assert not openings.any()


def test_what_learnt_from_labels_is_not_weighed_and_what_learnt_nothing_is_as_its_start() -> None:
    better, idle = [{"valid_loss": 1.0}, {"valid_loss": 0.9}], [{"valid_loss": 1.0}, {"valid_loss": 1.1}]
    assert calibration_of_tuned("shipped", better) is AS_LEARNT
    for curve in (idle, []):
        assert calibration_of_tuned("shipped", curve).facts() == calibration_of(SHIPPED).facts()
        assert calibration_of_tuned("nothing", curve) is AS_LEARNT


@pytest.mark.slow
def test_the_best_epoch_on_studies_held_out_is_kept(samples: ViewSamples) -> None:
    torch.manual_seed(0)
    network = started("nothing", TINY)
    curve = tuned(network, samples, rate=2e-3, epochs=6, seed=1)
    losses = [row["valid_loss"] for row in curve]
    assert len(losses) == 7
    assert min(losses) < losses[0]
    order = np.random.default_rng(1).permutation(12)
    last = samples.take(order[samples.persons] >= 10)
    assert held_out_loss(network.views, last) == pytest.approx(min(losses), abs=1e-5)


@pytest.mark.slow
def test_a_killed_tuning_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = labelled_table(tmp_path / "labels", studies=5)
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    how = {"start": "nothing", "backbone": TINY, "epochs": 2, "mixup_alpha": 0.4, "seed": 1}
    curve, problems = tune_grader(whole, file, **how)
    assert not problems
    assert facts_of(whole)["curve"][1:] == curve[1:]
    save = loop._Training.save

    def die(*arguments: object) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "save", die)
        with pytest.raises(KeyboardInterrupt):
            tune_grader(killed, file, **how)
    tune_grader(killed, file, **how)
    assert sha256(killed) == sha256(whole)
    assert not list(tmp_path.glob("*.unfinished*"))
    assert load_network(whole).backbone == TINY
