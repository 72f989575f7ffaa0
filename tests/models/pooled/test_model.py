from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kitlib.artefacts import Provenance
from kitlib.competition.metric import score_arrays
from kitlib.errors import UsageError
from kitlib.models.blind import PriorModel
from kitlib.models.common.svm import RBFSVM
from kitlib.models.common.training_rows import SAMPLERS, resampled
from kitlib.models.pooled import classifiers
from kitlib.models.pooled.embedder import stopping_split
from kitlib.models.pooled.model import CLASSIFIERS, PooledModel
from kitlib.terms import CELL_NAMES, EMPTY
from tests.models.builders import make_features, make_labels

LABELS = make_labels(40)
FEATURES = make_features(LABELS)
JUDGED = make_features(make_labels(8, seed=1), seed=1)


def fitted(labels: np.ndarray = LABELS, **parameters: object) -> PooledModel:
    parameters = {"width": 0, "classifier": "networks", "trees": 3, "bags": 2, **parameters}
    return PooledModel(**parameters).fit(FEATURES, labels, seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("classifier", ["svc", "networks"])
def test_the_weight_of_severities_changes_what_is_learned(classifier: str) -> None:
    plain, weighted = (fitted(classifier=classifier, weighted=one).predict(JUDGED) for one in (False, True))
    assert np.abs(plain - weighted).max() > 0.01
    if classifier == "networks":
        assert weighted[..., 2].mean() > plain[..., 2].mean() + 0.03


@pytest.mark.slow
@pytest.mark.parametrize("classifier", list(CLASSIFIERS))
@pytest.mark.parametrize("sampling", list(SAMPLERS))
def test_every_classifier_takes_every_sampling(classifier: str, sampling: str) -> None:
    probabilities = fitted(classifier=classifier, sampling=sampling).predict(JUDGED)
    assert (probabilities > 0).all()


@pytest.mark.parametrize("classifier", list(CLASSIFIERS))
def test_cells_of_one_severity_keep_their_prior_and_absent_ones_stay_possible(classifier: str) -> None:
    labels = LABELS.copy()
    labels[:, 3] = np.where(labels[:, 3] == EMPTY, EMPTY, 1)
    labels[:, 7] = EMPTY
    labels[labels[:, 11] == 2, 11] = 0
    model = fitted(labels, classifier=classifier)
    probabilities = model.predict(JUDGED)
    for cell in (3, 7):
        np.testing.assert_allclose(probabilities[:, cell], np.tile(model.prior[cell], (8, 1)))
    assert (probabilities[:, 11, 2] > 1e-4).all()
    assert probabilities[:, 11, 0].std() > 0


@pytest.mark.parametrize("classifier", ["svc", "networks"])
def test_sampling_sees_training_rows_only(classifier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of the two fits must not resample the rows used for calibration or early stopping."""
    seen: list[np.ndarray] = []

    def watched(sampling: str, rows: np.ndarray, *rest: Any, **more: Any) -> tuple:
        seen.append(rows)
        return resampled(sampling, rows, *rest, **more)

    monkeypatch.setattr(classifiers, "resampled", watched)
    model = fitted(classifier=classifier, sampling="smote")
    model.predict(JUDGED)
    assert len(seen) == 2 * len(CELL_NAMES)  # none of them when predicting
    _, held_out = stopping_split(LABELS, seed=0)
    for cell, column in enumerate(LABELS.T):
        in_first = ~np.isin(np.flatnonzero(column != EMPTY), held_out)
        np.testing.assert_array_equal(seen[cell], seen[len(CELL_NAMES) + cell][in_first])


def test_decisions_are_calibrated_on_rows_the_first_fit_has_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[int] = []
    fit_cell = classifiers.SVCClassifiers._fit_cell

    def watched(self: classifiers.SVCClassifiers, rows: np.ndarray, *rest: Any) -> list[RBFSVM]:
        fits.append(len(rows))
        return fit_cell(self, rows, *rest)

    calibrated: list[np.ndarray] = []
    calibrate = classifiers.SoftmaxRegressions.fit

    def watched_too(decisions: np.ndarray, labels: np.ndarray, *rest: object, **more: object) -> object:
        calibrated.append(labels)
        return calibrate(decisions, labels, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(classifiers.SVCClassifiers, "_fit_cell", watched)
    monkeypatch.setattr(classifiers.SoftmaxRegressions, "fit", watched_too)
    fitted(classifier="svc")
    _, held_out = stopping_split(LABELS, seed=0)
    np.testing.assert_array_equal(calibrated[0], LABELS[held_out])
    assert max(fits[: len(CELL_NAMES)]) <= len(LABELS) - len(held_out)


def test_a_stand_in_for_svm_smote_is_told(tmp_path: Path) -> None:
    labels = np.zeros_like(LABELS)
    labels[[0, 1]] = 2
    assert fitted(labels, sampling="smote").notes == []
    model = fitted(labels, sampling="svm_smote")
    assert len(model.notes) == 1
    assert "SMOTE stands in for SVM-SMOTE" in model.notes[0]
    assert "(25 of 25 cells)" in model.notes[0]
    model.save(tmp_path, Provenance())
    assert PooledModel.load(tmp_path).notes == model.notes


def test_what_was_learned_is_better_than_the_prior_on_new_studies() -> None:
    labels = make_labels(60, seed=5)
    features = make_features(labels, seed=6)
    train, judged = features.take(slice(45)), features.take(slice(45, 60))
    prior = PriorModel().fit(train, labels[:45], seed=0).predict(judged)
    for pooling in ("average", "attention"):
        model = PooledModel(pooling=pooling, width=8).fit(train, labels[:45], seed=0)
        ours, theirs = (score_arrays(labels[45:], one).total for one in (model.predict(judged), prior))
        assert ours < theirs - 0.03
        assert set(model.curve["part"]) == {"embedder"}


def test_unknown_choices_are_refused() -> None:
    for wrong in ({"classifier": "knn"}, {"pooling": "max"}, {"sampling": "smoat"}):
        with pytest.raises(UsageError, match="unknown"):
            PooledModel(**wrong)


def test_classifiers_on_the_same_embedding_share_it() -> None:
    models = [PooledModel(classifier=name) for name in ("svc", "xgboost")]
    assert models[0].shared_stage() == models[1].shared_stage()
    others = [
        PooledModel(**changed) for changed in ({"pooling": "attention"}, {"width": 8}, {"embedder_epochs": 1})
    ]
    assert len({model.shared_stage() for model in (*models, *others)}) == 4
