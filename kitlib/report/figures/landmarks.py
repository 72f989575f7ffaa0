"""Figures of the landmark table alone: they need no image."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kitlib.report.figures.grid import matrix, written
from kitlib.report.names import CONDITION_TITLES, LEVEL_TITLES, condition2title
from kitlib.report.pages.tables import landmark_gaps, points_per_instance, side_offsets
from kitlib.report.style import SERIES_COLOURS, Picture, empty_figure, look, new_figure, note
from kitlib.terms import CONDITIONS, LEVELS

gap2title = {
    "points": "with a point",
    "label_without_point": "label without a point",
    "point_without_label": "point without a label",
}


@look
def landmark_counts(labels: pd.DataFrame, landmarks: pd.DataFrame) -> Picture:
    """Landmarks per condition and level, and the two ways in which labels and points disagree."""
    if landmarks.empty or labels.empty:
        return empty_figure("no landmarks")
    gaps = landmark_gaps(labels, landmarks)
    figure = new_figure(11, 3.2, "Landmarks per cell (number of studies)")
    for axes, (column, title) in zip(figure.subplots(1, 3, sharey=True), gap2title.items()):
        counts = gaps[column].unstack("level").reindex(index=CONDITIONS, columns=LEVELS).to_numpy(float)
        limits = (0.0, max(1.0, 1.6 * counts.max()))
        matrix(axes, counts, CONDITION_TITLES, LEVEL_TITLES, texts=written(counts, ",.0f"), limits=limits)
        axes.set_title(title)
    return figure


@look
def landmark_sides(landmarks: pd.DataFrame) -> Picture:
    """Left minus right point: pixels across on axial slices, instance numbers across sagittal series."""
    axial, foraminal = side_offsets(landmarks, "subarticular"), side_offsets(landmarks, "foraminal")
    if axial.empty and foraminal.empty:
        return empty_figure("no pair of left and right points")
    figure = new_figure(11, 3.2)
    left, right = figure.subplots(1, 2)
    _differences(left, axial["x"], "Subarticular, same axial series and level")
    left.set_xlabel("x of left - x of right (pixels)")
    _differences(right, foraminal["instance"], "Foraminal, same sagittal series and level")
    right.set_xlabel("instance number of left - of right (slices)")
    return figure


def _differences(axes: Axes, values: pd.Series, title: str) -> None:
    if values.empty:
        note(axes, f"{title}:\nno pair of points")
        return
    low, high = np.percentile(values, [0.2, 99.8])
    axes.hist(values.clip(low, high), bins=np.linspace(low - 0.5, high + 0.5, 50), color=SERIES_COLOURS[0])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(title=f"{title}\n{(values > 0).mean():.1%} above zero", ylabel="pairs of points")


@look
def landmark_instances(landmarks: pd.DataFrame) -> Picture:
    """Over how many instances the points of each condition are spread in a series."""
    if landmarks.empty:
        return empty_figure("no landmarks")
    figure = new_figure(11, 2.7, "Instances that hold the points of one condition, per series")
    for axes, condition in zip(figure.subplots(1, len(CONDITIONS)), CONDITIONS):
        spread = points_per_instance(landmarks, condition).value_counts()
        axes.bar(range(1, 6), spread.reindex(range(1, 6), fill_value=0), color=SERIES_COLOURS[0])
        axes.set(title=condition2title[condition], xlabel="instances", xticks=range(1, 6))
    figure.axes[0].set_ylabel("series")
    return figure
