"""Grades of places: the metrics are correct, and nothing is fitted on the studies it is evaluated on."""

import numpy as np
import pytest

from kitlib.evaluate.places import judged_places, weighted_log_loss

THIRDS = np.full(3, 1 / 3)


def some_places(count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 3, count), rng.integers(0, 5, count), np.arange(count) // 10


def test_the_loss_is_that_of_the_competition() -> None:
    said = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    expected = -(1 * np.log(0.5) + 4 * np.log(0.8)) / 5
    assert weighted_log_loss(np.array([0, 2]), said) == pytest.approx(expected)


def test_knowing_ranks_and_not_knowing_does_not() -> None:
    severities, levels, studies = some_places()
    known = np.eye(3)[severities] * 0.9 + 1 / 30
    found = judged_places(severities, known, levels, studies)
    assert found["auc"] == 1
    assert found["scaled"] < found["loss"] < found["prior"]
    assert (found["places"], found["studies"], found["severe"]) == (300, 30, (severities == 2).sum())
    ignorant = judged_places(severities, np.tile(THIRDS, (300, 1)), levels, studies)
    assert ignorant["auc"] == 0.5
    assert ignorant["loss"] == pytest.approx(np.log(3))


def test_scaling_mends_probabilities_that_only_rank() -> None:
    severities, levels, studies = some_places()
    twisted = np.eye(3)[severities][:, [2, 1, 0]] * 0.6 + 0.4 / 3
    found = judged_places(severities, twisted, levels, studies)
    assert found["scaled"] < 0.1 < found["loss"]


def test_scaling_and_prior_are_of_the_other_half() -> None:
    """Each half of the studies has one severity only, which the other half does not have."""
    studies = np.arange(120) // 10
    severities = np.where(studies % 2, 2, 0)
    severities[::10] = np.arange(12) % 3  # a little of everything, everywhere
    severities[1::10] = (np.arange(12) // 2) % 3
    found = judged_places(severities, np.tile(THIRDS, (120, 1)), np.zeros(120), studies)
    assert found["prior"] > np.log(3)
    assert found["scaled"] > np.log(3)


def test_where_a_severity_is_missing_there_is_no_number() -> None:
    _, levels, studies = some_places()
    found = judged_places(np.zeros(300, int), np.tile(THIRDS, (300, 1)), levels, studies)
    assert all(np.isnan(found[name]) for name in ("auc", "scaled", "prior"))
    assert found["loss"] == pytest.approx(np.log(3))
