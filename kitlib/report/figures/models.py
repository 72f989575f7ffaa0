"""Figures of models: how they see slices, how they learn, what they confuse, and how sure they are."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kitlib.evaluate.classification import binned_rates, confusion_counts, labelled_cells
from kitlib.evaluate.embeddings import SliceTable, principal_map
from kitlib.report import style
from kitlib.report.style import QUIET, Picture, empty_figure, matrix, new_figure, styled
from kitlib.terms import GROUPS, PROBABILITIES, SEVERITIES, Group

SHORT_SEVERITIES = [name.replace("/", "/\n") for name in SEVERITIES]
PANELS_A_ROW = 3

name2colour = {**style.severity2colour, **style.sequence2colour}


@styled
def projection(points: np.ndarray, colours: Mapping[str, pd.Series], title: str) -> Picture:
    """The same map (n, 2) once per colouring; severities and sequences get a legend, numbers a scale."""
    if not len(points):
        return empty_figure("no embedding to draw")
    figure = new_figure(4.2 * len(colours), 4, title)
    for axes, (name, values) in zip(figure.subplots(1, len(colours), squeeze=False)[0], colours.items()):
        _scatter(axes, points, values, name)
        axes.set_title(f"coloured by {name}")
    return figure


@styled
def severity_maps(slices: SliceTable, *, seed: int = 0) -> Picture:
    """A map of the annotated slices of each condition group, coloured by the severity of their cell."""
    if slices.facts.empty:
        return empty_figure("no annotated slice was embedded")
    groups = list(slices.facts.groupby("group", sort=False))
    figure = new_figure(4.2 * len(groups), 4, "Annotated slices: principal components, by severity")
    for axes, (group, facts) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups):
        points = principal_map(slices.vectors[facts.index], seed=seed)
        _scatter(axes, points, facts["severity"], "severity")
        axes.set_title(style.group2title[cast(Group, group)])
    return figure


def _scatter(axes: Axes, points: np.ndarray, values: pd.Series, name: str) -> None:
    size = 7 if len(points) > 500 else 25
    first, second = points.T
    if pd.api.types.is_numeric_dtype(values):
        dots = axes.scatter(first, second, c=values, cmap="viridis", s=size, linewidths=0)
        cast(Figure, axes.figure).colorbar(dots, ax=axes, label=name, shrink=0.8)
    else:
        for value, colour in name2colour.items():
            here = (values == value).to_numpy()
            if here.any():
                axes.scatter(first[here], second[here], color=colour, s=size, linewidths=0, label=value)
        axes.legend(markerscale=2)
    axes.set(xlabel="component 1", ylabel="component 2", xticks=[], yticks=[])


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
    figure = new_figure(max(3.7 * columns, 5), 2.7 * rows + 0.4, "Learning curves: two lines per fit")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(panels, names):
        for _, run in curves[curves["experiment"] == name].groupby(["fold", "part"]):
            axes.plot(run["epoch"], run["train_loss"], color=QUIET, linewidth=0.7, alpha=0.7)
            axes.plot(run["epoch"], run["valid_loss"], color=style.LINE_COLOURS[0], linewidth=0.7, alpha=0.7)
        axes.set(title=name, xlabel="epoch or boosting round")
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
    figure = new_figure(11, 3.6, "Most likely severity against the label (each row sums to 100 %)")
    for axes, group in zip(figure.subplots(1, len(GROUPS)), GROUPS):
        counts = confusion_counts(cells[cells["group"] == group])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        texts = np.array([f"{share:.0%}\n{n:,}" for share, n in zip(shares.flat, counts.flat)], dtype=object)
        matrix(axes, pd.DataFrame(shares, SHORT_SEVERITIES, SHORT_SEVERITIES), texts.reshape(3, 3))
        axes.set(title=style.group2title[group], xlabel="most likely severity")
    figure.axes[0].set_ylabel("label")
    return figure


@styled
def reliability(predictions: Mapping[str, pd.DataFrame], labels: pd.DataFrame, bins: int = 8) -> Picture:
    """Reliability curves per severity: how often it came true, in bins of equally many cells."""
    name2cells = {name: labelled_cells(table, labels) for name, table in predictions.items()}
    if all(cells.empty for cells in name2cells.values()):
        return empty_figure("no labelled cell was predicted")
    figure = new_figure(11, 4.4, "Reliability: on the diagonal, predicted and observed frequencies agree")
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
