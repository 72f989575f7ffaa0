"""Small stacks and tables to test with."""

import numpy as np
import pandas as pd

from kitlib.mri.stack import Stack
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2

# Directions of the columns and rows of an image, and of the slices, in LPS.
DIRECTIONS = {
    "sagittal": ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
    "axial": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}


def make_stack(
    plane: str = "sagittal", shape: tuple[int, int, int] = (5, 40, 32), *, seed: int = 0, step_mm: float = 4.0
) -> Stack:
    """A stack of noise whose slices are numbered along it."""
    row, column, normal = (np.asarray(direction, float) for direction in DIRECTIONS[plane])
    places = np.arange(shape[0])
    return Stack(
        pixels=np.random.default_rng(seed).gamma(2, 100, shape).astype(np.float32),
        origins_mm=np.array([-30.0, -100.0, 50.0]) + places[:, None] * step_mm * normal,
        row_direction=row,
        column_direction=column,
        spacing_mm=(1.0, 1.5),
        instance_numbers=places + 1,
        files=tuple(f"{place + 1}.dcm" for place in places),
    )


def make_series(studies: int = 3) -> pd.DataFrame:
    """Three series per study: T1, T2 and axial."""
    rows = [
        {"study_id": study, "series_id": 10 * study + number, "sequence": sequence, "folder": "absent"}
        for study in range(1, studies + 1)
        for number, sequence in enumerate((SAGITTAL_T1, SAGITTAL_T2, AXIAL_T2))
    ]
    return pd.DataFrame(rows)
