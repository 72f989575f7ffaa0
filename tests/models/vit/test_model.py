from pathlib import Path

import numpy as np
import pytest
import torch

from kitlib.embed.backbone import load_backbone
from kitlib.embed.names import SPINE_VIT
from kitlib.embed.tokens import Tokens
from kitlib.errors import ModelError, WeightsError
from kitlib.inputs.pixels import PixelDataset
from kitlib.machine import device
from kitlib.models.vit.model import ViTModel
from kitlib.terms import CELLS, SAGITTAL_T1, SEQUENCES, Cell, group2sequence
from tests.models.builders import as_pixels, make_features, make_labels

LABELS = make_labels(10)
FEATURES = as_pixels(make_features(LABELS, missing={SAGITTAL_T1: [0]}))
TINY = {"epochs": 2, "width": 8, "depth": 1, "heads": 1, "grid": 4, "slices": 3}


@pytest.fixture(scope="module")
def model() -> ViTModel:
    return ViTModel(**TINY).fit(FEATURES, LABELS, seed=0)


def test_embeddings_are_refused_as_they_are_no_pixels() -> None:
    with pytest.raises(ModelError, match="reads a PixelDataset, not a SliceDataset"):
        ViTModel(**TINY).fit(make_features(LABELS), LABELS, seed=0)


def test_slices_that_do_not_divide_into_patches_are_refused() -> None:
    with pytest.raises(ModelError, match="3 x 3 patches"):
        ViTModel(**{**TINY, "grid": 3}).fit(FEATURES, LABELS, seed=0)


def test_weights_to_start_from_must_fit_and_are_noted() -> None:
    with pytest.raises(WeightsError, match=r"do not fit|are missing"):
        ViTModel(**TINY, start="shipped").fit(FEATURES, LABELS, seed=0)
    with pytest.raises(WeightsError, match="weights file is missing"):
        ViTModel(**TINY, start="nowhere.safetensors").fit(FEATURES, LABELS, seed=0)
    notes = ViTModel(**TINY).fit(FEATURES, LABELS, seed=0).notes
    assert not any("starts from" in note for note in notes)


def test_weights_that_are_nowhere_are_known_before_a_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="no weights for 'spine_vit'"):
        ViTModel(**TINY, start="cached").pretrained_source()
    assert ViTModel(**TINY).pretrained_source() is None


def test_it_starts_from_the_weights_that_come_with_the_kit() -> None:
    transformer = load_backbone(SPINE_VIT, weights="shipped")
    tokens = {name: [Tokens(np.zeros((2, 128 * 128), np.uint8), np.zeros((2, 3)))] * 2 for name in SEQUENCES}
    features = PixelDataset(np.array([1, 2]), tokens, 128)
    model = ViTModel(start="shipped", epochs=0, inner_parts=1).fit(features, LABELS[:2], seed=0)
    assert "phantoms" in model.notes[0]
    black = np.zeros((1, 128, 128), np.uint8)
    with torch.inference_mode():
        patches = model.fitted.networks[0].transformer(torch.zeros(1, 128 * 128, device=device()))
    assert patches.mean(1).numpy() == pytest.approx(transformer.embed(black), abs=0.1)


def test_studies_may_share_an_id_as_rows_of_a_leaking_split_do() -> None:
    rows = FEATURES.take([1, 1, 2, 3])
    assert np.isfinite(ViTModel(**TINY).fit(rows, LABELS[[1, 1, 2, 3]], seed=0).predict(rows)).all()


def test_every_epoch_is_on_the_curve(model: ViTModel) -> None:
    assert model.curve["epoch"].tolist() == [0, 1, 2]
    assert model.curve["valid_loss"].notna().all()  # one part of five is held out


def test_a_cells_attention_is_on_its_own_sequence_and_sums_to_one(model: ViTModel) -> None:
    for row, study in enumerate(model.attention(FEATURES)):
        for name, weights in study.items():
            own = np.array([name == group2sequence[cell.group] for cell in CELLS]) & (weights.shape[1] > 0)
            assert weights.shape == (25, len(FEATURES.tokens[name][row]))
            np.testing.assert_allclose(weights.sum(1), own, atol=1e-5)


@pytest.mark.parametrize("cell", [CELLS[0], CELLS[7], CELLS[19]])
def test_an_attention_map_is_of_the_slice_looked_at_most(model: ViTModel, cell: Cell) -> None:
    study = FEATURES.take([2])
    index, shares = model.attention_map(study, cell)
    weights = model.attention(study)[0][group2sequence[cell.group]][CELLS.index(cell)]
    assert shares.shape == (4, 4)
    assert index == weights.argmax()
    assert shares.sum() == pytest.approx(weights[index], abs=1e-6)


def test_a_study_without_the_sequence_has_no_map(model: ViTModel) -> None:
    with pytest.raises(ModelError, match="has no Sagittal T1"):
        model.attention_map(FEATURES.take([0]), CELLS[7])
