"""A small matrix of coloured cells with a value written in each: the one way to draw it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.image import AxesImage

UNDEFINED_COLOUR = "#dfe3e6"


def matrix(
    axes: Axes,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    texts: np.ndarray | None = None,
    cmap: str = "Blues",
    limits: tuple[float, float] = (0, 1),
    **ticks: Any,
) -> AxesImage:
    """Draw values (r, c), NaN in grey, with `texts` (r, c) in them; `ticks` are properties of the names."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_facecolor(UNDEFINED_COLOUR)
    image = axes.imshow(
        values, cmap=cmap, vmin=limits[0], vmax=limits[1], aspect="auto", interpolation="nearest"
    )
    axes.set_xticks(range(len(columns)), columns, **ticks)
    axes.set_yticks(range(len(rows)), rows, **{**ticks, "rotation": 0})
    if texts is not None:
        for (row, column), text in np.ndenumerate(texts):
            colour = _readable_on(image, values[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    return image


def written(values: np.ndarray, form: str) -> np.ndarray:
    """Each value in the given format, NaN as nothing."""
    return np.array([["" if np.isnan(v) else format(v, form) for v in row] for row in values], dtype=object)


def _readable_on(image: AxesImage, value: float) -> str:
    norm: Normalize = image.norm
    red, green, blue, _ = image.get_cmap()(norm(0.0 if np.isnan(value) else value))
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
