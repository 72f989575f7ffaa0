import numpy as np

from kitlib.models.blind import PriorModel, RandomModel, draw
from kitlib.terms import EMPTY
from tests.models.builders import make_features, make_labels

LABELS = make_labels(400)
FEATURES = make_features(LABELS[:5])


def test_every_study_gets_the_same_and_only_labels_count() -> None:
    labels = make_labels(12)
    model = PriorModel().fit(make_features(labels), labels, seed=0)
    predicted = model.predict(make_features(make_labels(4, seed=1), seed=3))
    assert (predicted == predicted[:1]).all()
    other = PriorModel().fit(make_features(labels, seed=9), labels, seed=5)
    assert np.array_equal(other.predict(make_features(make_labels(4))), predicted)


def test_a_severity_that_is_more_frequent_is_more_probable() -> None:
    labels = np.full((20, 25), EMPTY, np.int8)
    labels[:14], labels[14:] = 0, 2
    probabilities = PriorModel().fit(make_features(labels), labels, seed=0).prior
    rarer = np.where(labels == 0, 2, 0).astype(np.int8)
    swapped = PriorModel().fit(make_features(labels), rarer, seed=0).prior
    assert (probabilities[:, 0] > swapped[:, 0]).all()
    assert (probabilities[:, 2] < swapped[:, 2]).all()
    assert (probabilities > 0).all()


def fitted(seed: int) -> RandomModel:
    return RandomModel().fit(FEATURES, LABELS[:5], seed=seed)


def test_a_study_is_drawn_the_same_alone_and_in_any_company() -> None:
    together = fitted(0).predict(FEATURES)
    np.testing.assert_array_equal(fitted(0).predict(FEATURES.take([3])), together[[3]])
    np.testing.assert_array_equal(fitted(0).predict(FEATURES.take([4, 3])), together[[4, 3]])


def test_seed_study_and_cell_each_change_the_draw() -> None:
    probabilities = fitted(0).predict(FEATURES)
    assert len(np.unique(probabilities[..., 0])) == probabilities[..., 0].size
    assert (fitted(1).predict(FEATURES) != probabilities).all()


def test_draws_are_even_over_all_probabilities() -> None:
    draws = np.concatenate([draw(0, study) for study in range(80)])
    np.testing.assert_allclose(draws.mean(axis=0), 1 / 3, atol=0.02)
    np.testing.assert_allclose((draws > 0.5).mean(axis=0), 0.25, atol=0.03)
