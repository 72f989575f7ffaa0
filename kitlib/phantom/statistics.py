"""Compare drawn labels with real ones: prevalence, and correlations between cells."""

from itertools import pairwise, product

import numpy as np
import pandas as pd

from kitlib.phantom.labels import PREVALENCE
from kitlib.terms import CELL_NAMES, CELLS, CONDITIONS, EMPTY, LEVELS, SEVERITIES

ANY_SEVERE = 0.185
"""Share of the competition's training studies with a severe canal: the reference without their table."""

GROUP2BOUND = {"prevalence": 0.02, "any severe": 0.03, "empty": 0.01, "left-right": 0.1, "neighbours": 0.1}
"""Largest accepted difference between drawn and real labels; that of `empty` is the kit's own choice."""


def prevalence(labels: np.ndarray) -> np.ndarray:
    """Share (25, 3) of each severity among labelled studies, from codes (n, 25); NaN for unlabelled cells."""
    labelled = (labels != EMPTY).sum(axis=0)
    counts = [(labels == code).sum(axis=0) for code in range(len(SEVERITIES))]
    return np.stack(counts, axis=1) / np.where(labelled > 0, labelled, np.nan)[:, None]


def any_severe_rate(labels: np.ndarray) -> float:
    """Share of studies with a severe canal at any level, among those with canal labels; NaN if none has."""
    canal = labels[:, [cell.group == "spinal" for cell in CELLS]]
    labelled = (canal != EMPTY).any(axis=1)
    return float((canal[labelled] == 2).any(axis=1).mean()) if labelled.any() else float("nan")


def empty_rate(labels: np.ndarray) -> float:
    """Share of cells without a label."""
    return float((labels == EMPTY).mean())


def correlations(labels: np.ndarray) -> pd.DataFrame:
    """Spearman correlation (25, 25) over the studies that have both labels; NaN if either is constant."""
    codes = pd.DataFrame(labels, columns=list(CELL_NAMES)).astype(float)
    return codes.where(codes != EMPTY).corr(method="spearman", min_periods=3)


def left_right(correlation: pd.DataFrame) -> pd.Series:
    """Correlation of left and right for the 10 pairs of condition and level that have sides."""
    names = [name.removeprefix("left_") for name in CELL_NAMES if name.startswith("left_")]
    return pd.Series({name: correlation.at[f"left_{name}", f"right_{name}"] for name in names})


def neighbours(correlation: pd.DataFrame) -> pd.Series:
    """Correlation of each level with the next one below, for the 5 conditions: 20 values."""
    return pd.Series(
        {
            f"{condition}_{upper}/{lower}": correlation.at[f"{condition}_{upper}", f"{condition}_{lower}"]
            for condition, (upper, lower) in product(CONDITIONS, pairwise(LEVELS))
        }
    )


def statistics(labels: np.ndarray) -> pd.Series:
    """Compute all statistics of codes (n, 25), keyed by group (of GROUP2BOUND) and name."""
    correlation = correlations(labels)
    groups = {
        "prevalence": _by_severity(prevalence(labels)),
        "any severe": pd.Series({"spinal canal": any_severe_rate(labels)}),
        "empty": pd.Series({"all cells": empty_rate(labels)}),
        "left-right": left_right(correlation),
        "neighbours": neighbours(correlation),
    }
    return pd.concat(groups, names=["group", "statistic"])


def published() -> pd.Series:
    """Return the statistics that are known without the real table, keyed like those of `statistics`."""
    groups = {"prevalence": _by_severity(PREVALENCE), "any severe": pd.Series({"spinal canal": ANY_SEVERE})}
    return pd.concat(groups, names=["group", "statistic"])


def compare(drawn: np.ndarray, real: np.ndarray | None = None) -> pd.DataFrame:
    """Compare statistics of drawn codes (n, 25) with those of real ones, by default with the published ones.

    Columns: group, statistic, drawn, real, difference (drawn minus real), within (the group's bound; False if
    undefined on either side).
    """
    theirs = published() if real is None else statistics(real)
    table = pd.DataFrame({"drawn": statistics(drawn).reindex(theirs.index), "real": theirs}).reset_index()
    difference = table["drawn"] - table["real"]
    return table.assign(difference=difference, within=difference.abs() <= table["group"].map(GROUP2BOUND))


def largest(compared: pd.DataFrame) -> pd.DataFrame:
    """Return the largest difference of each group, and how many of its statistics are within the bound.

    Columns: those of `compare`, then bound, count, within_count.
    """
    size = compared["difference"].abs().fillna(np.inf)
    groups = compared.groupby("group", sort=False)
    return compared.loc[size.groupby(compared["group"], sort=False).idxmax().to_numpy()].assign(
        bound=lambda table: table["group"].map(GROUP2BOUND),
        count=groups.size().to_numpy(),
        within_count=groups["within"].sum().to_numpy(),
    )


def _by_severity(shares: np.ndarray) -> pd.Series:
    """Flatten shares (25, 3) to one column, keyed by cell and severity."""
    return pd.Series(shares.ravel(), index=[" ".join(pair) for pair in product(CELL_NAMES, SEVERITIES)])
