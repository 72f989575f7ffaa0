"""The common look: a restrained style, colours that colour-blind readers can tell apart, and saving."""

import io
from pathlib import Path

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kitlib.artefacts import atomic_write
from kitlib.terms import SEQUENCES, SEVERITIES

# Blue-grey, amber and crimson differ in lightness as well as in hue, so they also survive a grey printer.
severity2colour = dict(zip(SEVERITIES, ("#b7cbd9", "#e39b2d", "#9c1f48"), strict=True))
severity2mark = dict(zip(SEVERITIES, (("o", "#7fd3ff"), ("s", "#ffb000"), ("D", "#ff4d79")), strict=True))
"""Marker and colour on images, for which the colours above are too dark; shape tells where colour fails."""
sequence2colour = dict(zip(SEQUENCES, ("#0072b2", "#d55e00", "#009e73"), strict=True))
EMPTY_COLOUR = "#ffffff"
INK = "#30363c"
QUIET = "#8a9299"
SERIES_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#7f6a00", "#5b5b5b", "#e69f00")
"""For lines that are neither severities nor sequences (after Okabe and Ito)."""

DPI = 110
LOOK = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=SERIES_COLOURS),
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
look = mpl.rc_context(LOOK)
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
    """An empty figure in the common look, with room kept for every label."""
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
    """Write a figure as PNG, whole or not at all, and return it, so that a cell can end with this call."""
    with atomic_write(Path(path)) as draft:
        figure.savefig(draft, format="png", dpi=DPI)
    return figure
