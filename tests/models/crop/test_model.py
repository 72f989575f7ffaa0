"""The crop model beyond the common contract: its findings, and what folds share."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kitlib.artefacts import Provenance
from kitlib.errors import ModelError, UsageError, WeightsError
from kitlib.inputs.crops import CropDataset
from kitlib.models.crop import network as networks
from kitlib.models.crop.batches import ImageBatches, study_batch
from kitlib.models.crop.model import CropModel
from kitlib.prepare.views import SLOTS
from kitlib.terms import AXIAL_T2, SEQUENCES
from tests.models.builders import as_crops, make_features, make_labels, untrained_grader

LABELS = make_labels(10)


@pytest.fixture(scope="module")
def data() -> CropDataset:
    return as_crops(make_features(LABELS, missing={AXIAL_T2: [1]}))


def counted(data: CropDataset, *chances: float) -> CropDataset:
    """The first studies, with these probabilities that their levels are counted correctly."""
    crops = [replace(one, counted=chance) for one, chance in zip(data.crops, chances)]
    return CropDataset.of(data.study_ids[: len(chances)].tolist(), crops)


@pytest.fixture(scope="module")
def model(data: CropDataset) -> CropModel:
    return CropModel(start=untrained_grader(), epochs=2, inner_parts=2).fit(data, LABELS, seed=0)


def test_what_is_examined_is_what_is_predicted(model: CropModel, data: CropDataset) -> None:
    found = model.examine(data)
    np.testing.assert_allclose([one.probabilities for one in found], model.predict(data), atol=1e-6)
    (unsure,) = model.examine(in_doubt := counted(data, 0.3))
    np.testing.assert_allclose(unsure.probabilities, model.predict(in_doubt)[0], atol=1e-6)
    axial = np.array([slot.view in (1, 4) for slot in SLOTS])
    for study, one in enumerate(found):
        absent = axial & (study == 1)
        assert (np.isnan(one.view_probabilities).all(axis=1) == absent).all()
        np.testing.assert_allclose(one.slice_weights.sum(axis=1), ~absent)
        only_axial = np.arange(25) >= 15  # recesses
        assert (np.isnan(one.openings_mm) == (only_axial & (study == 1))).all()


def test_the_prior_is_mixed_in_by_the_doubt_of_the_count(model: CropModel, data: CropDataset) -> None:
    sure = model.predict(data)
    np.testing.assert_array_equal(model.predict(counted(data, 1.0, 1.0)), model.predict(data.take([0, 1])))
    none, half, whole = model.predict(counted(data, 0.0, 0.5, 1.0))
    np.testing.assert_allclose(none, model.prior, atol=1e-12)
    np.testing.assert_allclose(half, (sure[1] + model.prior) / 2, atol=1e-6)
    np.testing.assert_allclose(whole, sure[2], atol=1e-6)
    assert np.abs(half - sure[1]).max() > 1e-3


def test_an_unfitted_model_examines_nothing(data: CropDataset) -> None:
    with pytest.raises(ModelError, match="not fitted"):
        CropModel().examine(data)


def test_folds_of_frozen_views_look_at_a_study_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = as_crops(make_features(LABELS))
    looked: list[int] = []
    look = networks.FittedNetwork._look
    monkeypatch.setattr(
        networks.FittedNetwork, "_look", lambda self, crops: looked.append(1) or look(self, crops)
    )
    for half in (np.arange(5), np.arange(5, 10)):
        start = untrained_grader()
        fold = CropModel(start=start, epochs=1, inner_parts=1).fit(fresh.take(half), LABELS[half], seed=0)
        fold.predict(fresh)
    assert len(looked) == len(fresh)
    tuned = CropModel(start=untrained_grader(), tune=True, epochs=1, inner_parts=1)
    tuned.fit(fresh, LABELS, seed=0).predict(fresh)
    assert len(looked) == 2 * len(fresh)


def test_what_views_tell_goes_along_to_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh, model = as_crops(make_features(LABELS)), CropModel(start=untrained_grader(), epochs=1)
    there = replace(model).fit(as_crops(make_features(LABELS)), LABELS, seed=0).predict(fresh)
    model.make_shared(fresh)
    with monkeypatch.context() as patched:
        patched.setattr(networks, "load_network", lambda _: pytest.fail("opened again"))
        model.make_shared(fresh)  # for the next fold
    sent = pickle.loads(pickle.dumps(fresh))
    monkeypatch.setattr(networks.FittedNetwork, "_look", lambda *_: pytest.fail("looked at again"))
    np.testing.assert_array_equal(replace(model).fit(sent, LABELS, seed=0).predict(sent), there)
    replace(model, tune=True).make_shared(as_crops(make_features(LABELS)))


def test_tuning_changes_how_views_are_seen_and_the_fusion_alone_does_not(data: CropDataset) -> None:
    for tune in (False, True):
        model = CropModel(start=untrained_grader(), tune=tune, epochs=1, inner_parts=1)
        model.fit(data, LABELS, seed=0)
        begun = networks.load_network(Path(untrained_grader())).state_dict()
        moved = {
            name.split(".")[0]
            for name, tensor in model.fitted.network.state_dict().items()
            if not torch.equal(tensor.cpu(), begun[name])
        }
        assert moved == ({"fusion", "views"} if tune else {"fusion"})


def test_a_fold_is_as_small_as_it_can_be_exactly(model: CropModel, data: CropDataset, tmp_path: Path) -> None:
    model.save(tmp_path, Provenance())
    tensors = networks.exactly(model.fitted.network)
    kinds = {name.split(".")[0]: tensor.dtype for name, tensor in tensors.items() if tensor.ndim > 1}
    assert kinds == {"views": torch.float16, "fusion": torch.float32}
    np.testing.assert_array_equal(CropModel.load(tmp_path).predict(data), model.predict(data))


def test_a_batch_holds_the_views_that_there_are(data: CropDataset) -> None:
    hidden = np.zeros((len(data), len(SEQUENCES)), bool)
    hidden[0, 0] = True
    batch = study_batch(data.without(hidden).take([0, 1]))
    assert batch.studies.bincount().tolist() == [30, 25]  # ten foramina on T1; five canals and ten recesses
    assert [SLOTS[slot].view for slot in batch.slots] == batch.views.views.tolist()
    seen, readings = ImageBatches(data, LABELS, np.arange(10), 2).batch(np.array([1]), None)
    assert readings.views[:, 0].tolist() == [LABELS[1, SLOTS[slot].cell] for slot in seen.slots]


def test_a_start_that_is_nowhere_and_an_unknown_loss_are_refused(data: CropDataset, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no file of weights"):
        CropModel(start=str(tmp_path / "none.safetensors")).fit(data, LABELS, seed=0)
    with pytest.raises(UsageError, match="loss"):
        CropModel(loss="accuracy")


@pytest.mark.parametrize("wrong", [{"mixup_alpha": 0.4}, {"mixup_alpha": -0.1, "tune": True}])
def test_only_views_that_are_trained_can_be_blended(wrong: dict) -> None:
    with pytest.raises(UsageError, match="mixup_alpha"):
        CropModel(**wrong)


def test_what_ships_knows_how_often_severities_are() -> None:
    model = CropModel.shipped()
    assert model.prior.shape == (25, 3)
    np.testing.assert_allclose(model.prior.sum(axis=1), 1)
    assert model.predict(as_crops(make_features(LABELS[:1]))).shape == (1, 25, 3)


def test_folds_know_which_grader_they_start_from(tmp_path: Path) -> None:
    """Otherwise a retrained grader would leave stale results of its views in the table."""
    shipped, own = (CropModel(start=start).pretrained_source() for start in ("shipped", untrained_grader()))
    assert (shipped.kind, shipped.name, own.kind) == ("shipped", "grader", "path")
    assert shipped.label.startswith("phantoms, ")
    assert shipped.sha256 != own.sha256
    with pytest.raises(WeightsError):
        CropModel(start=str(tmp_path / "none.safetensors")).pretrained_source()
