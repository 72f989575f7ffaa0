"""Attention: the share of a model's attention on slices near those the annotators marked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from kitlib.mri.stack import Stack
from kitlib.terms import AXIAL_T2, CELLS, SAGITTAL_T1, SAGITTAL_T2, Cell, group2sequence

NEAR_MM = 5.0
"""About one slice spacing: annotators mark one slice where its neighbour would do as well."""

sequence2coordinate = {SAGITTAL_T1: 0, SAGITTAL_T2: 0, AXIAL_T2: 2}
"""Index of the patient axis (x, y, z) along which the slices of a sequence are stacked."""

StacksOf = Callable[[int, int], Sequence[Stack]]
"""From study_id and series_id to the stacks of the series."""


@dataclass(frozen=True, eq=False)
class AttentionRecord:
    """A model's attention in n studies; positions are those of the slice centres."""

    study_ids: np.ndarray  # (n,)
    weights: Sequence[Mapping[str, np.ndarray]]  # by study and sequence: (25, slices), rows sum to one
    positions_mm: Mapping[str, Sequence[np.ndarray]]  # by sequence and study: (slices, 3)


def along_axis(sequence: str, positions_mm: np.ndarray) -> np.ndarray:
    """Project slice centres (n, 3) onto the axis along which a sequence's slices are stacked: (n,)."""
    return positions_mm[:, sequence2coordinate[sequence]]


def annotated_mm(points: pd.DataFrame, stacks: Sequence[Stack], sequence: str) -> list[float]:
    """Positions of the slices that hold the given landmarks of one series; unknown instances are skipped."""
    numbers = np.unique(points["instance_number"].to_numpy())
    centres_mm = [stack.centres_mm[np.isin(stack.instance_numbers, numbers)] for stack in stacks]
    return along_axis(sequence, np.concatenate([*centres_mm, np.empty((0, 3))])).tolist()


def share_near(positions_mm: np.ndarray, weights: np.ndarray, points_mm: Sequence[float]) -> float:
    """Share of the weight on slices within NEAR_MM of an annotated one; NaN if none is annotated."""
    if not len(points_mm) or not len(weights):
        return float("nan")
    distances = np.abs(positions_mm[:, None] - np.asarray(points_mm)[None]).min(axis=1)
    return float(weights[distances <= NEAR_MM].sum() / weights.sum())


def share_near_landmarks(
    record: AttentionRecord, landmarks: pd.DataFrame, stacks_of: StacksOf
) -> pd.DataFrame:
    """For each landmark, the share of its cell's attention near its slice, and that of uniform attention.

    Columns: study_id, group, attention, even; both shares count slices within NEAR_MM of the annotated one.
    """
    study2row = {int(study_id): row for row, study_id in enumerate(record.study_ids)}
    points = landmarks[landmarks["study_id"].isin(study2row)]
    rows = []
    for key, point in points.groupby(["study_id", "series_id", "condition", "level"]):
        study_id, series_id, condition, level = cast(tuple[int, int, str, str], key)
        cell, row = Cell(condition, level), study2row[study_id]
        sequence = group2sequence[cell.group]
        weights = record.weights[row][sequence][CELLS.index(cell)]
        positions_mm = along_axis(sequence, record.positions_mm[sequence][row])
        points_mm = annotated_mm(point, stacks_of(study_id, series_id), sequence)
        even = share_near(positions_mm, np.ones_like(weights), points_mm)
        rows.append((study_id, cell.group, share_near(positions_mm, weights, points_mm), even))
    return pd.DataFrame(rows, columns=["study_id", "group", "attention", "even"]).dropna()
