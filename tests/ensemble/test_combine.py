import json

import numpy as np
import pytest
from scipy.special import softmax

from kitlib.competition.metric import group2cells, score_arrays
from kitlib.ensemble.combine import Blend, LightGBMStack, LogisticStack, Stack
from kitlib.terms import EMPTY
from tests.ensemble.builders import make_probabilities
from tests.models.builders import make_labels

LABELS = make_labels(400)
CANDIDATES = {
    "vague": make_probabilities(LABELS, skill=0.9, seed=1) * [0.65, 0.4, 0.6],
    "good": make_probabilities(LABELS, skill=1.2, seed=2) * [0.65, 0.4, 0.6],
}
STACKS = [LogisticStack, LightGBMStack]


def make_twins() -> tuple[np.ndarray, np.ndarray]:
    """Labels (400, 25) with equal right and left sides, and predictions that see only the left side."""
    labels = LABELS.clip(0)
    labels[:, 10:15], labels[:, 20:25] = labels[:, 5:10], labels[:, 15:20]
    seen = make_probabilities(labels, skill=1.5, seed=3)
    seen[:, 10:15], seen[:, 20:25] = 1 / 3, 1 / 3
    return labels, seen


def of_rows(candidates: dict[str, np.ndarray], rows: slice) -> dict[str, np.ndarray]:
    return {name: array[rows] for name, array in candidates.items()}


@pytest.mark.parametrize("kind", STACKS)
def test_a_stack_reads_the_other_side_on_studies_it_was_not_fitted_on(kind: type[Stack]) -> None:
    labels, seen = make_twins()
    stack = kind.fit(labels[:200], {"left": seen[:200]})
    before, after = (
        score_arrays(labels[200:], one).total for one in (seen[200:], stack.apply({"left": seen[200:]}))
    )
    assert after < before - 0.02


@pytest.mark.parametrize("kind", STACKS)
def test_what_brings_nothing_is_left_out_and_the_blend_stays(kind: type[Stack]) -> None:
    few = of_rows(CANDIDATES, slice(0, 20))
    stack = kind.fit(np.random.default_rng(0).permuted(LABELS[:20], axis=0), few)
    changed = {cell for group in stack.group2change for cell in group2cells[group]}
    same = [cell for cell in range(25) if cell not in changed]
    assert len(same) >= 15
    np.testing.assert_allclose(stack.apply(few)[:, same], as_blended(stack, few)[:, same])


def as_blended(stack: Blend, candidates: dict[str, np.ndarray]) -> np.ndarray:
    blended = Blend(stack.weights).apply(candidates)
    return blended / blended.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("kind", [Blend, *STACKS])
def test_json_brings_it_back_though_it_sorts_the_models(kind: type[Blend]) -> None:
    labels, left = make_twins()
    candidates = {"z": left, "a": make_probabilities(labels, skill=0.5, seed=4)}
    before = {name: array.copy() for name, array in candidates.items()}
    combiner = kind.fit(labels, candidates)
    again = kind.from_json(json.loads(json.dumps(combiner.to_json(), sort_keys=True)))
    assert combiner.members == ["z", "a"]
    np.testing.assert_allclose(again.apply(candidates), combiner.apply(candidates), rtol=1e-12)
    for name, array in candidates.items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("kind", STACKS)
def test_one_study_is_combined_as_among_many(kind: type[Stack]) -> None:
    labels, left = make_twins()
    stack = kind.fit(labels, {"left": left})
    assert stack.group2change
    np.testing.assert_allclose(stack.apply({"left": left[:1]}), stack.apply({"left": left})[:1])


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize("studies", [0, 1, 2, 5])
def test_hardly_any_study_is_survived(kind: type[Stack], studies: int) -> None:
    stack = kind.fit(LABELS[:studies], of_rows(CANDIDATES, slice(0, studies)))
    combined = stack.apply(CANDIDATES)
    assert np.isfinite(combined).all()
    np.testing.assert_allclose(combined.sum(axis=-1), 1)


@pytest.mark.parametrize("kind", STACKS)
def test_a_group_without_labels_and_certain_predictions_are_survived(kind: type[Stack]) -> None:
    labels, left = make_twins()
    labels[:, group2cells["spinal"]] = EMPTY
    certain = np.where(left == left.max(axis=-1, keepdims=True), 1.0, 0.0)
    stack = kind.fit(labels, {"certain": certain})
    assert "spinal" not in stack.group2change
    assert np.isfinite(stack.apply({"certain": certain})).all()


def test_a_logistic_change_adds_to_the_blends_log_probabilities() -> None:
    change = np.zeros((16, 3))
    change[-1] = 0.5, 0.0, -0.5
    stack = LogisticStack({"good": 1.0}, {"foraminal": change.tolist()})
    cells = group2cells["foraminal"]
    blended = as_blended(stack, CANDIDATES)
    expected = softmax(np.log(blended[:, cells]) + change[-1], axis=-1)
    np.testing.assert_allclose(stack.apply(CANDIDATES)[:, cells], expected)
