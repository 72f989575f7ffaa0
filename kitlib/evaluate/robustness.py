"""Robustness: what each changed condition costs a model on the same studies."""

import math
from collections.abc import Mapping

import pandas as pd

from kitlib.competition.metric import score
from kitlib.evaluate.compare import RESAMPLES, difference_interval

UNTOUCHED = "untouched"
TABLE_COLUMNS = ("condition", "experiment", "score", "difference", "low", "high", "way", "lost", "prior")


def robustness_table(
    labels: pd.DataFrame,
    predictions: Mapping[str, Mapping[str, pd.DataFrame]],
    marks: Mapping[str, pd.DataFrame],
    *,
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """A row (TABLE_COLUMNS) for each condition and experiment, in the order of the first one's conditions.

    `predictions` hold each experiment's rows by condition, including UNTOUCHED; `marks` hold those of the
    `prior` and, if known, the `oracle`. The difference is to the experiment's own UNTOUCHED score, with a
    95 % interval. `way` is the score's position between the prior (0) and the oracle (1), and `lost` the
    part of that range the condition costs; both are NaN without an oracle.
    """
    prior = score(labels, marks["prior"]).total
    whole = prior - score(labels, marks["oracle"]).total if "oracle" in marks else math.nan
    rows = []
    for condition in next(iter(predictions.values()), {}):
        for experiment, by_condition in predictions.items():
            total = score(labels, by_condition[condition]).total
            change = difference_interval(
                labels, by_condition[condition], by_condition[UNTOUCHED], resamples=resamples
            )
            against = change.estimate, change.low, change.high
            shares = (prior - total) / whole, change.estimate / whole
            rows.append((condition, experiment, total, *against, *shares, prior))
    return pd.DataFrame(rows, columns=list(TABLE_COLUMNS))
