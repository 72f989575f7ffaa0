"""Conformal prediction sets: the severities that cannot be ruled out for a cell, at a stated coverage.

A severity is in a cell's set if its probability reaches a threshold that nearly all held-out cells with that
label reach. There is one threshold per condition group and severity, so that coverage holds for the rare
Severe cells as well as for the many Normal ones (Vovk, "Conditional validity of inductive conformal
predictors", 2013). Severity is ordered, so sets have no gaps: Normal/Mild and Severe imply Moderate, which
can only increase coverage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kitlib.competition.metric import group2cells
from kitlib.competition.submission import to_array
from kitlib.ensemble.calibrate import normalised_rows
from kitlib.ensemble.crossfit import DEFAULT, CrossFit, Recipe, complete_arrays, crossfit
from kitlib.errors import UsageError
from kitlib.evaluate.compare import share_interval
from kitlib.terms import CELL_NAMES, CELLS, CONDITIONS, EMPTY, SEVERITIES, condition2text

COVERAGE = 0.9
ROUNDING = 1e-9
"""Of 19 + 1 cells, a coverage of 90 % leaves out two; in floating point, 1.9999999999999996."""
ALL = "all"
"""The row for all severities together in a coverage table."""


@dataclass(frozen=True)
class ConformalSets:
    """By condition group, the smallest probability (3,) at which each severity is in a set."""

    coverage: float
    group2least: Mapping[str, np.ndarray]

    @classmethod
    def fit(
        cls, labels: np.ndarray, probabilities: np.ndarray, coverage: float = COVERAGE
    ) -> "ConformalSets":
        """Fit on labels (n, 25) and out-of-fold probabilities (n, 25, 3) of the same studies."""
        if not 0 < coverage < 1:
            raise UsageError(f"a coverage of {coverage:g}", hint="Give a share between 0 and 1, such as 0.9.")
        probabilities = normalised_rows(probabilities)
        group2least = {}
        for group, cells in group2cells.items():
            of_group, codes = probabilities[:, cells], labels[:, cells]
            least = [_least(of_group[codes == code, code], coverage) for code in range(len(SEVERITIES))]
            group2least[group] = np.array(least)
        return cls(coverage, group2least)

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """The severities (n, 25, 3) in each cell's set: at least one, and without gaps."""
        probabilities = normalised_rows(probabilities)
        least = np.stack([self.group2least[cell.group] for cell in CELLS])  # (25, 3)
        inside = probabilities >= least
        inside[..., 1] |= inside[..., 0] & inside[..., 2]
        likeliest = np.eye(len(SEVERITIES), dtype=bool)[probabilities.argmax(axis=-1)]
        return np.where(inside.any(axis=-1, keepdims=True), inside, likeliest)

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        least = {group: values.tolist() for group, values in self.group2least.items()}
        return {"coverage": self.coverage, "group2least": least}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ConformalSets":
        """Rebuild from the values of `to_json`."""
        return cls(values["coverage"], {group: np.array(one) for group, one in values["group2least"].items()})


def crossfit_sets(
    labels: pd.DataFrame,
    folds: pd.Series,
    candidates: Mapping[str, pd.DataFrame],
    recipe: Recipe = DEFAULT,
    coverage: float = COVERAGE,
) -> np.ndarray:
    """Sets (n, 25, 3) of the studies of `folds`; each fold is held out of its own ensemble and thresholds.

    For each fold the other folds are cross-fitted among themselves to get thresholds, and their ensemble is
    applied to it. Arguments are those of `crossfit`.
    """
    sets = np.zeros((len(folds), len(CELLS), len(SEVERITIES)), dtype=bool)
    for fold in folds.unique():
        judged = (folds == fold).to_numpy()
        others = crossfit(labels, folds[~judged], candidates, recipe)
        fitted = fit_sets(labels, folds[~judged], others, coverage)
        here = complete_arrays(folds.index[judged].to_numpy(), candidates)
        sets[judged] = fitted.apply(others.final.apply(here))
    return sets


def fit_sets(
    labels: pd.DataFrame, folds: pd.Series, fitted: CrossFit, coverage: float = COVERAGE
) -> ConformalSets:
    """Fit sets for the predictions of `fitted.final` on new studies, from the out-of-fold predictions."""
    codes = labels.loc[folds.index, list(CELL_NAMES)].to_numpy()
    return ConformalSets.fit(codes, to_array(folds.index, fitted.calibrated), coverage)


def coverage_table(labels: pd.DataFrame, sets: np.ndarray, *, seed: int = 0) -> pd.DataFrame:
    """How often sets (n, 25, 3) contain the labels of the same n studies, by condition and severity.

    Columns: condition, severity (ALL or one), cells, coverage and its bootstrap interval over studies (low,
    high), and mean_size, the mean number of severities in a set.
    """
    codes = labels[list(CELL_NAMES)].to_numpy()
    holds = np.take_along_axis(sets, codes.clip(0)[..., None], axis=-1)[..., 0]
    sizes = sets.sum(axis=-1)
    rows = []
    for condition in CONDITIONS:
        of_condition = np.array([cell.condition == condition for cell in CELLS])
        labelled = (codes != EMPTY) & of_condition
        severity2cells = {ALL: labelled}
        severity2cells |= {name: labelled & (codes == code) for code, name in enumerate(SEVERITIES)}
        for severity, cells in severity2cells.items():
            share = share_interval((holds & cells).sum(axis=1), cells.sum(axis=1), seed=seed)
            row = {"condition": condition2text[condition], "severity": severity, "cells": int(cells.sum())}
            row |= {"coverage": share.estimate, "low": share.low, "high": share.high}
            rows.append(row | {"mean_size": sizes[cells].mean() if cells.any() else np.nan})
    return pd.DataFrame(rows)


def _least(probabilities: np.ndarray, coverage: float) -> float:
    """The threshold that one more probability like these (k,) reaches at a chance of `coverage` or more."""
    left_out = int((len(probabilities) + 1) * (1 - coverage) + ROUNDING)
    return float(np.sort(probabilities)[left_out - 1]) if left_out else 0.0
