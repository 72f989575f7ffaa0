"""Figures of tables alone: labels, landmarks and imputed metadata; none needs an image."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kitlib.evaluate import tables
from kitlib.report import style
from kitlib.report.style import Picture, by_cell, empty_figure, matrix, new_figure, note, styled
from kitlib.terms import CONDITIONS, GROUPS

FEWEST_PERCENT_FOR_TEXT = 3
TOO_FEW = "a correlation needs three studies or more"
DIVERGING: dict[str, Any] = {"cmap": "RdBu_r", "limits": (-1, 1)}

gap2title = {
    "points": "with a point",
    "label_without_point": "label without a point",
    "point_without_label": "point without a label",
}


@styled
def prevalence(labels: pd.DataFrame) -> Picture:
    """Stacked bars of the severities and of the empty cells, per condition and level."""
    if labels.empty:
        return empty_figure("no labels")
    shares = tables.severity_shares(labels)
    figure = new_figure(11, 3.8, f"Severity by condition and level ({len(labels):,} studies)")
    panels = figure.subplots(1, len(CONDITIONS), sharey=True)
    for axes, condition in zip(panels, CONDITIONS):
        _stacked_bars(axes, shares.loc[[condition]])
        axes.set_title(style.condition2title[condition])
    panels[0].set_ylabel("share of studies (%)")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def _stacked_bars(axes: Axes, shares: pd.DataFrame) -> None:
    bottom = np.zeros(len(shares))
    for name in shares.columns:
        percent = shares[name].to_numpy() * 100
        look: dict[str, Any] = {"color": "white", "hatch": "////", "edgecolor": style.QUIET}
        if name != "empty":
            look = {"color": style.severity2colour[name]}
        bars = axes.bar(style.LEVEL_TITLES, percent, 0.82, bottom, label=name, linewidth=0, **look)
        if name == "Severe":
            texts = [f"{value:.0f}" if value >= FEWEST_PERCENT_FOR_TEXT else "" for value in percent]
            axes.bar_label(bars, texts, label_type="center", color="white", fontsize=7)
        bottom += percent
    axes.tick_params(axis="x", labelsize=7)
    axes.set_ylim(0, 100)


@styled
def correlation(labels: pd.DataFrame) -> Picture:
    """The 25 x 25 matrix of rank correlations between cells, with a line between conditions."""
    if len(labels) < 3:
        return empty_figure(TOO_FEW)
    figure = new_figure(8.2, 7.2, "Severities of two cells in the same study: Spearman's rank correlation")
    axes = figure.add_subplot()
    names = style.LEVEL_TITLES * len(CONDITIONS)
    correlations = tables.severity_correlation(labels).set_axis(names).set_axis(names, axis=1)
    image = matrix(axes, correlations, **DIVERGING, rotation=90, fontsize=7)
    for k, name in enumerate(style.CONDITION_TITLES):
        axes.axhline(5 * k - 0.5, color="white", linewidth=3)
        axes.axvline(5 * k - 0.5, color="white", linewidth=3)
        axes.text(-2.8, 5 * k + 2, name, ha="right", va="center", fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.6, label="rank correlation")
    return figure


@styled
def pair_correlations(labels: pd.DataFrame) -> Picture:
    """Two small matrices cut out of the large one: left against right, and each level against the next."""
    if len(labels) < 3:
        return empty_figure(TOO_FEW)
    correlations = tables.severity_correlation(labels)
    figure = new_figure(11, 3.2)
    left, right = figure.subplots(1, 2, width_ratios=(5, 4))
    matrix(left, tables.side_correlation(correlations), ".2f", **DIVERGING)
    left.set_title("Left against right, same level")
    image = matrix(right, tables.level_correlation(correlations), ".2f", **DIVERGING)
    right.set_title("A level against the next one below")
    figure.colorbar(image, ax=figure.axes, shrink=0.8, label="rank correlation")
    return figure


@styled
def side_level_correlations(labels: pd.DataFrame) -> Picture:
    """Left against right across all levels, a matrix for each condition that has sides."""
    if len(labels) < 3:
        return empty_figure(TOO_FEW)
    correlations = tables.severity_correlation(labels)
    figure = new_figure(9.5, 4)
    for axes, group in zip(figure.subplots(1, 2), GROUPS[1:]):
        image = matrix(axes, tables.side_level_correlation(correlations, group), ".2f", **DIVERGING)
        axes.set(title=style.group2title[group], xlabel="right side", ylabel="left side")
    figure.colorbar(image, ax=figure.axes, shrink=0.8, label="rank correlation")
    return figure


@styled
def landmark_counts(labels: pd.DataFrame, landmarks: pd.DataFrame) -> Picture:
    """Landmarks per condition and level, and the two ways in which labels and points disagree."""
    if landmarks.empty or labels.empty:
        return empty_figure("no landmarks")
    gaps = tables.landmark_gaps(labels, landmarks)
    figure = new_figure(11, 3.2, "Landmarks per cell (number of studies)")
    for axes, (column, title) in zip(figure.subplots(1, 3, sharey=True), gap2title.items()):
        counts = by_cell(gaps[column].unstack("level"))
        matrix(axes, counts, ",.0f", limits=(0.0, max(1.0, 1.6 * counts.to_numpy(float).max())))
        axes.set_title(title)
    return figure


@styled
def landmark_sides(landmarks: pd.DataFrame) -> Picture:
    """Left minus right point: pixels across on axial slices, instance numbers across sagittal series."""
    axial = tables.side_offsets(landmarks, "subarticular")
    foraminal = tables.side_offsets(landmarks, "foraminal")
    if axial.empty and foraminal.empty:
        return empty_figure("no pair of left and right points")
    figure = new_figure(11, 3.2)
    left, right = figure.subplots(1, 2)
    _differences(left, axial["x"], "Subarticular, same axial series and level")
    left.set_xlabel("x of left - x of right (pixels)")
    _differences(right, foraminal["instance"], "Foraminal, same sagittal series and level")
    right.set_xlabel("instance of left - instance of right (slices)")
    return figure


def _differences(axes: Axes, values: pd.Series, title: str) -> None:
    if values.empty:
        note(axes, f"{title}:\nno pair of points")
        return
    low, high = np.percentile(values, [0.2, 99.8])
    axes.hist(values.clip(low, high), bins=np.linspace(low - 0.5, high + 0.5, 50))
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(title=f"{title}\n{(values > 0).mean():.1%} above zero", ylabel="pairs of points")


@styled
def landmark_instances(landmarks: pd.DataFrame) -> Picture:
    """Over how many instances the points of each condition are spread in a series."""
    if landmarks.empty:
        return empty_figure("no landmarks")
    figure = new_figure(11, 2.7, "Instances with points of one condition, per series")
    for axes, condition in zip(figure.subplots(1, len(CONDITIONS)), CONDITIONS):
        spread = tables.points_per_instance(landmarks, condition).value_counts()
        axes.bar(range(1, 6), spread.reindex(range(1, 6), fill_value=0))
        axes.set(title=style.condition2title[condition], xlabel="instances", xticks=range(1, 6))
    figure.axes[0].set_ylabel("series")
    return figure


@styled
def imputation(
    true: pd.DataFrame, imputed: pd.DataFrame, means: pd.Series, column2unit: Mapping[str, str]
) -> Picture:
    """Held-out values against what the forest filled in; the mean of the training studies is dashed."""
    columns = [column for column in column2unit if column in true]
    if true.empty or not columns:
        return empty_figure("no value was held out")
    figure = new_figure(3.2 * len(columns), 3.3, "Held-out values, imputed by the forest")
    for axes, column in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns):
        known = true[column].notna()
        truth, filled = true.loc[known, column].astype(float), imputed.loc[known, column].astype(float)
        if truth.empty:
            note(axes, f"{column}: none held out")
            continue
        axes.plot(truth, filled, "o", markersize=4, alpha=0.7)
        axes.axline((means[column], means[column]), slope=1, color=style.QUIET, linewidth=0.8)
        axes.axhline(means[column], color=style.LINE_COLOURS[1], linestyle="--", linewidth=1)
        errors = tables.imputation_errors(truth, filled, means[column])
        unit = column2unit[column]
        axes.set_title(f"{column}\nerror {errors['forest']:.2g} {unit}; mean imputation {errors['mean']:.2g}")
        axes.set(xlabel=f"true ({unit})", ylabel=f"imputed ({unit})")
    return figure
