"""A study of a straight spine as tables and empty stacks: everything an audit reads."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kitlib.mri.stack import Stack
from kitlib.mri.study import Series, Study
from kitlib.terms import CELL_NAMES, CELLS, LEVELS, group2sequence

LEVEL_Z_MM = dict(zip(LEVELS, (70.0, 36.0, 0.0, -35.0, -65.0)))
GROUP2PLACE_MM = {  # from the canal's point, on the patient's left
    "spinal": (0.0, 0.0, 0.0),
    "foraminal": (16.0, -15.0, 8.0),
    "subarticular": (8.0, -4.0, 0.0),
}
SAGITTAL_T1_ID, SAGITTAL_T2_ID, AXIAL_ID = 1, 2, 3
sequence2id = {"Sagittal T1": SAGITTAL_T1_ID, "Sagittal T2/STIR": SAGITTAL_T2_ID, "Axial T2": AXIAL_ID}


@dataclass
class Tables:
    """The arguments of `audit`."""

    labels: pd.DataFrame
    landmarks: pd.DataFrame
    series: pd.DataFrame
    stacks: dict[tuple[int, int], list[Stack]]

    def study_of(self, study_id: int) -> Study:
        own = {key[1]: stacks for key, stacks in self.stacks.items() if key[0] == study_id}
        return Study(study_id, tuple(Series(key, None, tuple(stacks)) for key, stacks in own.items()))


def make_tables(study_id: int = 7) -> Tables:
    """One study without defects; every cell is labelled and has its point."""
    stacks = {SAGITTAL_T1_ID: _sagittal(0.5), SAGITTAL_T2_ID: _sagittal(0.5), AXIAL_ID: _axial()}
    rows = []
    for cell in CELLS:
        series_id = sequence2id[group2sequence[cell.group]]
        x, y, z = GROUP2PLACE_MM[cell.group]
        place = np.array([-x if cell.side == "right" else x, y, z + LEVEL_Z_MM[cell.level]])
        col, row, index = stacks[series_id].to_pixel(place)
        instance = int(stacks[series_id].instance_numbers[round(float(index))])
        rows.append((study_id, series_id, instance, *cell, float(col), float(row)))
    columns = ["study_id", "series_id", "instance_number", "condition", "level", "x", "y"]
    labels = pd.DataFrame(0, pd.Index([study_id], name="study_id"), list(CELL_NAMES), dtype=np.int8)
    series = pd.DataFrame(
        [(study_id, series_id, sequence) for sequence, series_id in sequence2id.items()],
        columns=["study_id", "series_id", "sequence"],
    )
    kept = {(study_id, series_id): [stack] for series_id, stack in stacks.items()}
    return Tables(labels, pd.DataFrame(rows, columns=columns), series, kept)


def _sagittal(px_mm: float) -> Stack:
    count = 13
    origins = np.array([[4.0 * (index - count // 2), -100.0, 120.0] for index in range(count)])
    return _stack(origins, np.array([0.0, 1, 0]), np.array([0.0, 0, -1]), px_mm, (480, 400))


def _axial() -> Stack:
    origins = np.array([[-80.0, -90.0, 4.0 * index - 80] for index in range(42)])
    return _stack(origins, np.array([1.0, 0, 0]), np.array([0.0, 1, 0]), 0.5, (320, 320))


def _stack(
    origins: np.ndarray, row: np.ndarray, column: np.ndarray, px_mm: float, shape: tuple[int, int]
) -> Stack:
    count = len(origins)
    return Stack(
        pixels=np.broadcast_to(np.float32(0), (count, *shape)),
        origins_mm=origins,
        row_direction=row,
        column_direction=column,
        spacing_mm=(px_mm, px_mm),
        instance_numbers=np.arange(1, count + 1),
        files=tuple(f"{number}.dcm" for number in range(1, count + 1)),
    )
