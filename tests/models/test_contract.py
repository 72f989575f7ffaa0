"""The contract of every registered model: a model gets these tests by being registered.

To test one model, or one setting of it: `pytest tests/models/test_contract.py -k "fusion-1.2-cascade"`.
"""

import copy
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kitlib.artefacts import Provenance
from kitlib.embed.tokens import Tokens
from kitlib.errors import ModelError, UsageError
from kitlib.inputs.base import Dataset
from kitlib.inputs.crops import CropDataset
from kitlib.inputs.pixels import PixelDataset
from kitlib.inputs.slices import SliceDataset
from kitlib.models.base import CURVE_COLUMNS, Model
from kitlib.models.blind import PriorModel
from kitlib.models.boosting import booster_of
from kitlib.models.pseudo.model import IMPUTERS
from kitlib.models.registry import MODELS, load_model
from kitlib.terms import AXIAL_T2, EMPTY, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES
from tests.models.builders import as_crops, as_pixels, make_features, make_labels, untrained_grader

QUICK: dict[str, dict[str, Any]] = {
    "cell_attention": {"members": 2, "epochs": 3, "width": 8},
    "crops": {"start": untrained_grader(), "epochs": 3, "inner_parts": 1},
    "fusion": {"members": 1, "inner_parts": 1, "epochs": 2, "width": 16},  # nothing held out: it moves
    "lightgbm": {"trees": 5, "components": 4, "inner_parts": 2},
    "pseudo": {"components": 4, "hidden": 8, "imputer_epochs": 2, "inner_parts": 2, "removed_copies": 1},
    "pseudo_views": {
        "start": untrained_grader(),
        "epochs": 3,
        "components": 4,
        "hidden": 8,
        "imputer_epochs": 2,
        "inner_parts": 2,
        "removed_copies": 1,
    },
    "pooled": {"embedder_epochs": 2, "width": 8, "trees": 2, "bags": 2},
    "svc": {"components": 4, "inner_parts": 2},
    "vit": {"epochs": 2, "width": 8, "depth": 1, "heads": 1, "grid": 2, "slices": 3},
}
"""Parameters that make a model fast enough to be fitted in every test."""

SIGNAL: dict[str, dict[str, Any]] = {
    "pseudo": {"components": 12, "imputer_epochs": 30},
    "cell_attention": {"epochs": 25, "width": 16, "batch": 8, "learning_rate": 4e-3},
    "crops": {"epochs": 60, "patience": 60, "learning_rate": 4e-3, "inner_parts": 5},
    "pseudo_views": {"epochs": 40, "patience": 40, "learning_rate": 4e-3},
    "fusion": {"inner_parts": 5, "epochs": 15, "batch": 8, "learning_rate": 4e-3},
    "lightgbm": {"trees": 60, "components": 12},
    "pooled": {"embedder_epochs": 10, "trees": 10, "bags": 4},
    "vit": {"epochs": 14, "patience": 14, "width": 32, "learning_rate": 4e-3},
}
"""Further parameters that give it enough training to learn the planted signal."""

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "pooled": [
        {"classifier": "svc", "sampling": "smote_undersample"},
        {"classifier": "svc", "pooling": "attention", "sampling": "svm_smote"},
        {"classifier": "lightgbm", "sampling": "smote"},
        {"classifier": "xgboost", "pooling": "attention", "width": 0},
        {"classifier": "bagging"},
        {"classifier": "networks", "weighted": True},
    ],
    "pseudo": [{"imputer": imputer} for imputer in IMPUTERS],
    "pseudo_views": [
        {"imputer": filler} for filler in ("none", "iterative", "vae")
    ],  # nothing, table, network
    "crops": [{}, {"tune": True, "epochs": 2, "batch": 4, "mixup_alpha": 0.4}],
    "fusion": [
        {"architecture": architecture, "head": head}
        for architecture in ("1.1", "1.2", "2")
        for head in ("softmax", "cascade")
    ],
}
"""The parameter sets of a model with several modes; each is tested like a separate model."""

BLIND = ("prior", "random")
"""Models that read no embedding."""
SEEING = ("crops", "pseudo_views")
"""Models that read images with a pretrained network."""

as_read = {PixelDataset: as_pixels, CropDataset: as_crops}
"""Converts features of slices to the input that a model reads instead."""

LABELS = make_labels(16)
FEATURES = make_features(LABELS)
JUDGED_LABELS = make_labels(6, seed=1)
JUDGED = make_features(JUDGED_LABELS, seed=1)
SPIED = 2


@dataclass(frozen=True)
class Case:
    """A registered model with one of its SETTINGS."""

    name: str
    setting: dict[str, Any]

    def __str__(self) -> str:
        return "-".join([self.name, *map(str, self.setting.values())])


CASES = [Case(name, setting) for name in MODELS for setting in SETTINGS.get(name, [{}])]


def fitted(
    case: Case, features: SliceDataset = FEATURES, labels: np.ndarray = LABELS, seed: int = 0
) -> Model:
    parameters = {**QUICK.get(case.name, {}), **case.setting}
    model = MODELS[case.name](**parameters)
    return model.fit(read_by(model, features), labels, seed=seed)


def predict(model: Model, features: SliceDataset) -> np.ndarray:
    return model.predict(read_by(model, features))


def read_by(model: Model, features: SliceDataset) -> Dataset:
    """The studies as the model reads them."""
    return as_read.get(model.reads, lambda same: same)(features)


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(scope="module")
def model(case: Case) -> Model:
    return fitted(case)


@pytest.mark.parametrize("text", ["", "tree\nversion=v4\n", "tree\nend of tree"])
def test_a_booster_that_is_cut_short_ends_no_process(text):
    with pytest.raises(ValueError, match="cut short"):
        booster_of(text)


def test_settings_are_those_of_registered_models() -> None:
    assert {*QUICK, *SIGNAL, *SETTINGS, *BLIND} <= set(MODELS)


def assert_probabilities(probabilities: np.ndarray, studies: int) -> None:
    assert probabilities.shape == (studies, 25, 3)
    assert probabilities.dtype == np.float64
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-9)


def test_rows_sum_to_one(model: Model) -> None:
    assert_probabilities(predict(model, JUDGED), 6)


def test_no_studies_give_no_rows(model: Model) -> None:
    assert_probabilities(predict(model, JUDGED.take([])), 0)


def test_a_batch_of_one_is_a_batch_of_many(model: Model) -> None:
    together = predict(model, JUDGED)
    alone = np.concatenate([predict(model, JUDGED.take([row])) for row in range(6)])
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_order_of_studies_does_not_matter(model: Model) -> None:
    np.testing.assert_allclose(
        predict(model, JUDGED.take([3, 0, 5])), predict(model, JUDGED)[[3, 0, 5]], atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("gone", [*SEQUENCES, "all"])
def test_a_missing_sequence_is_survived(model: Model, gone: str) -> None:
    sequences = SEQUENCES if gone == "all" else [gone]
    without = make_features(np.zeros((6, 25), np.int8), missing={sequence: [0, 2] for sequence in sequences})
    assert_probabilities(predict(model, without), 6)
    assert_probabilities(predict(model, without.take([0])), 1)


def test_nan_in_metadata_is_survived(model: Model) -> None:
    unknown = JUDGED.metadata.astype(object).mask(np.ones(JUDGED.metadata.shape, bool))
    unknown = unknown.astype(JUDGED.metadata.dtypes)
    assert_probabilities(predict(model, SliceDataset(JUDGED.study_ids, JUDGED.tokens, unknown)), 6)


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused_by_study(case: Case, model: Model, fault: float) -> None:
    """A backbone that outputs NaN is broken: no model may impute it or learn from it."""
    if model.reads in as_read:
        pytest.skip("whole numbers are finite")
    broken = make_features(LABELS)
    broken.tokens[SAGITTAL_T2][3].embeddings[1, 2] = fault
    with pytest.raises(ModelError, match=f"study {broken.study_ids[3]}, {SAGITTAL_T2}"):
        fitted(case, broken)
    with pytest.raises(ModelError, match=f"study {broken.study_ids[3]}, {SAGITTAL_T2}"):
        predict(model, broken)


def test_save_and_load_agree(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path, Provenance(seed=0))
    loaded = load_model(tmp_path)
    assert type(loaded) is type(model)
    assert loaded == model  # the parameters
    np.testing.assert_allclose(predict(loaded, JUDGED), predict(model, JUDGED), atol=1e-9)


def test_nothing_saved_needs_a_pickle(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path, Provenance(seed=0))
    assert {path.suffix for path in tmp_path.iterdir()} <= {
        ".json",
        ".npy",
        ".parquet",
        ".safetensors",
        ".txt",
    }


def test_no_study_leaks_into_another(case: Case, model: Model) -> None:
    """A held-out study whose features are its labels does not change other predictions."""
    others = [row for row in range(6) if row != SPIED]
    before, after = predict(model, JUDGED), predict(model, leaking())
    np.testing.assert_array_equal(after[others], before[others])
    assert case.name in BLIND or not np.array_equal(after[SPIED], before[SPIED])


def leaking() -> SliceDataset:
    """JUDGED, with one study that gives away its labels."""
    return with_labels_planted(JUDGED, SPIED, JUDGED_LABELS[SPIED])


def with_labels_planted(features: SliceDataset, row: int, labels: np.ndarray) -> SliceDataset:
    """The features, with one study's embeddings and metadata replaced by its labels."""
    tokens = {name: list(studies) for name, studies in features.tokens.items()}
    for studies in tokens.values():
        planted = np.tile(np.resize(labels, studies[row].width), (len(studies[row]), 1))
        studies[row] = Tokens(50 * planted.astype(np.float32), studies[row].positions_mm)
    metadata = features.metadata.copy()
    metadata.iloc[row, [0, 1]] = labels.sum()
    return SliceDataset(features.study_ids, tokens, metadata)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_result_and_inputs_are_unchanged(case: Case, model: Model) -> None:
    """A held-out study that gives away its labels does not affect a later fit either."""
    predict(model, leaking())
    features, labels = make_features(LABELS), LABELS.copy()
    before = copy.deepcopy(features)
    again = fitted(case, features, labels)
    predict(again, features)
    np.testing.assert_array_equal(predict(again, JUDGED), predict(model, JUDGED))
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(features.study_ids, before.study_ids)
    pd.testing.assert_frame_equal(features.metadata, before.metadata)
    for sequence in SEQUENCES:
        for ours, theirs in zip(features.tokens[sequence], before.tokens[sequence]):
            np.testing.assert_array_equal(ours.vectors, theirs.vectors)
            np.testing.assert_array_equal(ours.positions_mm, theirs.positions_mm)


@pytest.mark.slow
@pytest.mark.parametrize("studies", [1, 2, 3])
def test_a_few_studies_can_be_fitted_on(case: Case, studies: int) -> None:
    model = fitted(case, FEATURES.take(np.arange(studies)), LABELS[:studies])
    assert_probabilities(predict(model, JUDGED), 6)


@pytest.mark.slow
@pytest.mark.parametrize("severity", [0, 1, 2])
def test_a_class_may_be_missing_in_training(case: Case, severity: int, tmp_path: Path) -> None:
    labels = np.where(severity == LABELS, EMPTY, LABELS)
    model = fitted(case, labels=labels)
    assert_probabilities(predict(model, JUDGED), 6)
    model.save(tmp_path, Provenance())
    np.testing.assert_allclose(predict(load_model(tmp_path), JUDGED), predict(model, JUDGED), atol=1e-9)


@pytest.mark.slow
def test_one_class_alone_and_a_class_with_one_example_are_survived(case: Case) -> None:
    labels = np.zeros_like(LABELS)
    assert_probabilities(predict(fitted(case, labels=labels), JUDGED), 6)
    labels[0, :] = 2
    assert_probabilities(predict(fitted(case, labels=labels), JUDGED), 6)


@pytest.mark.slow
def test_a_group_without_labels_stays_about_the_prior(case: Case) -> None:
    labels = LABELS.copy()
    labels[:, :5] = EMPTY
    model = fitted(case, labels=labels)
    predicted = predict(model, JUDGED)
    assert_probabilities(predicted, 6)
    if case.name not in ("random", *SEEING):  # these are pretrained
        np.testing.assert_allclose(predicted[:, :5], np.tile(model.prior[:5], (6, 1, 1)), atol=0.05)


@pytest.mark.slow
def test_a_sequence_missing_in_all_of_training_is_survived(case: Case) -> None:
    missing = {SAGITTAL_T1: [3], SAGITTAL_T2: [4], AXIAL_T2: list(range(16))}
    model = fitted(case, make_features(LABELS, missing=missing))
    assert_probabilities(predict(model, JUDGED), 6)
    everything = {sequence: list(range(16)) for sequence in SEQUENCES}
    assert_probabilities(
        predict(fitted(case, make_features(LABELS, missing=everything)), FEATURES.take([])), 0
    )


def test_no_labels_are_refused(case: Case) -> None:
    with pytest.raises(ModelError, match="no labelled cell"):
        fitted(case, labels=np.full_like(LABELS, EMPTY))
    with pytest.raises(ModelError, match="no labelled cell"):
        fitted(case, FEATURES.take([]), LABELS[:0])


def test_labels_of_other_studies_are_refused(case: Case) -> None:
    with pytest.raises(ModelError, match="do not match"):
        fitted(case, labels=LABELS[:-1])


def test_an_unfitted_model_does_not_predict(case: Case) -> None:
    with pytest.raises(ModelError, match="not fitted"):
        predict(MODELS[case.name](), JUDGED)


def test_another_backbones_embeddings_are_refused(case: Case, model: Model) -> None:
    if case.name in (*BLIND, *SEEING):
        pytest.skip("looks at no embedding")
    tokens = {sequence: [Tokens(np.zeros((2, 5), np.float32), np.zeros((2, 3)))] for sequence in SEQUENCES}
    with pytest.raises(ModelError, match="width"):
        predict(model, SliceDataset(JUDGED.study_ids[:1], tokens, JUDGED.metadata.iloc[:1]))


def test_parameters_of_another_type_are_refused(case: Case) -> None:
    for entry in fields(MODELS[case.name]):
        with pytest.raises(UsageError, match="not of type"):
            MODELS[case.name](**{entry.name: None})


def test_curves_have_the_columns_that_are_plotted(model: Model) -> None:
    assert tuple(model.curve.columns) == CURVE_COLUMNS


@pytest.mark.slow
def test_a_planted_signal_is_found(case: Case) -> None:
    """With a clear signal and enough studies, a model that sees images beats the prior out of sample."""
    if case.name in BLIND:
        pytest.skip("looks at no embedding")
    from kitlib.competition.metric import score_arrays

    labels = make_labels(50, seed=5)
    features = make_features(labels, seed=6)
    quick = {**QUICK.get(case.name, {}), **SIGNAL.get(case.name, {}), **case.setting}
    train, judged = np.arange(36), np.arange(36, 50)
    model = MODELS[case.name](**quick)
    model.fit(read_by(model, features.take(train)), labels[train], seed=0)
    prior = PriorModel().fit(features.take(train), labels[train], seed=0)
    scores = [
        score_arrays(labels[judged], predict(one, features.take(judged))).total for one in (model, prior)
    ]
    assert scores[0] < scores[1] - 0.05
