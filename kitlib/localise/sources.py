"""Where a localiser's slices come from: a folder of DICOM or an array."""

from pathlib import Path

import numpy as np

from kitlib.errors import DataError
from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from kitlib.mri.stack import Stack


def read_folder(folder: Path, ledger: Ledger) -> dict[int, list[Stack]]:
    """The stacks of a series' or study's folder, by series.

    Series that are named by a number keep it as their id; others are counted from 1, in order of name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("there is no such folder", where=folder, hint="Give a folder of DICOM files.")
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    is_series = any(path.suffix.lower() == ".dcm" for path in folder.iterdir()) or not below
    folders = [folder] if is_series else below
    ids = [int(path.name) if path.name.isascii() and path.name.isdigit() else 0 for path in folders]
    if 0 in ids or len(set(ids)) < len(ids):
        ids = list(range(1, len(folders) + 1))
    return {one: read_series(path, ledger, series_id=one) for one, path in zip(ids, folders)}


def read_array(file: Path) -> np.ndarray:
    """The array in an .npy file; DataError for anything else."""
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"no array can be read: {error}", where=file, hint="Save it with numpy.save."
        ) from None
