"""Counts and correlations of the competition's tables, fault counts, and imputation errors."""

import itertools
from typing import Any

import numpy as np
import pandas as pd

from kitlib.phantom import statistics
from kitlib.terms import (
    CELL_NAMES,
    CELLS,
    CONDITIONS,
    EMPTY,
    LEVELS,
    SEQUENCES,
    SEVERITIES,
    Group,
    condition2text,
    level2text,
)

TEXTS = [level2text[level] for level in LEVELS]
CELL_INDEX = pd.MultiIndex.from_tuples(CELLS, names=["condition", "level"])


def severity_shares(labels: pd.DataFrame) -> pd.DataFrame:
    """Share of studies by severity or empty label: rows (condition, level), columns SEVERITIES, `empty`."""
    codes = labels[list(CELL_NAMES)].to_numpy()
    columns = dict(zip((*SEVERITIES, "empty"), (0, 1, 2, EMPTY), strict=True))
    studies = max(len(codes), 1)
    shares = {name: (codes == code).sum(axis=0) / studies for name, code in columns.items()}
    return pd.DataFrame(shares, index=CELL_INDEX)


def any_severe_rate(labels: pd.DataFrame) -> float:
    """Share of studies with Severe canal stenosis at any level, among those with a canal label; else NaN."""
    return statistics.any_severe_rate(labels[list(CELL_NAMES)].to_numpy())


def severity_correlation(labels: pd.DataFrame) -> pd.DataFrame:
    """Spearman correlation between the 25 cells over studies with both labels; NaN if one is constant."""
    return statistics.correlations(labels[list(CELL_NAMES)].to_numpy())


def side_correlation(correlation: pd.DataFrame) -> pd.DataFrame:
    """Correlation of left and right at the same level: rows are condition groups, columns levels."""
    rows = {}
    for right in (condition for condition in CONDITIONS if condition.startswith("right_")):
        left = right.replace("right_", "left_")
        rows[condition2text[right][6:]] = [correlation.at[f"{left}_{lv}", f"{right}_{lv}"] for lv in LEVELS]
    return pd.DataFrame.from_dict(rows, orient="index", columns=TEXTS)


def side_level_correlation(correlation: pd.DataFrame, group: Group) -> pd.DataFrame:
    """Correlation of the left side's levels (rows) with the right side's (columns), for one group."""
    left, right = (
        [cell.name for cell in CELLS if (cell.group, cell.side) == (group, side)]
        for side in ("left", "right")
    )
    return pd.DataFrame(correlation.loc[left, right].to_numpy(), TEXTS, TEXTS)


def level_correlation(correlation: pd.DataFrame) -> pd.DataFrame:
    """Correlation of each level with the next one below: rows are conditions, columns pairs of levels."""
    rows = {}
    for name in CONDITIONS:
        pairs = itertools.pairwise(f"{name}_{level}" for level in LEVELS)
        rows[condition2text[name]] = [correlation.at[upper, lower] for upper, lower in pairs]
    columns = ["\n".join(pair) for pair in itertools.pairwise(TEXTS)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def series_patterns(series: pd.DataFrame) -> pd.DataFrame:
    """Number of studies for each combination of series counts by sequence, most common first."""
    counts = pd.crosstab(series["study_id"], series["sequence"]).reindex(
        columns=list(SEQUENCES), fill_value=0
    )
    return counts.value_counts().rename("studies").reset_index()


def landmark_gaps(labels: pd.DataFrame, landmarks: pd.DataFrame) -> pd.DataFrame:
    """Counts of labels without a point and points without a label, by condition and level."""
    cells = landmarks["condition"] + "_" + landmarks["level"]
    points = pd.crosstab(landmarks["study_id"], cells).reindex(index=labels.index, columns=list(CELL_NAMES))
    has_point = points.to_numpy() > 0
    has_label = labels[list(CELL_NAMES)].to_numpy() != EMPTY
    return pd.DataFrame(
        {
            "points": has_point.sum(axis=0),
            "labels": has_label.sum(axis=0),
            "label_without_point": (has_label & ~has_point).sum(axis=0),
            "point_without_label": (has_point & ~has_label).sum(axis=0),
        },
        index=CELL_INDEX,
    )


def side_offsets(landmarks: pd.DataFrame, group: str) -> pd.DataFrame:
    """Left minus right point of the same series and level: `x`, `y` in pixels, `instance` in slices."""
    keys = ["study_id", "series_id", "level"]
    values = landmarks.set_index(keys)[["x", "y", "instance_number"]]
    left, right = (
        values[(landmarks["condition"] == cell.condition).to_numpy()].groupby(level=keys).first()
        for cell in CELLS
        if cell.group == group and cell.level == LEVELS[0]
    )
    return (left - right).dropna().rename(columns={"instance_number": "instance"})


def points_per_instance(landmarks: pd.DataFrame, condition: str) -> pd.Series:
    """Number of distinct instances that the points of one condition lie on, by series."""
    points = landmarks[landmarks["condition"] == condition]
    return points.groupby(["study_id", "series_id"])["instance_number"].nunique().rename("instances")


def fault_counts(faults: pd.DataFrame) -> pd.DataFrame:
    """Summary of the ledger: how often each fault occurred, in how many studies, and the action taken."""
    grouped = faults.groupby(["code", "action"], dropna=False)
    counts = grouped.agg(times=("code", "size"), studies=("study_id", "nunique"))
    return counts.sort_values("times", ascending=False).reset_index()


def imputation_errors(true: pd.Series, imputed: pd.Series, mean: float) -> pd.Series:
    """Mean absolute error of imputed values and, for comparison, of the training studies' mean."""
    truth = true.to_numpy(float)
    errors = {"forest": np.abs(imputed.to_numpy(float) - truth).mean(), "mean": np.abs(truth - mean).mean()}
    return pd.Series(errors, name="mean absolute error")


def with_holes(
    table: pd.DataFrame, *, share: float, seed: int, hole: Any = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hide a share of the known values: a copy with `hole` in their place, and the mask of the hidden."""
    known = table.notna() if hole is None else table.ne(hole)
    hidden = known & (np.random.default_rng(seed).random(table.shape) < share)
    return table.mask(hidden, np.nan if hole is None else hole), hidden
