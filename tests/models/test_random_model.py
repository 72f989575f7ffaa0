import numpy as np

from kitlib.models.random_model import RandomModel, draw
from tests.models.builders import make_features, make_labels

LABELS = make_labels(400)
FEATURES = make_features(LABELS[:5])


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
