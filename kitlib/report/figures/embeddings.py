"""Maps of embeddings in two dimensions, coloured by what is known of each slice or study."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kitlib.evaluate.embeddings import SliceTable, principal_map
from kitlib.report import style
from kitlib.report.style import Picture, empty_figure, new_figure, styled
from kitlib.terms import Group

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
