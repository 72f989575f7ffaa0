"""Picking an example that can be shown: data may lack a sequence, and a series may be unreadable."""

from pathlib import Path

import pandas as pd

from kitlib.errors import DataError
from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from kitlib.mri.stack import Plane, Stack


def first_readable(series: pd.DataFrame, plane: Plane = "sagittal") -> tuple[int, Stack]:
    """The study and the largest stack of the first series of that plane, else of the first that can be read.

    `series` has study_id and folder; DataError where nothing can be read.
    """
    other: tuple[int, Stack] | None = None
    for study_id, folder in zip(series["study_id"], series["folder"]):
        stacks = read_series(Path(folder), Ledger())
        if stacks and stacks[0].plane == plane:
            return int(study_id), stacks[0]
        if stacks and other is None:
            other = int(study_id), stacks[0]
    if other is None:
        raise DataError(
            f"none of {len(series)} series can be read",
            hint="Without images only 01_eda runs. Give the folder that holds train_images.",
        )
    return other
