"""Missing sequences: how well an imputer reconstructs them, and whether it beats its baseline."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kitlib.competition.metric import score
from kitlib.evaluate.compare import RESAMPLES, difference_interval

BASELINES = {"pseudo": ("pseudo_mean", "the mean"), "views": ("views_none", "masked fusion")}
"""By the first word of an experiment's name: the baseline it has to beat, and that baseline's label."""
RECONSTRUCTION = ("r2", "mean_r2", "cosine", "mean_cosine")
TABLE_COLUMNS = (
    *("experiment", "scenario", "guesses", *RECONSTRUCTION),
    *("score", "difference", "low", "high", "verdict"),
)


def missing_table(
    labels: pd.DataFrame,
    predictions: Mapping[str, Mapping[str, pd.DataFrame]],
    reconstructions: Mapping[str, pd.DataFrame],
    *,
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """A row (TABLE_COLUMNS) for each experiment and scenario, rounded to three decimals.

    `predictions` hold each experiment's out-of-fold rows by scenario; `reconstructions` hold the tables of
    `PseudoModel.reconstruction` with a column `scenario`. The difference to the baseline's score, on the same
    studies with the same missing sequences, has a 95 % interval; below zero the imputer is better. Guesses
    (imputed embeddings) are compared with the mean. The verdict is better or worse only if the whole interval
    is, and guesses also need an R2 above zero. There is no correction for multiple comparisons: of twenty,
    one is expected to be wrong.
    """
    rows = []
    for experiment, by_scenario in predictions.items():
        baseline, called = BASELINES.get(experiment.partition("_")[0], ("", "the mean"))
        errors = reconstructions.get(experiment, pd.DataFrame(columns=["scenario"]))
        for scenario, rows_of in by_scenario.items():
            baseline_rows = predictions.get(baseline, {}).get(scenario)
            guessed = _guessed(errors[errors["scenario"] == scenario], resamples)
            scored = _scored(labels, rows_of, baseline_rows, resamples)
            verdict = _verdict(guessed.pop("guesses_are"), scored.pop("predictions_are"), called)
            known = {"experiment": experiment, "scenario": scenario, **guessed, **scored}
            rows.append({**known, "verdict": f"{called} itself" if experiment == baseline else verdict})
    return pd.DataFrame(rows, columns=list(TABLE_COLUMNS)).round(3)


def _guessed(errors: pd.DataFrame, resamples: int) -> dict[str, Any]:
    """Reconstruction scores over all sequences, and how the guesses compare with the mean."""
    if errors.empty:
        return {"guesses": 0, "guesses_are": ""}
    scores = reconstruction_scores(errors, by=["scenario"]).iloc[0]
    sums = errors.groupby("study_id")[["error", "mean_error"]].sum().to_numpy()
    shares = np.full(len(sums), 1 / len(sums))
    drawn = np.random.default_rng(0).multinomial(len(sums), shares, size=resamples) @ sums
    how = _compare(*np.quantile(drawn[:, 0] - drawn[:, 1], [0.025, 0.975]))
    return {
        "guesses": int(scores["guesses"]),
        **{name: float(scores[name]) for name in RECONSTRUCTION},
        # An R2 of zero or less explains nothing, even if the training studies' mean does worse.
        "guesses_are": "no better" if how == "better" and scores["r2"] <= 0 else how,
    }


def _scored(
    labels: pd.DataFrame, rows: pd.DataFrame, baseline_rows: pd.DataFrame | None, resamples: int
) -> dict[str, Any]:
    """The metric, its difference to the baseline's, and how the predictions compare."""
    total = score(labels, rows).total
    if baseline_rows is None:
        return {"score": total, "predictions_are": ""}
    interval = difference_interval(labels, rows, baseline_rows, resamples=resamples)
    measured = {"score": total, "difference": interval.estimate, "low": interval.low, "high": interval.high}
    return measured | {"predictions_are": _compare(interval.low, interval.high)}


def _compare(low: float, high: float) -> str:
    """Verdict on a loss whose difference to another has an interval from `low` to `high`."""
    return "better" if high < 0 else "worse" if low > 0 else "no better"


def _verdict(guesses_are: str, predictions_are: str, called: str) -> str:
    """The verdict in words; comparisons that were not made are left out."""
    parts = {"guesses": guesses_are, "predicts": predictions_are}
    said = {verb: how for verb, how in parts.items() if how}
    if not said:
        return f"not compared with {called}"
    better = sum(how == "better" for how in said.values())
    heads = {0: f"does not beat {called}", len(said): f"beats {called}"}
    details = ", ".join(f"{verb} {how}" for verb, how in said.items())
    return f"{heads.get(better, f'beats {called} in part')} ({details})"


def reconstruction_scores(errors: pd.DataFrame, by: Sequence[str] = ("sequence",)) -> pd.DataFrame:
    """r2, mean_r2, cosine, mean_cosine and the number of guesses, for each group of rows of ERROR_COLUMNS.

    The mean's R2 is slightly below zero, as it is the mean of the training studies and not of the held-out
    ones. R2 is NaN if the held-out studies do not vary.
    """
    grouped = errors.groupby(list(by), sort=False, observed=True)
    sums = grouped[["error", "mean_error", "variation"]].sum()
    variation = sums["variation"].where(sums["variation"] > 0)
    scores = {"r2": 1 - sums["error"] / variation, "mean_r2": 1 - sums["mean_error"] / variation}
    cosines = grouped[["cosine", "mean_cosine"]].mean()
    return pd.DataFrame(scores).join(cosines).assign(guesses=grouped.size()).reset_index()
