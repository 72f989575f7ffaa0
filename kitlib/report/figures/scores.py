"""Figures of scores: beside the baselines, by level, by cell, under leaking splits and without sequences."""

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kitlib.experiments.scenarios import NOTHING, scenario2share
from kitlib.report import style
from kitlib.report.style import INK, Picture, by_cell, empty_figure, matrix, new_figure, styled
from kitlib.terms import CONDITIONS, EMPTY, GROUPS, LEVELS, SEVERITIES

BASELINES = ("prior", "1/3")
measure2title = {"accuracy": "Accuracy", "macro_f1": "Macro-F1", "macro_auc": "Macro AUC-ROC"}
NORMAL_EVERYWHERE = " Normal/Mild\n everywhere"
LINE_MARKERS = "osD^vP*X"
kind2colour = {"honest": style.LINE_COLOURS[0], "leaking": style.LINE_COLOURS[1], "published": INK}


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
    axes.hlines(places, models["low"], models["high"], color=style.LINE_COLOURS[0], linewidth=2, alpha=0.45)
    axes.plot(models["total"], places, "o")
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
            axes.plot(style.LEVEL_TITLES, table.loc[group].reindex(LEVELS), "o-", markersize=4, label=name)
        axes.set_title(style.group2title[group])
        axes.grid(axis="y")
    figure.axes[0].set(ylabel="log loss (nats)", ylim=(0, None))
    figure.axes[0].legend()
    return figure


@styled
def measures(table: pd.DataFrame) -> Picture:
    """Accuracy, macro-F1 and macro AUC-ROC per condition and level; undefined ones stay grey."""
    if table.empty:
        return empty_figure("nothing was measured")
    figure = new_figure(11, 3.2, "Measures per cell (grey: undefined, because a severity is absent)")
    for axes, (column, title) in zip(figure.subplots(1, 3, sharey=True), measure2title.items()):
        values = by_cell(table.pivot(index="condition", columns="level", values=column))
        matrix(axes, values, ".2f", limits=(0, 1.3))
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
    figure = new_figure(11, 1.5 + 0.3 * len(systems), "The same systems, evaluated in two ways")
    for axes, (column, title) in zip(figure.subplots(1, 3, sharey=True), measure2title.items()):
        for kind, colour in kind2colour.items():
            judged = table[table["kind"] == kind]
            axes.plot(judged[column], judged["system"].map(systems.index), "o", color=colour, label=kind)
        if normal_accuracy is not None and column == "accuracy":
            axes.axvline(normal_accuracy, color=style.QUIET, linestyle="--", linewidth=1)
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
    for (name, line), marker in zip(drawn.groupby("experiment", sort=False), itertools.cycle(LINE_MARKERS)):
        by_share = line.sort_values("share")
        axes.plot(100 * by_share["share"], by_share["score"], marker=marker, markersize=4, label=name)
    axes.axhline(prior, color=INK, linestyle="--", linewidth=1, label=f"prior, {prior:.3f}")
    axes.set(xlabel="sequences removed (%)", ylabel="mean weighted log loss (nats)")
    axes.grid(axis="y")
    figure.legend(loc="outside right center")
    return figure


@styled
def study_rows(probabilities: np.ndarray, title: str, truth: np.ndarray | None = None) -> Picture:
    """The probabilities (25, 3) of a study, a matrix a severity; the true one, if known, in brackets."""
    codes = np.full(len(probabilities), EMPTY) if truth is None else np.asarray(truth)
    figure = new_figure(11, 3.2, title)
    for code, (axes, said) in enumerate(zip(figure.subplots(1, 3, sharey=True), probabilities.T)):
        table = by_cell(pd.DataFrame(said.reshape(5, 5), CONDITIONS, LEVELS))
        texts = [f"[{share:.2f}]" if true == code else f"{share:.2f}" for share, true in zip(said, codes)]
        matrix(axes, table, np.array(texts, dtype=object).reshape(5, 5))
        axes.set_title(SEVERITIES[code])
    return figure


@styled
def label_curve(table: pd.DataFrame) -> Picture:
    """What labels add, a column of panels a kind of view: ranking above, log loss below.

    Columns: view, start, asked, learnt, and auc, scaled and prior with their _min and _max, as of
    `curve_table`. A row with 0 asked is a dashed line; so is the prior, in the panels below.
    """
    if table.empty:
        return empty_figure("no grader was judged")
    views = list(dict.fromkeys(table["view"]))
    figure = new_figure(
        1 + 3.2 * len(views), 5.6, "What labelled studies add (mean and range over the seeds)"
    )
    panels = figure.subplots(2, len(views), sharex="col", squeeze=False)
    for column, view in zip(panels.T, views):
        own = table[table["view"] == view]
        for axes, measure in zip(column, ("auc", "scaled")):
            _label_lines(axes, own, measure)
        column[1].axhline(own["prior"].mean(), color=INK, linestyle=":", linewidth=1, label="prior by level")
        column[0].set_title(view)
        column[1].set(xscale="log", xlabel="labelled studies with such a view")
        column[1].set_xticks(sizes := sorted(set(own["learnt"]) - {0}), list(map(str, sizes)))
        column[1].minorticks_off()
    panels[0, 0].set_ylabel("AUC, severe against normal")
    panels[1, 0].set_ylabel("log loss, scaled (nats)")
    panels[1, 0].legend()
    return figure


def _label_lines(axes: Axes, table: pd.DataFrame, measure: str) -> None:
    """A line a start with the range of its seeds."""
    axes.grid(axis="y")
    for colour, (start, line) in zip(style.LINE_COLOURS, table.groupby("start", sort=False)):
        before, learnt = line[line["asked"] == 0], line[line["asked"] > 0].sort_values("learnt")
        learnt = learnt.drop_duplicates("learnt", keep="last")
        axes.plot(learnt["learnt"], learnt[measure], "o-", markersize=4, color=colour, label=f"from {start}")
        low, high = learnt[f"{measure}_min"], learnt[f"{measure}_max"]
        axes.fill_between(learnt["learnt"], low, high, color=colour, alpha=0.15, linewidth=0)
        if len(before):
            value, label = before[measure].mean(), f"{start}, no label"
            axes.axhline(value, color=colour, linestyle="--", linewidth=1, label=label)


@styled
def leaderboard(ledger: pd.DataFrame) -> Picture:
    """Cross-validated against leaderboard scores, a point a submission; equal ones lie on the dashed line.

    Columns: id, cv, cv_low, cv_high, public, private; what has no leaderboard score yet is left out.
    """
    boards = {name: ledger.dropna(subset=[name, "cv"]) for name in ("public", "private")}
    boards = {name: rows for name, rows in boards.items() if len(rows)}
    if not boards:
        return empty_figure("no leaderboard score yet")
    figure = new_figure(5, 5, "Cross-validated and leaderboard scores (lower is better)")
    axes = figure.add_subplot()
    for (name, rows), colour in zip(boards.items(), style.LINE_COLOURS):
        axes.hlines(rows[name], rows["cv_low"], rows["cv_high"], color=colour, linewidth=2, alpha=0.45)
        axes.plot(rows["cv"], rows[name], "o", color=colour, label=f"{name}, n = {len(rows)}")
        for row in rows.to_dict("records"):
            _beside(axes, str(row["id"]), (row["cv"], row[name]), (0, 4), "center")
    axes.axline((0.5, 0.5), slope=1, color=INK, linestyle="--", linewidth=1)
    axes.set(xlabel="cross-validated, 95 % interval over studies (nats)", ylabel="leaderboard (nats)")
    axes.legend()
    return figure
