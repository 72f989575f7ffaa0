import numpy as np

from kitlib.models.prior import PriorModel
from kitlib.terms import EMPTY
from tests.models.builders import make_features, make_labels


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
