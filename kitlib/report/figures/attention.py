"""Where a model looks: attention over slices, beside the slices that the annotators marked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from kitlib.mri.stack import Stack
from kitlib.report.style import Picture, empty_figure, look, new_figure, note, sequence2colour
from kitlib.terms import AXIAL_T2, CELLS, SAGITTAL_T1, SAGITTAL_T2, Cell, group2sequence

NEAR_MM = 5.0
"""About one slice step: annotators mark one slice where the next one would do as well."""

POINT_KEYS = ["study_id", "series_id", "condition", "level"]

sequence2coordinate = {SAGITTAL_T1: 0, SAGITTAL_T2: 0, AXIAL_T2: 2}
"""The patient coordinate (x, y, z) along which the slices of a sequence follow one another."""
sequence2axis = {
    SAGITTAL_T1: "right to left, x (mm)",
    SAGITTAL_T2: "right to left, x (mm)",
    AXIAL_T2: "foot to head, z (mm)",
}

StacksOf = Callable[[int, int], Sequence[Stack]]
"""From a study's and a series' id to its stacks."""


@dataclass(frozen=True, eq=False)
class AttentionRecord:
    """What a model with attention looked at in some studies."""

    study_ids: np.ndarray  # (n,)
    weights: Sequence[Mapping[str, np.ndarray]]  # n times, per sequence: (25, slices), rows sum to one
    positions_mm: Mapping[
        str, Sequence[np.ndarray]
    ]  # per sequence, n times: (slices, 3), the slices' centres


def along(sequence: str, positions_mm: np.ndarray) -> np.ndarray:
    """Positions (n,) of slice centres (n, 3) along the axis on which their slices follow one another."""
    return positions_mm[:, sequence2coordinate[sequence]]


def annotated_mm(points: pd.DataFrame, stacks: Sequence[Stack], sequence: str) -> list[float]:
    """Positions of the slices that hold the given landmarks of one series; unknown instances are left out."""
    numbers = np.unique(points["instance_number"].to_numpy())
    marked = [stack.centres_mm[np.isin(stack.instance_numbers, numbers)] for stack in stacks]
    return along(sequence, np.concatenate([*marked, np.empty((0, 3))])).tolist()


def share_near(positions_mm: np.ndarray, weights: np.ndarray, points_mm: Sequence[float]) -> float:
    """Share of the weight on slices within NEAR_MM of an annotated one; NaN where none is."""
    if not len(points_mm) or not len(weights):
        return float("nan")
    distances = np.abs(positions_mm[:, None] - np.asarray(points_mm)[None]).min(axis=1)
    return float(weights[distances <= NEAR_MM].sum() / weights.sum())


@look
def attention(
    weights: Mapping[str, tuple[np.ndarray, np.ndarray]],
    annotated_mm: Mapping[str, Sequence[float]],
    title: str,
) -> Picture:
    """Attention over the slices of one study; the annotated slices are dotted lines.

    `weights` holds, per sequence, the slices' positions in the patient in mm and their weights.
    """
    if not weights:
        return empty_figure("this model has no attention to show")
    figure = new_figure(11, 2.9, title)
    panels = figure.subplots(1, len(weights), squeeze=False)[0]
    for axes, (sequence, (positions_mm, values)) in zip(panels, weights.items()):
        axes.set_title(sequence)
        if not len(values):
            note(axes, "not in this study")
            continue
        axes.vlines(positions_mm, 0, values, color=sequence2colour[sequence], linewidth=3)
        for place_mm in annotated_mm.get(sequence, []):
            axes.axvline(place_mm, color="black", linewidth=0.8, linestyle=":")
        axes.set(xlabel=sequence2axis[sequence], ylim=(0, None))
    figure.axes[0].set_ylabel("attention weight")
    return figure


def plot_attention(
    looked: AttentionRecord, study_id: int, cell: Cell, points: pd.DataFrame, stacks_of: StacksOf
) -> Picture:
    """Where one cell's attention went in one study, and the slice on which that cell was annotated."""
    row = looked.study_ids.tolist().index(study_id)
    weights = {
        sequence: (along(sequence, positions_mm[row]), looked.weights[row][sequence][CELLS.index(cell)])
        for sequence, positions_mm in looked.positions_mm.items()
    }
    sequence = group2sequence[cell.group]
    is_cell = (points["condition"] == cell.condition) & (points["level"] == cell.level)
    marked_mm: list[float] = []
    for series_id, point in points[is_cell & (points["study_id"] == study_id)].groupby("series_id"):
        marked_mm += annotated_mm(point, stacks_of(study_id, cast(int, series_id)), sequence)
    title = f"Study {study_id}, {cell.name.replace('_', ' ')}: where the model looks (dotted: annotated)"
    return attention(weights, {sequence: marked_mm}, title)


def share_near_landmarks(
    looked: AttentionRecord, landmarks: pd.DataFrame, stacks_of: StacksOf
) -> pd.DataFrame:
    """For each landmark the share of its cell's attention near its slice, beside that of an even attention.

    Columns: study_id, group, attention, even; both shares count slices within NEAR_MM of the annotated one.
    """
    study2row = {int(study_id): row for row, study_id in enumerate(looked.study_ids)}
    points = landmarks[landmarks["study_id"].isin(study2row)]
    rows = []
    for key, point in points.groupby(POINT_KEYS):
        study_id, series_id, condition, level = cast(tuple[int, int, str, str], key)
        cell, row = Cell(condition, level), study2row[study_id]
        sequence = group2sequence[cell.group]
        weights = looked.weights[row][sequence][CELLS.index(cell)]
        positions_mm = along(sequence, looked.positions_mm[sequence][row])
        marked_mm = annotated_mm(point, stacks_of(study_id, series_id), sequence)
        even = share_near(positions_mm, np.ones_like(weights), marked_mm)
        rows.append((study_id, cell.group, share_near(positions_mm, weights, marked_mm), even))
    return pd.DataFrame(rows, columns=["study_id", "group", "attention", "even"]).dropna()
