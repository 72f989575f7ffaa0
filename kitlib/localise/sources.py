"""Slices that come as an array, without a place in a patient: given one."""

from pathlib import Path

import numpy as np

from kitlib.errors import DataError, UsageError
from kitlib.mri.stack import Stack
from kitlib.mri.study import Series, Study

NO_ID = 0  # of a study or series that has no number
ARRAY_STEP_MM = 4.5  # between slices of an array, where nothing else is said

# Of images as they are usually shown: the direction along rows, along columns, and from slice to slice.
SAGITTAL_AXES = np.array([(0.0, 1, 0), (0, 0, -1), (1, 0, 0)])
AXIAL_AXES = np.array([(1.0, 0, 0), (0, 1, 0), (0, 0, 1)])


def array_study(
    images: np.ndarray, spacing_mm: float | tuple[float, float], step_mm: float = ARRAY_STEP_MM
) -> Study:
    """The study of one series of sagittal slices (n, H, W) or (H, W) that have no place in a patient.

    The head is up, the face to the left, and slices run from the patient's right to left. DataError where
    these are no slices, UsageError where a size is no length.
    """
    images = np.asarray(images)
    images = images[None] if images.ndim == 2 else images
    if images.ndim != 3 or images.dtype.kind not in "buif" or not images.size:
        shape = f"{images.shape} of {images.dtype}"
        raise DataError("these are no grey slices", where=shape, hint="Give numbers (n, rows, columns).")
    by_row, by_column = np.broadcast_to(spacing_mm, 2).tolist()
    if not (min(by_row, by_column, step_mm) > 0 and np.isfinite([by_row, by_column, step_mm]).all()):
        raise UsageError(f"spacing {spacing_mm}, step {step_mm} mm", hint="Both are millimetres above 0.")
    stack = array_stack(images, (by_row, by_column), step_mm)
    return Study(NO_ID, (Series(NO_ID, None, (stack,)),))


def array_stack(
    images: np.ndarray,
    spacing_mm: tuple[float, float],
    step_mm: float = ARRAY_STEP_MM,
    *,
    axial: bool = False,
) -> Stack:
    """Slices (n, H, W) as a stack in a patient who lies as images usually show one."""
    right, down, normal = AXIAL_AXES if axial else SAGITTAL_AXES
    slices = np.arange(len(images))
    return Stack(
        pixels=images.astype(np.float32, copy=False),
        origins_mm=slices[:, None] * step_mm * normal,
        row_direction=right,
        column_direction=down,
        spacing_mm=spacing_mm,
        instance_numbers=slices + 1,
        files=("",) * len(images),
    )


def read_array(file: Path) -> np.ndarray:
    """The array in an .npy file; DataError for anything else."""
    try:
        with open(file, "rb") as content:
            return np.lib.format.read_array(content, allow_pickle=False)
    except (OSError, ValueError, MemoryError) as error:  # a header may ask for more than there is
        hint = "Save it with numpy.save."
        raise DataError(f"no array can be read: {error}", where=file, hint=hint) from None
