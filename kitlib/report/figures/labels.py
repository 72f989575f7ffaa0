"""Figures of the labels: how common each severity is, and which cells are ill together."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kitlib.report.figures.grid import matrix, written
from kitlib.report.names import CONDITION_TITLES, LEVEL_TITLES, condition2title, group2title
from kitlib.report.pages.tables import (
    level_correlation,
    severity_correlation,
    severity_shares,
    side_correlation,
    side_level_correlation,
)
from kitlib.report.style import EMPTY_COLOUR, QUIET, Picture, empty_figure, look, new_figure, severity2colour
from kitlib.terms import CONDITIONS, Group

GROUPS_WITH_SIDES: tuple[Group, ...] = ("foraminal", "subarticular")
FEWEST_PERCENT_FOR_TEXT = 3


@look
def prevalence(labels: pd.DataFrame) -> Picture:
    """Stacked bars of the severities and of the empty cells, per condition and level."""
    if labels.empty:
        return empty_figure("no labels")
    shares = severity_shares(labels)
    figure = new_figure(11, 3.8, f"Severity by condition and level ({len(labels):,} studies)")
    panels = figure.subplots(1, len(CONDITIONS), sharey=True)
    for axes, condition in zip(panels, CONDITIONS):
        of_condition = shares[shares.index.get_level_values("condition") == condition]
        _stacked_bars(axes, of_condition)
        axes.set_title(condition2title[condition])
    panels[0].set_ylabel("share of studies (%)")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def _stacked_bars(axes: Axes, shares: pd.DataFrame) -> None:
    bottom = np.zeros(len(shares))
    for name in shares.columns:
        percent = shares[name].to_numpy() * 100
        colour = severity2colour.get(name, EMPTY_COLOUR)
        bars = axes.bar(LEVEL_TITLES, percent, 0.82, bottom, color=colour, label=name, linewidth=0)
        if name == "empty":
            for bar in bars:
                bar.set(hatch="////", edgecolor=QUIET)
        if name == "Severe":
            texts = [f"{value:.0f}" if value >= FEWEST_PERCENT_FOR_TEXT else "" for value in percent]
            axes.bar_label(bars, texts, label_type="center", color="white", fontsize=7)
        bottom += percent
    axes.tick_params(axis="x", labelsize=7)
    axes.set_ylim(0, 100)


@look
def correlation(labels: pd.DataFrame) -> Picture:
    """The 25 x 25 matrix of rank correlations between cells, with a line between conditions."""
    if len(labels) < 3:
        return empty_figure("a correlation needs three studies or more")
    figure = new_figure(8.2, 7.2, "Severities of two cells in the same study: Spearman's correlation")
    axes = figure.add_subplot()
    values = severity_correlation(labels).to_numpy()
    names = LEVEL_TITLES * len(CONDITIONS)
    image = matrix(axes, values, names, names, cmap="RdBu_r", limits=(-1, 1), rotation=90, fontsize=7)
    for k, name in enumerate(CONDITION_TITLES):
        axes.axhline(5 * k - 0.5, color="white", linewidth=3)
        axes.axvline(5 * k - 0.5, color="white", linewidth=3)
        axes.text(-2.8, 5 * k + 2, name, ha="right", va="center", fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.6, label="rank correlation")
    return figure


@look
def pair_correlations(labels: pd.DataFrame) -> Picture:
    """Two small matrices cut out of the large one: left against right, and each level against the next."""
    if len(labels) < 3:
        return empty_figure("a correlation needs three studies or more")
    correlations = severity_correlation(labels)
    tables = {
        "Left against right, same level": side_correlation(correlations),
        "A level against the next one below": level_correlation(correlations),
    }
    figure = new_figure(11, 3.2)
    for axes, (title, table) in zip(figure.subplots(1, 2, width_ratios=(5, 4)), tables.items()):
        values, rows, columns = table.to_numpy(), list(table.index), list(table.columns)
        texts = written(values, ".2f")
        image = matrix(axes, values, rows, columns, texts=texts, cmap="RdBu_r", limits=(-1, 1))
        axes.set_title(title)
    figure.colorbar(image, ax=figure.axes, shrink=0.8, label="rank correlation")
    return figure


@look
def side_level_correlations(labels: pd.DataFrame) -> Picture:
    """Left against right across all levels, a matrix for each condition that has sides."""
    if len(labels) < 3:
        return empty_figure("a correlation needs three studies or more")
    correlations = severity_correlation(labels)
    figure = new_figure(9.5, 4)
    for axes, group in zip(figure.subplots(1, len(GROUPS_WITH_SIDES)), GROUPS_WITH_SIDES):
        table = side_level_correlation(correlations, group)
        values, rows, columns = table.to_numpy(), list(table.index), list(table.columns)
        texts = written(values, ".2f")
        image = matrix(axes, values, rows, columns, texts=texts, cmap="RdBu_r", limits=(-1, 1))
        axes.set(title=group2title[group], xlabel="right side", ylabel="left side")
    figure.colorbar(image, ax=figure.axes, shrink=0.8, label="rank correlation")
    return figure
