"""Figures of preparing: grey options and imputed values."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from kitlib.report.pages.tables import imputation_errors
from kitlib.report.style import (
    QUIET,
    SERIES_COLOURS,
    Picture,
    empty_figure,
    look,
    new_figure,
    note,
)


@look
def imputation(
    true: pd.DataFrame, imputed: pd.DataFrame, means: pd.Series, column2unit: Mapping[str, str]
) -> Picture:
    """Held-out values against what the forest filled in; the mean of the training studies is dashed."""
    columns = [column for column in column2unit if column in true]
    if true.empty or not columns:
        return empty_figure("no value was held out")
    figure = new_figure(3.2 * len(columns), 3.3, "Held-out values, filled in by the forest")
    for axes, column in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns):
        known = true[column].notna()
        truth, filled = true.loc[known, column].astype(float), imputed.loc[known, column].astype(float)
        if truth.empty:
            note(axes, f"{column}: none held out")
            continue
        axes.plot(truth, filled, "o", markersize=4, alpha=0.7)
        axes.axline((means[column], means[column]), slope=1, color=QUIET, linewidth=0.8)
        axes.axhline(means[column], color=SERIES_COLOURS[1], linestyle="--", linewidth=1)
        errors = imputation_errors(truth, filled, means[column])
        unit = column2unit[column]
        axes.set_title(f"{column}\nerror {errors['forest']:.2g} {unit}; of the mean {errors['mean']:.2g}")
        axes.set(xlabel=f"true ({unit})", ylabel=f"filled in ({unit})")
    return figure


@look
def grey_options(
    pixels: np.ndarray, options: Mapping[str, Callable[[np.ndarray], np.ndarray]], title: str
) -> Picture:
    """One uint8 slice (H, W) under each grey option, with the histogram below it."""
    figure = new_figure(4.2 * len(options), 5.4, title)
    grid = figure.subplots(2, len(options), height_ratios=(3, 1.2), squeeze=False)
    for (picture, histogram), (name, option) in zip(grid.T, options.items()):
        grey = option(pixels[None])[0]
        picture.imshow(grey, vmin=0, vmax=255)
        picture.set_axis_off()
        picture.set_title(name)
        histogram.hist(grey.ravel(), bins=64, range=(0, 256), color=SERIES_COLOURS[0])
        histogram.set(xlabel="grey value (0-255)", ylabel="pixels")
    return figure
