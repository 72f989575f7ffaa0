import json

import numpy as np
import pytest

from kitlib.competition.metric import score_arrays
from kitlib.ensemble.calibrate import (
    AnySevere,
    Calibrator,
    Temperature,
    VectorScaling,
    name2calibrator,
)
from kitlib.terms import EMPTY
from tests.ensemble.builders import make_probabilities
from tests.models.builders import make_labels

LABELS = make_labels(300)
SHARP = make_probabilities(LABELS, skill=1.2, sharpness=3.0)
CALIBRATED = make_probabilities(LABELS, skill=1.2) * [0.65, 0.4, 0.6]  # prior times the metric's weights


SCALINGS = [Temperature, VectorScaling]
ALL = list(name2calibrator.values())


def make_vague_canals() -> np.ndarray:
    """(300, 25, 3): probabilities of Severe in the canal that are far too small."""
    vague = CALIBRATED.copy()
    vague[:, :5, 2] /= 8
    return vague


@pytest.mark.parametrize("kind", SCALINGS)
def test_overconfidence_is_repaired_on_other_studies(kind: type[Calibrator]) -> None:
    scaling = kind.fit(LABELS[:200], SHARP[:200])
    before, after = (
        score_arrays(LABELS[200:], one).total for one in (SHARP[200:], scaling.apply(SHARP[200:]))
    )
    assert after < before - 0.2


def test_a_temperature_is_one_number_a_group_below_one_for_overconfidence() -> None:
    values = Temperature.fit(LABELS, SHARP).to_json()
    assert set(values) == {"spinal", "foraminal", "subarticular"}
    assert all(len(one) == 1 and 0.1 < one[0] < 0.7 for one in values.values())


def test_the_rule_of_any_severe_lowers_its_component_and_leaves_other_groups() -> None:
    vague = make_vague_canals()
    rule = AnySevere.fit(LABELS[:200], vague[:200])
    before, after = (score_arrays(LABELS[200:], one) for one in (vague[200:], rule.apply(vague[200:])))
    assert after.any_severe_spinal < before.any_severe_spinal - 0.05
    assert after.spinal + after.any_severe_spinal < before.spinal + before.any_severe_spinal - 0.05
    assert after.foraminal == pytest.approx(before.foraminal)


def test_the_rule_moves_the_level_that_stands_out_and_keeps_its_ratio_of_the_rest() -> None:
    canals = np.tile([0.8, 0.195, 0.005], (1, 25, 1))
    canals[:, 3] = 0.3, 0.2, 0.5
    moved = AnySevere({"spinal": np.array([1.0, 1.0])}).apply(canals)
    assert moved[0, 3, 2] == pytest.approx(1 / (1 + np.exp(-0.5 / 0.52)))
    assert moved[0, 3, 0] / moved[0, 3, 1] == pytest.approx(1.5)
    assert moved[0, 0, 2] == pytest.approx(0.005, rel=0.02)
    np.testing.assert_allclose(moved[:, 5:], canals[:, 5:])


@pytest.mark.parametrize("kind", ALL)
def test_what_is_calibrated_on_few_studies_is_left_alone(kind: type[Calibrator]) -> None:
    few = CALIBRATED[:12] / CALIBRATED[:12].sum(-1, keepdims=True)
    scaling = kind.fit(LABELS[:12], few)
    held_out = CALIBRATED[12:] / CALIBRATED[12:].sum(-1, keepdims=True)
    cost = (
        score_arrays(LABELS[12:], scaling.apply(held_out)).total - score_arrays(LABELS[12:], held_out).total
    )
    assert cost < 0.02


@pytest.mark.parametrize("kind", ALL)
def test_rows_sum_to_one_even_at_zero(kind: type[Calibrator]) -> None:
    certain = np.eye(3)[LABELS.clip(0)]
    forced = kind(dict.fromkeys(kind.groups, 0.9 * kind.identity))
    scaled = forced.apply(kind.fit(LABELS, certain).apply(certain))
    np.testing.assert_allclose(scaled.sum(axis=-1), 1)
    assert np.isfinite(scaled).all()


def test_a_group_without_labels_is_left_alone() -> None:
    labels = LABELS.copy()
    labels[:, :5] = EMPTY
    scaling = VectorScaling.fit(labels, SHARP)
    np.testing.assert_allclose(scaling.apply(SHARP)[:, :5], SHARP[:, :5])
    assert "foraminal" in scaling.group2parameters


def test_a_canal_without_labels_is_left_alone() -> None:
    labels = LABELS.copy()
    labels[:, :5] = EMPTY
    assert AnySevere.fit(labels, make_vague_canals()).group2parameters == {}


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("studies", [0, 1, 2, 5])
def test_hardly_any_study_is_survived(kind: type[Calibrator], studies: int) -> None:
    scaling = kind.fit(LABELS[:studies], SHARP[:studies])
    assert np.isfinite(scaling.apply(SHARP)).all()


@pytest.mark.parametrize("kind", ALL)
def test_json_brings_it_back_and_inputs_stay(kind: type[Calibrator]) -> None:
    probabilities = make_vague_canals() ** 3
    before = probabilities.copy()
    scaling = kind.fit(LABELS, probabilities)
    assert scaling.group2parameters
    again = kind.from_json(json.loads(json.dumps(scaling.to_json())))
    np.testing.assert_array_equal(again.apply(probabilities), scaling.apply(probabilities))
    np.testing.assert_array_equal(probabilities, before)


@pytest.mark.parametrize("kind", ALL)
def test_the_identity_changes_nothing(kind: type[Calibrator]) -> None:
    nothing = kind(dict.fromkeys(kind.groups, kind.identity))
    np.testing.assert_allclose(nothing.apply(SHARP), SHARP, atol=1e-8)
