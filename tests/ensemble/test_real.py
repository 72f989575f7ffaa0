"""The ensemble on real out-of-fold predictions: the known figures, and what this kit adds to them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.competition.metric import score
from kitlib.competition.submission import to_array, to_rows
from kitlib.competition.tables import read_train_labels
from kitlib.ensemble.conformal import ALL, coverage_table, crossfit_sets
from kitlib.ensemble.crossfit import Recipe, crossfit
from kitlib.evaluate.compare import difference_interval, score_interval

UNPREDICTED = (0.7, 0.2, 0.1)
STACK = Recipe("logistic")  # as the `kaggle` profile


@pytest.fixture(scope="module")
def labels(real_dir: Path) -> pd.DataFrame:
    return read_train_labels(real_dir / "tables" / "train.csv")


@pytest.fixture(scope="module")
def predictions(real_dir: Path, labels: pd.DataFrame) -> pd.DataFrame:
    parts = [
        pd.read_csv(path, index_col="row_id") for path in sorted((real_dir / "oof").glob("*_baseline.csv.gz"))
    ]
    array = to_array(labels.index, pd.concat(parts))
    array[np.isnan(array).any(axis=2)] = UNPREDICTED
    return to_rows(labels.index, array)


@pytest.fixture(scope="module")
def folds(real_dir: Path, labels: pd.DataFrame) -> pd.Series:
    return pd.read_csv(real_dir / "oof" / "folds.csv", index_col="study_id")["fold"].loc[labels.index]


def test_the_score_and_its_spread_are_the_known_ones(labels: pd.DataFrame, predictions: pd.DataFrame) -> None:
    assert score(labels, predictions).total == pytest.approx(0.40245, abs=5e-6)
    interval = score_interval(labels, predictions)
    assert interval.estimate == pytest.approx(0.40245, abs=5e-6)
    assert interval.sd == pytest.approx(0.007, abs=0.001)


@pytest.mark.slow
def test_a_fold_safe_stack_lowers_the_score_by_three_thousandths(
    labels: pd.DataFrame, predictions: pd.DataFrame, folds: pd.Series
) -> None:
    fitted = crossfit(labels, folds, {"medal": predictions}, STACK)
    change = difference_interval(labels, fitted.calibrated, predictions)
    assert change.estimate <= -0.003
    assert change.high < -0.002


@pytest.mark.slow
def test_conformal_sets_cover_nine_in_ten_of_every_condition(
    labels: pd.DataFrame, predictions: pd.DataFrame, folds: pd.Series
) -> None:
    as_it_is = Recipe(calibrate=())
    table = coverage_table(labels, crossfit_sets(labels, folds, {"medal": predictions}, as_it_is, 0.9))
    of_conditions = table[table["severity"] == ALL]
    assert len(of_conditions) == 5
    assert of_conditions["coverage"].between(0.89, 0.91).all()
    assert of_conditions["mean_size"].between(1.0, 1.4).all()
    assert table["coverage"].between(0.87, 0.93).all()  # and of each of its severities


@pytest.mark.slow
def test_fold_safe_calibration_improves_predictions_that_are_nearly_calibrated(
    labels: pd.DataFrame, predictions: pd.DataFrame, folds: pd.Series
) -> None:
    fitted = crossfit(labels, folds, {"medal": predictions})
    change = difference_interval(labels, fitted.calibrated, predictions)
    assert -0.001 < change.estimate < 0


@pytest.mark.slow
def test_fold_safe_calibration_repairs_predictions_without_the_metrics_weights(
    labels: pd.DataFrame, predictions: pd.DataFrame, folds: pd.Series
) -> None:
    unweighted = predictions / [1, 2, 4]
    fitted = crossfit(labels, folds, {"unweighted": unweighted})
    assert score(labels, unweighted).total > 0.44
    assert score(labels, fitted.calibrated).total < 0.404
