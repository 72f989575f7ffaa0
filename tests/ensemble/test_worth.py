import numpy as np

from kitlib.ensemble.worth import worthwhile
from tests.ensemble.builders import make_probabilities
from tests.models.builders import make_labels

LABELS = make_labels(80)
VAGUE = make_probabilities(LABELS, skill=0.3, seed=1)
BETTER = make_probabilities(LABELS, skill=1.0, seed=2)


def refit(strength: float, _train: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """The effect grows with the strength; the canal is never changed."""
    mixed = (1 - strength) * VAGUE[held_out] + strength * BETTER[held_out]
    mixed[:, :5] = VAGUE[held_out, :5]
    return mixed


def test_the_strength_that_gains_most_is_chosen_where_there_is_a_gain() -> None:
    best = worthwhile(LABELS, VAGUE, refit, (0.01, 0.8, 0.05))
    assert best == {"foraminal": 0.8, "subarticular": 0.8}


def test_a_group_that_cannot_change_is_not_chosen() -> None:
    assert worthwhile(LABELS, VAGUE, refit, (0.8,), groups=("spinal", "foraminal")) == {"foraminal": 0.8}


def test_a_loss_is_never_chosen() -> None:
    assert worthwhile(LABELS, BETTER, lambda *_: VAGUE[_[2]], (1.0,)) == {}


def test_each_study_is_corrected_by_a_fit_without_it() -> None:
    seen = []

    def watched(_strength: float, train: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        assert not set(train) & set(held_out)
        seen.extend(held_out)
        return VAGUE[held_out]

    worthwhile(LABELS, VAGUE, watched, (1.0,))
    assert sorted(seen) == list(range(80))


def test_too_few_studies_to_judge_by_change_nothing() -> None:
    assert worthwhile(LABELS[:3], VAGUE[:3], refit, (0.8,)) == {}
