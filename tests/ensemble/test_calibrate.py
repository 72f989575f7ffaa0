import json

import numpy as np
import pytest

from kitlib.competition.metric import score_arrays
from kitlib.ensemble.calibrate import VectorScaling
from kitlib.terms import EMPTY
from tests.ensemble.builders import make_probabilities
from tests.models.builders import make_labels

LABELS = make_labels(300)
SHARP = make_probabilities(LABELS, skill=1.2, sharpness=3.0)
CALIBRATED = make_probabilities(LABELS, skill=1.2) * [0.65, 0.4, 0.6]  # prior times the metric's weights


def test_overconfidence_is_repaired_on_other_studies() -> None:
    scaling = VectorScaling.fit(LABELS[:200], SHARP[:200])
    before, after = (
        score_arrays(LABELS[200:], one).total for one in (SHARP[200:], scaling.apply(SHARP[200:]))
    )
    assert after < before - 0.2


def test_what_is_calibrated_on_few_studies_is_left_alone() -> None:
    few = CALIBRATED[:12] / CALIBRATED[:12].sum(-1, keepdims=True)
    scaling = VectorScaling.fit(LABELS[:12], few)
    held_out = CALIBRATED[12:] / CALIBRATED[12:].sum(-1, keepdims=True)
    cost = (
        score_arrays(LABELS[12:], scaling.apply(held_out)).total - score_arrays(LABELS[12:], held_out).total
    )
    assert cost < 0.02


def test_rows_sum_to_one_even_at_zero() -> None:
    certain = np.eye(3)[LABELS.clip(0)]
    scaled = VectorScaling.fit(LABELS, certain).apply(certain)
    np.testing.assert_allclose(scaled.sum(axis=-1), 1)
    assert np.isfinite(scaled).all()


def test_a_group_without_labels_is_left_alone() -> None:
    labels = LABELS.copy()
    labels[:, :5] = EMPTY
    scaling = VectorScaling.fit(labels, SHARP)
    np.testing.assert_allclose(scaling.apply(SHARP)[:, :5], SHARP[:, :5])
    assert "foraminal" in scaling.group2scaling


@pytest.mark.parametrize("studies", [0, 1, 2])
def test_hardly_any_study_is_survived(studies: int) -> None:
    scaling = VectorScaling.fit(LABELS[:studies], SHARP[:studies])
    assert np.isfinite(scaling.apply(SHARP)).all()


def test_json_brings_it_back_and_inputs_stay() -> None:
    before = SHARP.copy()
    scaling = VectorScaling.fit(LABELS, SHARP)
    again = VectorScaling.from_json(json.loads(json.dumps(scaling.to_json())))
    np.testing.assert_array_equal(again.apply(SHARP), scaling.apply(SHARP))
    np.testing.assert_array_equal(SHARP, before)
