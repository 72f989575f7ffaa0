"""The common style: names and colours that every figure shares, small matrices, empty figures and saving."""

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

from kitlib.artefacts import atomic_write
from kitlib.terms import CONDITIONS, GROUPS, LEVELS, SEQUENCES, SEVERITIES, condition2text, level2text

# Blue-grey, amber and crimson differ in lightness as well as in hue, so they also survive a grey printer.
severity2colour = dict(zip(SEVERITIES, ("#b7cbd9", "#e39b2d", "#9c1f48"), strict=True))
Marker = tuple[str, str]
MARKERS: tuple[Marker, ...] = (("o", "#7fd3ff"), ("s", "#ffb000"), ("D", "#ff4d79"))
"""Of points on images: the colours above are too dark there, and shape tells where colour fails."""
TINT = 0.45  # of a severity's colour where it is certain
sequence2colour = dict(zip(SEQUENCES, ("#0072b2", "#d55e00", "#009e73"), strict=True))
UNDEFINED_COLOUR = "#dfe3e6"
INK = "#30363c"
QUIET = "#8a9299"
LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#7f6a00", "#5b5b5b", "#e69f00")
"""For lines that are neither severities nor sequences (after Okabe and Ito)."""

group2title = dict(zip(GROUPS, ("Spinal canal", "Neural foramen", "Subarticular"), strict=True))
condition2title = {
    condition: text.capitalize().replace(" foraminal", "\nforaminal").replace("lar stenosis", "lar\nstenosis")
    for condition, text in condition2text.items()
}
"""On two lines, so that five of them fit side by side."""

LEVEL_TITLES = [level2text[level] for level in LEVELS]
CONDITION_TITLES = [condition2title[condition] for condition in CONDITIONS]

DPI = 110
SAID = "Description"  # the field of a PNG
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=LINE_COLOURS),
    "axes.grid": False,
    "grid.color": "#e4e7ea",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "image.cmap": "gray",
    "hatch.linewidth": 0.6,
    "figure.titlesize": 11,
}
styled = mpl.rc_context(STYLE)
"""Decorates every function that draws: the style holds inside it and nowhere else."""


class Picture(Figure):
    """A figure that a notebook shows when it is a cell's last value.

    It is made without pyplot: there is no global state to close, and the inline backend, which shows
    every open pyplot figure at the end of a cell, does not show it a second time.
    """

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=DPI)
        return buffer.getvalue()


def new_figure(width_in: float, height_in: float, title: str = "") -> Picture:
    """An empty figure in the common styled, with room kept for every label."""
    figure = Picture(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure


def note(axes: Axes, text: str) -> None:
    """Say inside an empty panel why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=QUIET, transform=axes.transAxes)


def empty_figure(text: str) -> Picture:
    """A figure that says why there is nothing to draw."""
    figure = new_figure(6, 1)
    note(figure.add_subplot(), text)
    return figure


def save_figure(figure: Picture, path: Path) -> Picture:
    """Write a figure as PNG, whole or not at all, and return it, so that a cell can end with this call.

    What it says of itself is written into it, for pages that show it to those who cannot see it.
    """
    with atomic_write(Path(path)) as draft:
        figure.savefig(draft, format="png", dpi=DPI, metadata={SAID: _words_of(figure)})
    return figure


def said_by(path: Path) -> str:
    """What a saved figure says of itself; the name of its file where it says nothing."""
    with Image.open(path) as image:
        return str(image.info.get(SAID) or path.stem.replace("_", " "))


def _words_of(figure: Figure) -> str:
    """The title of a figure, else those of its panels, and what its axes are called."""
    titles = [figure.get_suptitle() or axes.get_title(loc="left") for axes in figure.axes]
    labels = [label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())]
    return "; ".join(dict.fromkeys(" ".join(text.split()) for text in (*titles, *labels) if text))


def matrix(
    axes: Axes,
    table: pd.DataFrame,
    texts: str | np.ndarray | None = None,
    *,
    cmap: str = "Blues",
    limits: tuple[float, float] = (0, 1),
    **ticks: Any,
) -> AxesImage:
    """Draw a table, NaN in grey; `texts` (r, c) stand in it, or its values in that format, NaN as nothing.

    `ticks` are properties of the names of rows and columns.
    """
    values = table.to_numpy(float)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_facecolor(UNDEFINED_COLOUR)
    image = axes.imshow(
        values, cmap=cmap, vmin=limits[0], vmax=limits[1], aspect="auto", interpolation="nearest"
    )
    axes.set_xticks(range(values.shape[1]), list(table.columns), **ticks)
    axes.set_yticks(range(len(values)), list(table.index), **{**ticks, "rotation": 0})
    if isinstance(texts, str):
        texts = np.array([["" if np.isnan(v) else format(v, texts) for v in row] for row in values], object)
    if texts is not None:
        for (row, column), text in np.ndenumerate(texts):
            colour = _readable_on(image, values[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    return image


def by_cell(values: pd.DataFrame) -> pd.DataFrame:
    """A table of conditions by levels, each in its order and under its title."""
    in_order = values.reindex(index=CONDITIONS, columns=LEVELS)
    return in_order.set_axis(CONDITION_TITLES).set_axis(LEVEL_TITLES, axis=1)


def severity_rgb(chances: np.ndarray) -> np.ndarray:
    """White, with the colour of each severity as far as it is likely: (..., 3) of 0 to 255."""
    rgb = [[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in severity2colour.values()]
    return (1 - TINT) * 255 + TINT * chances @ np.array(rgb)


def _readable_on(image: AxesImage, value: float) -> str:
    red, green, blue, _ = image.to_rgba(np.nan_to_num(value))
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
