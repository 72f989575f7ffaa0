"""Figures of models: how they learn, what they confuse, and how sure they are."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kitlib.evaluate.classification import binned_rates, confusion_counts, labelled_cells
from kitlib.report import style
from kitlib.report.style import QUIET, Picture, empty_figure, matrix, new_figure, styled
from kitlib.terms import GROUPS, PROBABILITIES, SEVERITIES

SHORT_SEVERITIES = [name.replace("/", "/\n") for name in SEVERITIES]
PANELS_A_ROW = 3


@styled
def learning_curves(curves: pd.DataFrame) -> Picture:
    """Training and validation loss by epoch, one panel an experiment, one thin line a fold and member.

    Columns: experiment, fold, part, epoch, train_loss, valid_loss; losses may be NaN.
    """
    if curves.empty:
        return empty_figure("no model here learns in epochs")
    names = list(dict.fromkeys(curves["experiment"]))
    columns = min(len(names), PANELS_A_ROW)
    rows = -(-len(names) // columns)
    figure = new_figure(max(3.7 * columns, 5), 2.7 * rows + 0.4, "Learning curves: a line for each fit")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(panels, names):
        for _, run in curves[curves["experiment"] == name].groupby(["fold", "part"]):
            axes.plot(run["epoch"], run["train_loss"], color=QUIET, linewidth=0.7, alpha=0.7)
            axes.plot(run["epoch"], run["valid_loss"], color=style.LINE_COLOURS[0], linewidth=0.7, alpha=0.7)
        axes.set(title=name, xlabel="epoch, or boosting round")
        axes.grid(axis="y")
    figure.axes[0].set_ylabel("weighted log loss (nats)")
    figure.axes[0].plot([], [], color=QUIET, label="trained on")
    figure.axes[0].plot([], [], color=style.LINE_COLOURS[0], label="held out")
    figure.axes[0].legend()
    return figure


@styled
def confusion(predictions: pd.DataFrame, labels: pd.DataFrame) -> Picture:
    """Confusion matrix of the likeliest severity per condition group: row shares and counts."""
    cells = labelled_cells(predictions, labels)
    if cells.empty:
        return empty_figure("no labelled cell was predicted")
    figure = new_figure(11, 3.6, "Likeliest severity against the label (each row sums to 100 %)")
    for axes, group in zip(figure.subplots(1, len(GROUPS)), GROUPS):
        counts = confusion_counts(cells[cells["group"] == group])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        texts = np.array([f"{share:.0%}\n{n:,}" for share, n in zip(shares.flat, counts.flat)], dtype=object)
        matrix(axes, pd.DataFrame(shares, SHORT_SEVERITIES, SHORT_SEVERITIES), texts.reshape(3, 3))
        axes.set(title=style.group2title[group], xlabel="likeliest severity")
    figure.axes[0].set_ylabel("label")
    return figure


@styled
def reliability(predictions: Mapping[str, pd.DataFrame], labels: pd.DataFrame, bins: int = 8) -> Picture:
    """Reliability curves per severity: how often it came true, in bins of equally many cells."""
    name2cells = {name: labelled_cells(table, labels) for name, table in predictions.items()}
    if all(cells.empty for cells in name2cells.values()):
        return empty_figure("no labelled cell was predicted")
    figure = new_figure(11, 4.4, "Reliability: on the diagonal, what was said is what happened")
    for code, (axes, column) in enumerate(zip(figure.subplots(1, 3), PROBABILITIES)):
        axes.axline((0, 0), slope=1, color=QUIET, linewidth=0.8)
        for name, cells in name2cells.items():
            said, came_true = binned_rates(cells[column].to_numpy(), cells["label"].to_numpy() == code, bins)
            axes.plot(said, came_true, "o-", markersize=4, linewidth=1.2, label=name)
        axes.set(title=SEVERITIES[code], xlabel="predicted probability", xlim=(0, 1), ylim=(0, 1))
        axes.set_box_aspect(1)
    figure.axes[0].set_ylabel("share of cells with that label")
    figure.axes[0].legend()
    return figure
