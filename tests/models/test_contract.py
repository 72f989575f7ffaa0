"""What every registered model owes: a model gets these tests by being registered."""

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.artefacts import Provenance
from kitlib.embed.features import Features, Tokens
from kitlib.errors import ModelError, UsageError
from kitlib.models.base import CURVE_COLUMNS, Model
from kitlib.models.registry import MODELS, build_model, load_model
from kitlib.terms import AXIAL_T2, EMPTY, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES
from tests.models.builders import make_features, make_labels

QUICK = {
    "cell_attention": {"members": 2, "epochs": 3, "width": 8},
    "lightgbm": {"trees": 5, "components": 4, "inner_parts": 2},
    "svc": {"components": 4, "inner_parts": 2},
}
"""Parameters that make a model fast enough to be fitted in every test."""

LABELS = make_labels(16)
FEATURES = make_features(LABELS)
JUDGED = make_features(make_labels(6, seed=1), seed=1)


def fitted(name: str, features: Features = FEATURES, labels: np.ndarray = LABELS, seed: int = 0) -> Model:
    return build_model(name, **QUICK.get(name, {})).fit(features, labels, seed=seed)


@pytest.fixture(scope="module", params=list(MODELS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(name: str) -> Model:
    return fitted(name)


def assert_probabilities(probabilities: np.ndarray, studies: int) -> None:
    assert probabilities.shape == (studies, 25, 3)
    assert probabilities.dtype == np.float64
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-9)


def test_rows_sum_to_one(model: Model) -> None:
    assert_probabilities(model.predict(JUDGED), 6)


def test_no_studies_give_no_rows(model: Model) -> None:
    assert_probabilities(model.predict(JUDGED.take([])), 0)


def test_a_batch_of_one_is_a_batch_of_many(model: Model) -> None:
    together = model.predict(JUDGED)
    alone = np.concatenate([model.predict(JUDGED.take([row])) for row in range(6)])
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_order_of_studies_does_not_matter(model: Model) -> None:
    np.testing.assert_allclose(
        model.predict(JUDGED.take([3, 0, 5])), model.predict(JUDGED)[[3, 0, 5]], atol=1e-6
    )


@pytest.mark.parametrize("gone", [*SEQUENCES, "all"])
def test_a_missing_sequence_is_survived(model: Model, gone: str) -> None:
    sequences = SEQUENCES if gone == "all" else [gone]
    without = make_features(np.zeros((6, 25), np.int8), missing={sequence: [0, 2] for sequence in sequences})
    assert_probabilities(model.predict(without), 6)
    assert_probabilities(model.predict(without.take([0])), 1)


def test_nan_in_metadata_is_survived(model: Model) -> None:
    unknown = JUDGED.metadata.astype(object).mask(np.ones(JUDGED.metadata.shape, bool))
    unknown = unknown.astype(JUDGED.metadata.dtypes)
    assert_probabilities(model.predict(Features(JUDGED.study_ids, JUDGED.tokens, unknown)), 6)


def test_save_and_load_agree(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path, Provenance(seed=0))
    loaded = load_model(tmp_path)
    assert type(loaded) is type(model)
    assert loaded == model  # the parameters
    np.testing.assert_allclose(loaded.predict(JUDGED), model.predict(JUDGED), atol=1e-9)


def test_nothing_saved_needs_a_pickle(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path, Provenance(seed=0))
    assert {path.suffix for path in tmp_path.iterdir()} <= {
        ".json",
        ".npy",
        ".parquet",
        ".safetensors",
        ".txt",
    }


def test_same_seed_same_result(name: str, model: Model) -> None:
    np.testing.assert_array_equal(fitted(name).predict(JUDGED), model.predict(JUDGED))


def test_inputs_are_unchanged(name: str) -> None:
    features, labels = make_features(LABELS), LABELS.copy()
    before = copy.deepcopy(features)
    fitted(name, features, labels).predict(features)
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(features.study_ids, before.study_ids)
    pd.testing.assert_frame_equal(features.metadata, before.metadata)
    for sequence in SEQUENCES:
        for ours, theirs in zip(features.tokens[sequence], before.tokens[sequence]):
            np.testing.assert_array_equal(ours.vectors, theirs.vectors)
            np.testing.assert_array_equal(ours.places_mm, theirs.places_mm)


@pytest.mark.parametrize("studies", [1, 2, 3])
def test_a_few_studies_can_be_fitted_on(name: str, studies: int) -> None:
    model = fitted(name, FEATURES.take(np.arange(studies)), LABELS[:studies])
    assert_probabilities(model.predict(JUDGED), 6)


@pytest.mark.parametrize("severity", [0, 1, 2])
def test_a_class_may_be_missing_in_training(name: str, severity: int, tmp_path: Path) -> None:
    labels = np.where(severity == LABELS, EMPTY, LABELS)
    model = fitted(name, labels=labels)
    assert_probabilities(model.predict(JUDGED), 6)
    model.save(tmp_path, Provenance())
    np.testing.assert_allclose(load_model(tmp_path).predict(JUDGED), model.predict(JUDGED), atol=1e-9)


def test_one_class_alone_and_a_class_with_one_example_are_survived(name: str) -> None:
    labels = np.zeros_like(LABELS)
    assert_probabilities(fitted(name, labels=labels).predict(JUDGED), 6)
    labels[0, :] = 2
    assert_probabilities(fitted(name, labels=labels).predict(JUDGED), 6)


def test_a_group_without_labels_keeps_the_prior(name: str) -> None:
    labels = LABELS.copy()
    labels[:, :5] = EMPTY
    assert_probabilities(fitted(name, labels=labels).predict(JUDGED), 6)


def test_a_sequence_missing_in_all_of_training_is_survived(name: str) -> None:
    missing = {SAGITTAL_T1: [3], SAGITTAL_T2: [4], AXIAL_T2: list(range(16))}
    model = fitted(name, make_features(LABELS, missing=missing))
    assert_probabilities(model.predict(JUDGED), 6)
    everything = {sequence: list(range(16)) for sequence in SEQUENCES}
    assert_probabilities(
        fitted(name, make_features(LABELS, missing=everything)).predict(FEATURES.take([])), 0
    )


def test_no_labels_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="no labelled cell"):
        fitted(name, labels=np.full_like(LABELS, EMPTY))
    with pytest.raises(ModelError, match="no labelled cell"):
        fitted(name, FEATURES.take([]), LABELS[:0])


def test_labels_of_other_studies_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="do not belong"):
        fitted(name, labels=LABELS[:-1])


def test_an_unfitted_model_does_not_predict(name: str) -> None:
    with pytest.raises(ModelError, match="not fitted"):
        build_model(name).predict(JUDGED)


def test_another_backbones_embeddings_are_refused(name: str, model: Model) -> None:
    if name == "prior":
        pytest.skip("the prior looks at no embedding")
    tokens = {sequence: [Tokens(np.zeros((2, 5), np.float32), np.zeros((2, 3)))] for sequence in SEQUENCES}
    with pytest.raises(ModelError, match="width"):
        model.predict(Features(JUDGED.study_ids[:1], tokens, JUDGED.metadata.iloc[:1]))


def test_unknown_parameters_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="unknown parameter 'epoch'"):
        build_model(name, epoch=3)


def test_curves_have_the_columns_that_are_plotted(model: Model) -> None:
    assert tuple(model.curve.columns) == CURVE_COLUMNS


def test_a_planted_signal_is_found(name: str) -> None:
    """With clear signal and enough studies, a model that looks beats the prior on studies it has not seen."""
    if name == "prior":
        pytest.skip("the prior looks at no embedding")
    from kitlib.competition.metric import score_arrays

    labels = make_labels(50, seed=5)
    features = make_features(labels, seed=6)
    quick = {**QUICK.get(name, {}), **SIGNAL.get(name, {})}
    train, judged = np.arange(36), np.arange(36, 50)
    model = build_model(name, **quick).fit(features.take(train), labels[train], seed=0)
    prior = build_model("prior").fit(features.take(train), labels[train], seed=0)
    scores = [
        score_arrays(labels[judged], one.predict(features.take(judged))).total for one in (model, prior)
    ]
    assert scores[0] < scores[1] - 0.05


SIGNAL = {
    "cell_attention": {"epochs": 40, "width": 16, "batch": 8, "learning_rate": 4e-3},
    "lightgbm": {"trees": 60, "components": 12},
}
