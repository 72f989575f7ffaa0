"""The cost of conditions: in each experiment's score, and as a share of the prior-to-oracle range."""

import numpy as np
import pandas as pd
import pytest

from kitlib.competition.metric import score
from kitlib.evaluate.robustness import TABLE_COLUMNS, UNTOUCHED, robustness_table
from kitlib.terms import CELL_NAMES, EMPTY, PROBABILITIES
from tests.report.builders import make_labels, make_predictions

LABELS = make_labels(40)
PRIOR = make_predictions(LABELS)


def towards_truth(share: float) -> pd.DataFrame:
    """The prior with a share of the true labels mixed in."""
    codes = LABELS[list(CELL_NAMES)].to_numpy().ravel()
    truth = np.eye(3)[codes.clip(0)] * (codes != EMPTY)[:, None]
    return PRIOR[list(PROBABILITIES)] + share * truth


GOOD, WORSE, ORACLE = towards_truth(1.0), towards_truth(0.3), towards_truth(5.0)
MARKS = {"prior": PRIOR, "oracle": ORACLE}
PREDICTIONS = {"mine": {UNTOUCHED: GOOD, "dark": WORSE}, "blind": {UNTOUCHED: PRIOR, "dark": PRIOR}}


def table(marks: dict[str, pd.DataFrame]) -> pd.DataFrame:
    found = robustness_table(LABELS, PREDICTIONS, marks, resamples=200)
    assert list(found) == list(TABLE_COLUMNS)
    return found.set_index(["condition", "experiment"])


def test_rows_stand_by_condition_and_untouched_changes_nothing() -> None:
    found = table(MARKS)
    assert found.index.tolist() == [(one, name) for one in (UNTOUCHED, "dark") for name in ("mine", "blind")]
    assert not found.loc[UNTOUCHED, ["difference", "low", "high", "lost"]].to_numpy().any()


def test_a_condition_costs_what_the_scores_say_and_an_interval_holds_it() -> None:
    row = table(MARKS).loc["dark", "mine"]
    good, worse, prior, oracle = (score(LABELS, rows).total for rows in (GOOD, WORSE, PRIOR, ORACLE))
    assert row["score"] == pytest.approx(worse)
    assert row["difference"] == pytest.approx(worse - good)
    assert 0 < row["low"] < row["difference"] < row["high"]
    assert row["way"] == pytest.approx((prior - worse) / (prior - oracle))
    assert row["lost"] == pytest.approx((worse - good) / (prior - oracle))
    assert table(MARKS).loc["dark", "blind"]["way"] == 0


def test_without_an_oracle_the_way_is_not_known() -> None:
    found = table({"prior": PRIOR})
    assert found[["way", "lost"]].isna().all(axis=None)
    assert found["prior"].eq(score(LABELS, PRIOR).total).all()
