"""The score table: scores with confidence intervals, next to baselines that need no image."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from kitlib.competition.metric import score
from kitlib.competition.priors import Prior
from kitlib.competition.submission import to_rows
from kitlib.evaluate.compare import difference_interval, score_interval
from kitlib.phantom.oracle import oracle_rows
from kitlib.phantom.truth import TRUTHS, true_grades
from kitlib.terms import CELLS


def score_table(
    labels: pd.DataFrame, predictions: Mapping[str, pd.DataFrame], *, seed: int = 0, against: str = ""
) -> pd.DataFrame:
    """One row per prediction: prediction, total, its four components, and the interval from low to high.

    If `against` names another prediction, each row also has against, and the paired difference of the totals
    with its interval: difference, difference_low and difference_high.
    """
    rows = []
    for name, table in predictions.items():
        interval = score_interval(labels, table, seed=seed)
        row = {"prediction": name, **vars(score(labels, table)), "low": interval.low, "high": interval.high}
        if against:
            paired = difference_interval(labels, table, predictions[against], seed=seed)
            row |= {"against": against, "difference": paired.estimate}
            row |= {"difference_low": paired.low, "difference_high": paired.high}
        rows.append(row)
    return pd.DataFrame(rows)


def baselines(labels: pd.DataFrame, prior: pd.DataFrame, root: Path) -> dict[str, pd.DataFrame]:
    """The reference predictions: the given prior, 1/3 everywhere, and on phantoms the oracle.

    The oracle knows the true anatomy of a phantom folder's studies and how annotators scatter around it.
    """
    rows = {"prior": prior, "1/3": uniform(labels.index)}
    if (root / TRUTHS).is_dir():
        rows["oracle"] = oracle_rows(true_grades(root, labels.index))
    return rows


def uniform(study_ids: Iterable[int]) -> pd.DataFrame:
    """A probability of 1/3 for every severity of every cell."""
    study_ids = list(study_ids)
    return to_rows(study_ids, np.full((len(study_ids), len(CELLS), 3), 1 / 3))


def prior_out_of_fold(labels: pd.DataFrame, folds: pd.Series) -> pd.DataFrame:
    """Out-of-fold predictions of the prior, fitted on the other folds: what one gets without an image."""
    parts = [
        Prior.fit(labels.loc[folds.index[folds != fold]]).predict(folds.index[folds == fold])
        for fold in sorted(folds.unique())
    ]
    return pd.concat(parts)
