from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.artefacts import Provenance
from kitlib.competition.priors import Prior
from kitlib.embed.tokens import Tokens
from kitlib.errors import ModelError, UsageError
from kitlib.inputs.slices import SliceDataset
from kitlib.models.pooled import embedder as module
from kitlib.models.pooled.embedder import (
    KEPT_EMBEDDERS,
    StudyEmbedder,
    _moments,
    fit_embedder,
    stopping_split,
)
from kitlib.terms import CELL_NAMES, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES
from tests.models.builders import WIDTH, make_features, make_labels, make_metadata

LABELS = make_labels(24)
FEATURES = make_features(LABELS, missing={SAGITTAL_T1: [0, 5]})
INFORMATIVE = 2


def embedder_of(
    pooling: str = "average",
    width: int = 6,
    *,
    features: SliceDataset = FEATURES,
    labels: np.ndarray = LABELS,
    epochs: int = 3,
    seed: int = 0,
) -> StudyEmbedder:
    prior = Prior.fit(pd.DataFrame(labels, columns=list(CELL_NAMES))).probabilities
    return fit_embedder(features, labels, prior, pooling=pooling, width=width, epochs=epochs, seed=seed)


def features_with_one_telling_slice(labels: np.ndarray, slices: int = 7) -> SliceDataset:
    """Every sequence has one slice that is bright in its own dimension and encodes the severity."""
    random = np.random.default_rng(1)
    tokens: dict[str, list[Tokens]] = {}
    for sequence in SEQUENCES:
        vectors = random.normal(0, 0.5, size=(len(labels), slices, WIDTH))
        vectors[:, INFORMATIVE, 0] += 4
        vectors[:, INFORMATIVE, 1] += 4 * (labels.clip(0).mean(axis=1) - 0.5)
        tokens[sequence] = [Tokens(one.astype(np.float32), np.zeros((slices, 3))) for one in vectors]
    return SliceDataset(np.arange(len(labels)), tokens, make_metadata(len(labels), random))


@pytest.mark.parametrize("pooling", ["average", "attention"])
@pytest.mark.parametrize("width", [6, 0])
def test_vectors_are_standardised_over_training_and_zero_where_missing(pooling: str, width: int) -> None:
    vectors, present = embedder_of(pooling, width).transform(FEATURES)
    assert vectors.shape == (24, 3, width or WIDTH)
    assert present.shape == (24, 3)
    assert not present[[0, 5], 0].any()
    assert present.sum() == 24 * 3 - 2
    assert (vectors[~present] == 0).all()
    np.testing.assert_allclose(vectors[present[:, 0], 0].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(vectors[present[:, 0], 0].std(axis=0), 1, atol=1e-4)


def test_the_average_is_the_plain_mean_of_slices() -> None:
    vectors, _ = embedder_of("average", 0).transform(FEATURES)
    means = np.stack([tokens.vectors.mean(axis=0) for tokens in FEATURES.tokens[SAGITTAL_T2]])
    np.testing.assert_allclose(vectors[:, 1], (means - means.mean(0)) / means.std(0), atol=1e-4)


def test_a_projection_is_learned_and_no_slice_of_columns() -> None:
    untrained, trained = (embedder_of(epochs=epochs).network for epochs in (0, 10))
    for before, after in zip(untrained.project, trained.project):
        assert (after.weight - before.weight).abs().max() > 1e-3
        assert (after.weight.abs() > 1e-3).sum() > 2 * len(after.weight)  # rows mix many columns


def test_attention_is_trained_towards_the_slice_that_tells() -> None:
    labels = np.repeat(np.random.default_rng(0).integers(0, 3, (40, 1)), 25, axis=1)
    features = features_with_one_telling_slice(labels)
    before, after = (
        embedder_of("attention", 0, features=features, labels=labels, epochs=epochs).attention(features)
        for epochs in (0, 40)
    )
    for sequence in SEQUENCES:
        start, end = (np.mean([one[sequence] for one in study], axis=0) for study in (before, after))
        np.testing.assert_allclose(start.sum(), 1, atol=1e-5)
        assert end.argmax() == INFORMATIVE
        assert end[INFORMATIVE] > start[INFORMATIVE] + 0.03


def test_attention_of_an_empty_series_is_empty() -> None:
    weights = embedder_of("attention").attention(FEATURES)
    assert weights[0][SAGITTAL_T1].shape == (0,)
    np.testing.assert_allclose(weights[0][SAGITTAL_T2].sum(), 1, atol=1e-5)


def test_labels_of_the_studies_held_out_stop_the_training_and_do_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = rows, held_out = stopping_split(LABELS, seed=0)
    assert 0 < len(held_out) < len(LABELS) / 2
    monkeypatch.setattr(module, "stopping_split", lambda *_, **__: split)  # it looks at the labels, too
    losses = []
    for others in (rows[:0], held_out, rows):
        labels = LABELS.copy()
        labels[others] = (labels[others] + 1) % 3
        embedder = StudyEmbedder(pooling="average", width=6)
        embedder.fit(FEATURES, labels, np.full((25, 3), 1 / 3), epochs=2, seed=0)
        losses.append(embedder.curve["train_loss"].dropna().tolist())
    assert losses[0] == losses[1] != losses[2]


def test_an_embedder_that_learned_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert embedder_of(width=7).note == ""
    losses = ((0, 0.5), (1, 0.6))
    curve = [{"epoch": epoch, "train_loss": 1.0, "valid_loss": loss} for epoch, loss in losses]
    monkeypatch.setattr(module, "train", lambda *_, **__: curve)
    assert "as it began" in embedder_of(width=8).note


def test_a_column_that_hardly_varies_does_not_shout() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 3, 8)).astype(np.float32)
    vectors[..., 0] *= 1e-4
    _, deviation = _moments(vectors, np.ones((50, 3), bool))
    assert (deviation[:, 0] > 0.03).all()
    np.testing.assert_allclose(deviation[:, 1:], vectors.std(axis=0)[:, 1:], rtol=1e-5)
    np.testing.assert_array_equal(_moments(vectors * 0, np.ones((50, 3), bool))[1], 1)


def test_the_same_things_give_the_same_embedder_and_others_another() -> None:
    first = embedder_of()
    assert embedder_of(features=FEATURES.take(np.arange(24)), labels=LABELS.copy()) is first
    changed = make_features(LABELS, missing={SAGITTAL_T1: [0, 5]})
    changed.tokens[SAGITTAL_T2][3].embeddings[0, 0] += 1
    assert embedder_of(features=changed) is not first
    assert embedder_of(labels=np.where(LABELS == 2, 1, LABELS)) is not first
    assert embedder_of(seed=1) is not first
    assert embedder_of() is first
    for seed in range(2, 2 + KEPT_EMBEDDERS):
        embedder_of(seed=seed, epochs=0)
    assert embedder_of() is not first


def test_a_study_is_embedded_the_same_alone_to_the_last_bit() -> None:
    embedder = embedder_of("attention")
    together, _ = embedder.transform(FEATURES)
    alone, _ = embedder.transform(FEATURES.take([7]))
    np.testing.assert_array_equal(alone[0], together[7])


def test_save_and_load_agree(tmp_path: Path) -> None:
    embedder = embedder_of("attention")
    embedder.save(tmp_path, Provenance())
    loaded = StudyEmbedder.load(tmp_path)
    np.testing.assert_array_equal(loaded.transform(FEATURES)[0], embedder.transform(FEATURES)[0])


def test_another_backbone_and_an_unknown_pooling_are_refused() -> None:
    tokens = {name: [Tokens(np.zeros((2, 5), np.float32), np.zeros((2, 3)))] for name in SEQUENCES}
    with pytest.raises(ModelError, match="width"):
        embedder_of().transform(SliceDataset(FEATURES.study_ids[:1], tokens, FEATURES.metadata.iloc[:1]))
    with pytest.raises(UsageError, match="pooling"):
        embedder_of("averege")
