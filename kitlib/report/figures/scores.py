"""Figures of scores: models beside the prior and beside 1/3, and where the loss comes from."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kitlib.report.figures.grid import matrix, written
from kitlib.report.names import CONDITION_TITLES, LEVEL_TITLES, group2title
from kitlib.report.style import INK, SERIES_COLOURS, Picture, empty_figure, look, new_figure
from kitlib.terms import CONDITIONS, GROUPS, LEVELS

MARKS = ("prior", "1/3")
measure2title = {"accuracy": "Accuracy", "macro_f1": "Macro-F1", "macro_auc": "Macro AUC-ROC"}


@look
def scores(table: pd.DataFrame) -> Picture:
    """Scores with their intervals, best on top; the prior and 1/3 are upright lines.

    Columns: prediction, total, low, high (low and high may be NaN).
    """
    if table.empty:
        return empty_figure("no score")
    is_mark = table["prediction"].isin(MARKS)
    models = table[~is_mark].sort_values("total", ascending=False)
    title = "Competition metric with 95 % interval over studies (lower is better)"
    figure = new_figure(9, 1.6 + 0.36 * len(models), title)
    axes = figure.add_subplot()
    places = np.arange(len(models))
    axes.hlines(places, models["low"], models["high"], color=SERIES_COLOURS[0], linewidth=2, alpha=0.45)
    axes.plot(models["total"], places, "o", color=SERIES_COLOURS[0])
    for place, total in zip(places, models["total"]):
        _beside(axes, f"{total:.3f}", (total, place), (0, 5), "center")
    for total, name in zip(table.loc[is_mark, "total"], table.loc[is_mark, "prediction"]):
        axes.axvline(total, color=INK, linestyle="--", linewidth=1)
        _beside(axes, f"{name} {total:.3f}", (total, len(models) - 0.4), (3, 0), "left")
    axes.set_yticks(places, models["prediction"])
    axes.set(xlabel="mean weighted log loss (nats)", ylim=(-0.6, len(models) + 0.1))
    axes.grid(axis="x")
    return figure


def _beside(axes: Axes, text: str, place: tuple[float, float], points: tuple[float, float], ha: str) -> None:
    axes.annotate(text, place, points, textcoords="offset points", ha=ha, va="bottom", fontsize=7)


@look
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


@look
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
