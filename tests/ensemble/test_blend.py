import numpy as np
import pytest

from kitlib.competition.metric import score_arrays
from kitlib.ensemble.blend import LEAST_WEIGHT, Blend, fit_blend
from kitlib.errors import ModelError, UsageError
from kitlib.terms import EMPTY
from tests.ensemble.builders import make_probabilities
from tests.models.builders import make_labels

LABELS = make_labels(200)
GOOD = make_probabilities(LABELS, skill=1.5, seed=1)
ALSO_GOOD = make_probabilities(LABELS, skill=1.5, seed=2)
USELESS = make_probabilities(LABELS, skill=0.0, seed=3) ** 3


def test_weights_are_on_the_simplex_and_prefer_the_better_model() -> None:
    weights = fit_blend(LABELS, {"useless": USELESS, "good": GOOD})
    assert sum(weights.values()) == pytest.approx(1)
    assert min(weights.values()) >= 0
    assert weights["good"] > 0.8


def test_a_blend_is_no_worse_than_its_best_member_and_equal_weights() -> None:
    candidates = {"a": GOOD, "b": ALSO_GOOD, "c": USELESS}
    blended = Blend(fit_blend(LABELS, candidates, shrinkage=0)).apply(candidates)
    equal = Blend(dict.fromkeys(candidates, 1 / 3)).apply(candidates)
    best = min(score_arrays(LABELS, one).total for one in [*candidates.values(), equal])
    assert score_arrays(LABELS, blended).total <= best + 1e-6


def test_the_pull_leads_to_equal_weights() -> None:
    weights = fit_blend(LABELS, {"good": GOOD, "useless": USELESS}, shrinkage=1e6)
    assert weights == pytest.approx({"good": 0.5, "useless": 0.5}, abs=1e-3)


def test_fitting_is_deterministic_and_does_not_depend_on_the_order() -> None:
    weights = fit_blend(LABELS, {"a": GOOD, "b": ALSO_GOOD})
    assert weights == fit_blend(LABELS, {"a": GOOD, "b": ALSO_GOOD})
    assert weights == pytest.approx(fit_blend(LABELS, {"b": ALSO_GOOD, "a": GOOD}), abs=1e-2)


def test_one_model_has_all_the_weight() -> None:
    assert fit_blend(LABELS, {"only": GOOD}) == {"only": 1.0}
    np.testing.assert_allclose(Blend({"only": 1.0}).apply({"only": GOOD}), GOOD)


def test_a_model_that_would_not_count_is_left_out() -> None:
    weights = fit_blend(LABELS, {"useless": USELESS, "good": GOOD, "also": ALSO_GOOD}, shrinkage=0)
    assert all(weight == 0 or weight >= LEAST_WEIGHT for weight in weights.values())
    assert weights["useless"] == 0


def test_empty_labels_leave_equal_weights() -> None:
    weights = fit_blend(np.full_like(LABELS, EMPTY), {"a": GOOD, "b": USELESS})
    assert weights == pytest.approx({"a": 0.5, "b": 0.5})
    assert fit_blend(LABELS[:0], {"a": GOOD[:0], "b": USELESS[:0]}) == pytest.approx({"a": 0.5, "b": 0.5})


def test_nothing_to_blend_and_absent_models_are_errors() -> None:
    with pytest.raises(UsageError, match="nothing to blend"):
        fit_blend(LABELS, {})
    with pytest.raises(ModelError, match="no predictions of b"):
        Blend({"a": 0.5, "b": 0.5}).apply({"a": GOOD})
