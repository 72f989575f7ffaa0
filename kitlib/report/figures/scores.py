"""Figures of scores: beside the baselines, by level, by cell, under leaking splits and without sequences."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kitlib.experiments.scenarios import NOTHING, scenario2share
from kitlib.report.style import (
    CONDITION_TITLES,
    INK,
    LEVEL_TITLES,
    LINE_COLOURS,
    QUIET,
    Picture,
    empty_figure,
    group2title,
    matrix,
    new_figure,
    styled,
    written,
)
from kitlib.terms import CONDITIONS, EMPTY, GROUPS, LEVELS, SEVERITIES

BASELINES = ("prior", "1/3")
measure2title = {"accuracy": "Accuracy", "macro_f1": "Macro-F1", "macro_auc": "Macro AUC-ROC"}
NORMAL_EVERYWHERE = " Normal/Mild\n everywhere"
MARKERS = "osD^vP*X"
kind2colour = {"honest": LINE_COLOURS[0], "leaking": LINE_COLOURS[1], "published": INK}


@styled
def scores(table: pd.DataFrame) -> Picture:
    """Scores with their intervals, best on top; the prior and 1/3 are upright lines.

    Columns: prediction, total, low, high (low and high may be NaN).
    """
    if table.empty:
        return empty_figure("no score")
    is_baseline = table["prediction"].isin(BASELINES)
    models = table[~is_baseline].sort_values("total", ascending=False)
    title = "Competition metric with 95 % interval over studies (lower is better)"
    figure = new_figure(9, 1.6 + 0.36 * len(models), title)
    axes = figure.add_subplot()
    places = np.arange(len(models))
    axes.hlines(places, models["low"], models["high"], color=LINE_COLOURS[0], linewidth=2, alpha=0.45)
    axes.plot(models["total"], places, "o", color=LINE_COLOURS[0])
    for place, total in zip(places, models["total"]):
        _beside(axes, f"{total:.3f}", (total, place), (0, 5), "center")
    for total, name in zip(table.loc[is_baseline, "total"], table.loc[is_baseline, "prediction"]):
        axes.axvline(total, color=INK, linestyle="--", linewidth=1)
        _beside(axes, f"{name} {total:.3f}", (total, len(models) - 0.4), (3, 0), "left")
    axes.set_yticks(places, models["prediction"])
    axes.set(xlabel="mean weighted log loss (nats)", ylim=(-0.6, len(models) + 0.1))
    axes.grid(axis="x")
    return figure


def _beside(axes: Axes, text: str, place: tuple[float, float], points: tuple[float, float], ha: str) -> None:
    axes.annotate(text, place, points, textcoords="offset points", ha=ha, va="bottom", fontsize=7)


@styled
def loss_by_level(losses: Mapping[str, pd.DataFrame]) -> Picture:
    """Log loss by level, one panel a condition group and one line a prediction; tables are group x level."""
    if not losses:
        return empty_figure("no loss to draw")
    figure = new_figure(11, 3.2, "Weighted log loss by level")
    for axes, group in zip(figure.subplots(1, len(GROUPS), sharey=True), GROUPS):
        for name, table in losses.items():
            axes.plot(LEVEL_TITLES, table.loc[group].reindex(LEVELS), "o-", markersize=4, label=name)
        axes.set(title=group2title[group])
        axes.grid(axis="y")
    figure.axes[0].set_ylabel("log loss (nats)")
    figure.axes[0].set_ylim(bottom=0)
    figure.axes[0].legend()
    return figure


@styled
def measures(table: pd.DataFrame) -> Picture:
    """Accuracy, macro-F1 and macro AUC-ROC per condition and level; undefined ones stay grey."""
    if table.empty:
        return empty_figure("nothing was measured")
    figure = new_figure(11, 3.2, "Measures per cell (grey: undefined, because a severity is absent)")
    for axes, (column, title) in zip(figure.subplots(1, 3, sharey=True), measure2title.items()):
        wide = table.pivot(index="condition", columns="level", values=column)
        values = wide.reindex(index=CONDITIONS, columns=LEVELS).to_numpy(float)
        texts = written(values, ".2f")
        matrix(axes, values, CONDITION_TITLES, LEVEL_TITLES, texts=texts, limits=(0, 1.3))
        axes.set_title(title)
    return figure


@styled
def leaks(table: pd.DataFrame, normal_accuracy: float | None = None) -> Picture:
    """Three measures of each system, honest, leaking and published, beside each other.

    Columns: system, kind (`honest`, `leaking` or `published`), accuracy, macro_f1 and macro_auc, which may be
    NaN. `normal_accuracy` is that of answering Normal/Mild everywhere.
    """
    if table.empty:
        return empty_figure("no system was judged twice")
    systems = list(dict.fromkeys(table["system"]))
    figure = new_figure(11, 1.5 + 0.3 * len(systems), "The same systems, judged in two ways")
    for axes, (column, title) in zip(
        figure.subplots(1, len(measure2title), sharey=True), measure2title.items()
    ):
        for kind, colour in kind2colour.items():
            judged = table[table["kind"] == kind]
            axes.plot(judged[column], judged["system"].map(systems.index), "o", color=colour, label=kind)
        if normal_accuracy is not None and column == "accuracy":
            axes.axvline(normal_accuracy, color=QUIET, linestyle="--", linewidth=1)
            axes.text(normal_accuracy, len(systems) - 0.5, NORMAL_EVERYWHERE, fontsize=7, va="bottom")
        axes.set(title=title, xlim=(0, 1.02), ylim=(-0.6, len(systems) + 0.3))
        axes.grid(axis="both")
    figure.axes[0].set_yticks(range(len(systems)), systems)
    figure.axes[-1].legend(loc="lower left")
    return figure


@styled
def missing_curve(table: pd.DataFrame, prior: float) -> Picture:
    """Score against the share of sequences removed at random, a line each experiment, the prior as a line.

    `table` as of `missing_table`; `prior` is the prior's score on the same studies.
    """
    share = table["scenario"].map({NOTHING: 0.0, **scenario2share}) if len(table) else pd.Series(dtype=float)
    drawn = table.assign(share=share)[share.notna()]
    if drawn.empty:
        return empty_figure("no sequences were removed at random")
    figure = new_figure(8, 4.4, "Competition metric with sequences removed at random (lower is better)")
    axes = figure.add_subplot()
    names = list(dict.fromkeys(drawn["experiment"]))
    for number, name in enumerate(names):
        line = drawn[drawn["experiment"] == name].sort_values("share")
        colour, marker = (kinds[number % len(kinds)] for kinds in (LINE_COLOURS, MARKERS))
        axes.plot(100 * line["share"], line["score"], color=colour, marker=marker, markersize=4, label=name)
    axes.axhline(prior, color=INK, linestyle="--", linewidth=1, label=f"prior, {prior:.3f}")
    axes.set(xlabel="sequences removed (%)", ylabel="mean weighted log loss (nats)")
    axes.grid(axis="y")
    figure.legend(loc="outside right center")
    return figure


@styled
def study_rows(probabilities: np.ndarray, title: str, truth: np.ndarray | None = None) -> Picture:
    """The probabilities (25, 3) of a study, a matrix a severity; the true one, if known, in brackets."""
    shape = (len(CONDITIONS), len(LEVELS))
    codes = np.full(len(probabilities), EMPTY) if truth is None else np.asarray(truth)
    figure = new_figure(11, 3.2, title)
    for code, axes in enumerate(figure.subplots(1, len(SEVERITIES), sharey=True)):
        values = probabilities[:, code]
        texts = [f"[{value:.2f}]" if true == code else f"{value:.2f}" for value, true in zip(values, codes)]
        grid = np.array(texts, dtype=object).reshape(shape)
        matrix(axes, values.reshape(shape), CONDITION_TITLES, LEVEL_TITLES, texts=grid)
        axes.set_title(SEVERITIES[code])
    return figure
