import numpy as np
import pytest

from kitlib.competition.metric import score, score_arrays, study_sums
from kitlib.errors import ModelError
from kitlib.evaluate.compare import difference_interval, score_interval, share_interval
from tests.ensemble.builders import make_label_table, make_probabilities, make_table

LABELS = make_label_table(80)
GOOD, BETTER = make_table(LABELS, skill=1.0), make_table(LABELS, skill=1.6)


def test_sums_of_studies_make_the_metric_of_any_multiset() -> None:
    codes, probabilities = LABELS.to_numpy(), make_probabilities(LABELS.to_numpy())
    sums = study_sums(codes, probabilities)
    counts = np.random.default_rng(0).integers(0, 3, len(codes))
    losses, weights = (counts[:, None] * sums).sum(axis=1)
    drawn = np.repeat(np.arange(len(codes)), counts)
    expected = score_arrays(codes[drawn], probabilities[drawn])
    assert (losses / weights).mean() == pytest.approx(expected.total, abs=1e-12)
    assert (losses / weights)[3] == pytest.approx(expected.any_severe_spinal, abs=1e-12)


def test_the_interval_holds_the_score() -> None:
    interval = score_interval(LABELS, GOOD)
    assert interval.estimate == pytest.approx(score(LABELS, GOOD).total, abs=1e-12)
    assert interval.low < interval.estimate < interval.high
    assert interval.sd > 0
    assert interval == score_interval(LABELS, GOOD.sample(frac=1, random_state=0))  # in any order


def test_more_studies_make_a_narrower_interval() -> None:
    many = make_label_table(320)
    assert score_interval(many, make_table(many, skill=1.0)).sd < 0.7 * score_interval(LABELS, GOOD).sd


def test_a_pairwise_difference_is_sharper_than_two_intervals() -> None:
    nudged = GOOD * [1.1, 1, 1]
    difference = difference_interval(LABELS, nudged, GOOD)
    assert difference.sd < 0.2 * score_interval(LABELS, GOOD).sd
    assert difference.estimate == pytest.approx(
        score(LABELS, nudged).total - score(LABELS, GOOD).total, abs=1e-12
    )


def test_the_better_predictions_are_clearly_better() -> None:
    assert difference_interval(LABELS, BETTER, GOOD).high < 0
    assert difference_interval(LABELS, GOOD, GOOD).sd == 0


def test_no_studies_are_refused() -> None:
    with pytest.raises(ModelError, match="no study"):
        score_interval(LABELS.iloc[:0], GOOD)


def test_a_share_of_cells_is_as_uncertain_as_its_studies() -> None:
    hits, cells = np.array([5, 0] * 50), np.full(100, 5)
    clustered, single = share_interval(hits, cells), share_interval(np.tile([1, 0], 250), np.ones(500))
    assert clustered.estimate == single.estimate == 0.5
    assert clustered.sd == pytest.approx(0.05, rel=0.1)  # from 100 studies, not 500 cells
    assert single.sd == pytest.approx(0.5 / 500**0.5, rel=0.1)
    assert np.isnan(share_interval(np.zeros(4), np.zeros(4)).estimate)
