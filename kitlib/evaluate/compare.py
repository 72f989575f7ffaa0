"""Bootstrap intervals over studies: for a score, for a paired difference of scores, and for a share."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kitlib.competition.metric import aligned, study_sums
from kitlib.errors import ModelError

RESAMPLES = 2000
SHARE = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate on all studies, with the central SHARE and standard deviation of its bootstrap."""

    estimate: float
    low: float
    high: float
    sd: float


def score_interval(
    labels: pd.DataFrame,
    predictions: pd.DataFrame,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The competition metric with its bootstrap interval over studies."""
    sums = study_sums(*aligned(labels, predictions))
    return _interval(lambda counts: _scores(sums, counts), len(labels), resamples, seed)


def difference_interval(
    labels: pd.DataFrame,
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The metric of `first` minus that of `second` on the same studies; below zero, `first` is better."""
    one, other = (study_sums(*aligned(labels, predictions)) for predictions in (first, second))
    return _interval(
        lambda counts: _scores(one, counts) - _scores(other, counts), len(labels), resamples, seed
    )


def share_interval(
    hits: np.ndarray, of: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The share of hits among all items, such as cells; both are counts by study, (n,). NaN if no items."""
    sums = np.stack([hits, of])

    def shares(counts: np.ndarray) -> np.ndarray:
        found, all_of = sums @ counts.T  # (resamples,) each
        return np.divide(found, all_of, out=np.full(len(counts), np.nan), where=all_of > 0)

    return _interval(shares, len(of), resamples, seed)


def _scores(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The metric of each resample, which draws studies `counts` (resamples, n) times.

    NaN if a component has no label.
    """
    losses, weights = counts @ sums  # (resamples, 4) each
    quotients = np.divide(losses, weights, out=np.full_like(losses, np.nan), where=weights > 0)
    return quotients.mean(axis=1)


def _interval(
    scores: Callable[[np.ndarray], np.ndarray], studies: int, resamples: int, seed: int
) -> Interval:
    if not studies:
        raise ModelError("no study to compare on", hint="Give labelled studies.")
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(studies, np.full(studies, 1 / studies), size=resamples).astype(np.float64)
    drawn = scores(counts)
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.quantile(drawn, [(1 - SHARE) / 2, (1 + SHARE) / 2]) if len(drawn) else (np.nan, np.nan)
    estimate = float(scores(np.ones((1, studies)))[0])
    return Interval(estimate, float(low), float(high), float(drawn.std()) if len(drawn) else np.nan)
