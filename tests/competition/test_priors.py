"""The prior: weighted frequencies per condition group and level."""

import json

import numpy as np
import pandas as pd
import pytest

from kitlib.competition.metric import score
from kitlib.competition.priors import Prior
from kitlib.competition.tables import read_train_labels
from kitlib.errors import ArtefactError
from kitlib.terms import CELL_NAMES, CELLS, EMPTY
from tests.competition.builders import make_labels


def test_frequencies_are_weighted_and_pool_the_sides():
    labels = make_labels(2000)
    prior = Prior.fit(labels)
    pooled = labels[["left_subarticular_stenosis_l4_l5", "right_subarticular_stenosis_l4_l5"]].to_numpy()
    counts = np.array([(pooled == code).sum() * 2**code for code in range(3)])
    for side in ("left", "right"):
        cell = CELL_NAMES.index(f"{side}_subarticular_stenosis_l4_l5")
        np.testing.assert_allclose(prior.probabilities[cell], counts / counts.sum(), atol=1e-3)
    np.testing.assert_allclose(prior.probabilities.sum(axis=1), 1)


def test_an_unseen_severity_stays_possible_and_an_unlabelled_level_takes_its_group():
    labels = make_labels(12, empty=0).clip(upper=1)
    foraminal = [cell.name for cell in CELLS if cell.group == "foraminal"]
    labels[[name for name in foraminal if name.endswith("l5_s1")]] = EMPTY
    prior = Prior.fit(labels)
    assert (prior.probabilities > 0).all()
    group = labels[foraminal].to_numpy()
    counts = np.array([(group == code).sum() * 2**code for code in range(3)]) + 1 / 3
    unlabelled = CELL_NAMES.index("left_neural_foraminal_narrowing_l5_s1")
    np.testing.assert_allclose(prior.probabilities[unlabelled], counts / counts.sum())


def test_without_any_label_the_prior_is_a_third():
    np.testing.assert_allclose(Prior.fit(make_labels(3, empty=1)).probabilities, 1 / 3)


def test_predictions_are_the_same_for_every_study():
    prior = Prior.fit(make_labels())
    predictions = prior.predict(iter([9, 7]))
    assert len(predictions) == 50
    np.testing.assert_array_equal(predictions.to_numpy()[:25], prior.probabilities)
    np.testing.assert_array_equal(predictions.to_numpy()[25:], prior.probabilities)
    assert prior.predict([]).empty


def test_there_and_back_through_json():
    prior = Prior.fit(make_labels())
    again = Prior.from_json(json.loads(json.dumps(prior.to_json())))
    np.testing.assert_array_equal(again.probabilities, prior.probabilities)
    for change in ({CELL_NAMES[3]: [1, 1, 1]}, {CELL_NAMES[3]: [1]}, {CELL_NAMES[3]: None}):
        with pytest.raises(ArtefactError, match="not a prior"):
            Prior.from_json(prior.to_json() | change)
    with pytest.raises(ArtefactError, match="not a prior"):
        Prior.from_json({})


def test_inputs_are_unchanged():
    labels = make_labels()
    before = labels.copy()
    Prior.fit(labels)
    pd.testing.assert_frame_equal(labels, before)


def test_the_real_prior_scores_its_golden_value(real_dir):
    labels = read_train_labels(real_dir / "tables" / "train.csv")
    assert round(score(labels, Prior.fit(labels).predict(labels.index)).total, 4) == 0.7900
