import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from kitlib.competition.submission import to_rows
from kitlib.ensemble.conformal import ALL, ConformalSets, coverage_table, crossfit_sets, fit_sets
from kitlib.ensemble.crossfit import Recipe, crossfit
from kitlib.errors import UsageError
from kitlib.experiments.run import make_folds
from kitlib.terms import CELL_NAMES, EMPTY, SEVERITIES
from tests.ensemble.builders import make_label_table


def make_ordered(codes: np.ndarray) -> np.ndarray:
    """Probabilities (n, 25, 3) of a model that sees severity on a continuous scale, with an error of 0.7."""
    seen = codes.clip(0) + np.random.default_rng(0).normal(scale=0.7, size=codes.shape)
    return softmax(-((seen[..., None] - np.arange(3)) ** 2), axis=-1)


LABELS = make_label_table(600)
CODES = LABELS[list(CELL_NAMES)].to_numpy()
PROBABILITIES = make_ordered(CODES)
FOLDS = make_folds(LABELS, 4, seed=0)
CANDIDATES = {"one": to_rows(LABELS.index, PROBABILITIES)}
AS_IT_IS = Recipe(calibrate=())
SETS = ConformalSets.fit(CODES, PROBABILITIES)


@pytest.mark.slow
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_each_severity_is_covered_as_stated_on_studies_without_a_say(coverage: float) -> None:
    table = coverage_table(LABELS, crossfit_sets(LABELS, FOLDS, CANDIDATES, AS_IT_IS, coverage))
    assert table["coverage"].between(coverage - 0.05, coverage + 0.05).all()
    assert table["coverage"].mean() == pytest.approx(coverage, abs=0.015)
    assert ((table["low"] < table["coverage"]) & (table["coverage"] < table["high"])).all()


@pytest.mark.slow
def test_an_overconfident_model_is_covered_too() -> None:
    sharp = {"sharp": to_rows(LABELS.index, PROBABILITIES**4)}
    table = coverage_table(LABELS, crossfit_sets(LABELS, FOLDS, sharp, AS_IT_IS))
    assert table["coverage"].mean() == pytest.approx(0.9, abs=0.02)


def test_sets_are_never_empty_and_have_no_hole() -> None:
    sets = SETS.apply(np.random.default_rng(0).dirichlet([1, 0.2, 1], size=(50, 25)))
    assert sets.any(axis=-1).all()
    assert not (sets[..., 0] & sets[..., 2] & ~sets[..., 1]).any()
    certain = ConformalSets(0.9, dict.fromkeys(SETS.group2least, np.ones(3)))
    np.testing.assert_array_equal(
        certain.apply(np.tile([0.2, 0.5, 0.3], (1, 25, 1)))[0, 0], [False, True, False]
    )


def test_the_threshold_is_that_of_the_finite_sample() -> None:
    codes = np.full((19, 25), EMPTY)
    codes[:, 0] = 2
    probabilities = np.tile([0.3, 0.3, 0.4], (19, 25, 1))
    severe = np.linspace(0.05, 0.95, 19)
    probabilities[:, 0] = np.stack([1 - severe, 0 * severe, severe], axis=1)
    least = ConformalSets.fit(codes, probabilities).group2least["spinal"]
    np.testing.assert_allclose(least, [0, 0, severe[1]])  # of 20 with the next one, 2 may be left out


@pytest.mark.slow
def test_a_fold_has_no_say_in_its_own_sets() -> None:
    recipe = Recipe("logistic", ("temperature",))
    labels = LABELS.copy()
    judged = FOLDS.index[FOLDS == 1]
    labels.loc[judged] = 0
    plain, changed = (crossfit_sets(table, FOLDS, CANDIDATES, recipe) for table in (LABELS, labels))
    of_fold = (FOLDS == 1).to_numpy()
    np.testing.assert_array_equal(plain[of_fold], changed[of_fold])
    assert (plain[~of_fold] != changed[~of_fold]).any()


def test_sets_for_new_studies_are_of_the_out_of_fold_predictions() -> None:
    fitted = crossfit(LABELS, FOLDS, CANDIDATES, AS_IT_IS)
    shuffled = FOLDS.sample(frac=1, random_state=0)
    again = crossfit(LABELS, shuffled, CANDIDATES, AS_IT_IS)
    for sets in (fit_sets(LABELS, FOLDS, fitted), fit_sets(LABELS, shuffled, again)):
        for group, least in SETS.group2least.items():
            np.testing.assert_allclose(sets.group2least[group], least)


def test_higher_coverage_makes_larger_sets() -> None:
    wide = ConformalSets.fit(CODES, PROBABILITIES, 0.99).apply(PROBABILITIES)
    assert (wide >= SETS.apply(PROBABILITIES)).all()
    assert wide.sum() > SETS.apply(PROBABILITIES).sum()


def test_the_table_counts_what_is_there() -> None:
    codes = np.full((2, 25), EMPTY)
    codes[0, 0], codes[1, :2] = 2, (2, 0)
    labels = pd.DataFrame(codes, columns=list(CELL_NAMES))
    sets = np.zeros((2, 25, 3), dtype=bool)
    sets[0, 0, 1:], sets[1, :2, 0] = True, True
    table = coverage_table(labels, sets).set_index(["condition", "severity"]).loc["Spinal Canal Stenosis"]
    assert table.index.tolist() == [ALL, *SEVERITIES]
    assert table["cells"].tolist() == [3, 1, 0, 2]
    np.testing.assert_allclose(table["coverage"], [2 / 3, 1, np.nan, 0.5])
    np.testing.assert_allclose(table["mean_size"], [4 / 3, 1, np.nan, 1.5])


def test_json_brings_it_back_and_a_coverage_is_a_share() -> None:
    again = ConformalSets.from_json(json.loads(json.dumps(SETS.to_json())))
    assert again.coverage == SETS.coverage
    np.testing.assert_array_equal(again.apply(PROBABILITIES), SETS.apply(PROBABILITIES))
    with pytest.raises(UsageError, match="a coverage of 90"):
        ConformalSets.fit(CODES, PROBABILITIES, 90)


def test_without_a_label_every_severity_stays() -> None:
    assert ConformalSets.fit(CODES[:0], PROBABILITIES[:0]).apply(PROBABILITIES).all()
