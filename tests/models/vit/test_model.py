from pathlib import Path

import numpy as np
import pytest
import torch

from kitlib.embed.backbone import load_backbone
from kitlib.embed.tokens import Tokens
from kitlib.embed.vit import SPINE_VIT
from kitlib.errors import ModelError, WeightsError
from kitlib.inputs.pixels import PixelDataset
from kitlib.machine import device
from kitlib.models.common.positions import X_MM
from kitlib.models.neural.batches import View
from kitlib.models.vit.augment import distorted, mirrored, mirrored_cells, sampled
from kitlib.models.vit.model import ViTModel
from kitlib.models.vit.network import SliceTransformer, ViTNetwork, expected_on_slice
from kitlib.terms import AXIAL_T2, CELLS, SAGITTAL_T1, SEQUENCES, Cell, group2sequence
from tests.models.builders import as_pixels, make_features, make_labels

LABELS = make_labels(10)
FEATURES = as_pixels(make_features(LABELS, missing={SAGITTAL_T1: [0]}))
TINY = {"epochs": 2, "width": 8, "depth": 1, "heads": 1, "grid": 4, "slices": 3}


@pytest.fixture(scope="module")
def model() -> ViTModel:
    return ViTModel(**TINY).fit(FEATURES, LABELS, seed=0)


def make_view(studies: int = 4, slices: int = 6, px: int = 8) -> View:
    draws = torch.Generator().manual_seed(0)
    return View(
        torch.rand(studies, slices, px * px, generator=draws),
        torch.randn(studies, slices, 3, generator=draws) * 20,
        torch.rand(studies, slices, generator=draws) < 0.8,
    )


def make_network(px: int = 8, grid: int = 4, slices: int = 3) -> ViTNetwork:
    transformer = SliceTransformer(px=px, grid=grid, width=8, depth=1, heads=1, dropout=0.0)
    return ViTNetwork(transformer, slices=slices, augment=True, dropout=0.0, log_prior=torch.zeros(25, 3))


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
        patches = model.networks[0].transformer(torch.zeros(1, 128 * 128, device=device()))
    assert patches.mean(1).numpy() == pytest.approx(transformer.embed(black), abs=0.1)


def test_without_augmentation_training_sees_slices_as_they_are() -> None:
    network = make_network(slices=9)
    network.augment = False
    torch.nn.init.normal_(network.last.weight)
    views = [make_view() for _ in SEQUENCES]
    in_training = network.train()(views)
    torch.testing.assert_close(in_training, network.eval()(views), atol=0.05, rtol=0.05)  # bfloat16


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


def test_patches_are_expected_where_anatomy_has_them() -> None:
    rows = (
        expected_on_slice(16)
        .reshape(25, 16, 16)
        .softmax(-2)
        .flatten(1)
        .softmax(-1)
        .reshape(25, 16, 16)
        .sum(2)
    )
    middle_row = (rows * torch.arange(16)).sum(1)
    assert (middle_row[:5].diff() > 0).all()  # canals run down a sagittal slice
    assert middle_row[15:].std() < 1e-3  # every recess is in the middle of its own axial slice


def test_mirroring_twice_changes_nothing_and_once_exchanges_sides() -> None:
    view, everyone = make_view(), torch.ones(4, dtype=torch.bool)
    for name in SEQUENCES:
        once = mirrored(view, everyone, name)
        twice = mirrored(once, everyone, name)
        torch.testing.assert_close(twice.vectors, view.vectors)
        torch.testing.assert_close(twice.places, view.places)
        torch.testing.assert_close(once.places[..., X_MM], -view.places[..., X_MM])
        assert torch.equal(once.vectors, view.vectors) == (name != AXIAL_T2)
    assert [mirrored_cells[cell] for cell in mirrored_cells] == list(range(25))
    assert mirrored_cells[:5] == list(range(5))
    assert [CELLS[cell].side for cell in mirrored_cells[5:10]] == ["right"] * 5


def test_only_the_chosen_are_mirrored() -> None:
    view, chosen = make_view(), torch.tensor([True, False, False, True])
    once = mirrored(view, chosen, AXIAL_T2)
    torch.testing.assert_close(once.vectors[~chosen], view.vectors[~chosen])
    first = once.vectors[0].reshape(-1, 8, 8)
    torch.testing.assert_close(first, view.vectors[0].reshape(-1, 8, 8).flip(-1))


def test_a_sample_is_of_present_slices_and_likelier_ones_are_drawn_more() -> None:
    view = make_view(studies=400)
    log_weights = torch.zeros(400, 6)
    log_weights[:, 2] = 3.0
    drawn = sampled(view, log_weights, 2).present
    assert not (drawn & ~view.present).any()
    assert (drawn.sum(1) == view.present.sum(1).clamp(max=2)).all()
    shares = drawn.sum(0) / view.present.sum(0)
    assert shares[2] > 0.8 > 0.6 > shares[0]
    assert torch.equal(sampled(view, log_weights, 10).present, view.present)


def test_distortion_leaves_absent_slices_and_the_input_alone() -> None:
    view = make_view()
    before = view.vectors.clone()
    moved = distorted(view)
    assert torch.equal(view.vectors, before)
    assert torch.equal(moved.vectors[~view.present], before[~view.present])
    assert not torch.equal(moved.vectors[view.present], before[view.present])


def test_a_mirrored_patient_has_its_sides_exchanged_in_the_logits() -> None:
    """In training a mirrored study's answers come back under the names of the patient as given."""
    network = make_network(slices=9)
    torch.nn.init.normal_(network.last.weight)
    network.condition.weight.data[1:] = network.condition.weight.data[1]  # left and right ask the same
    network.where_on_slice.data.zero_()
    views = [make_view() for _ in SEQUENCES]
    everyone = torch.ones(4, dtype=torch.bool)
    as_given = network._logits(views)
    exchanged = network._logits([mirrored(view, everyone, name) for view, name in zip(views, SEQUENCES)])
    foraminal = range(5, 15)  # on sagittal slices, which mirroring leaves as they are
    torch.testing.assert_close(exchanged[:, mirrored_cells][:, foraminal], as_given[:, foraminal])
