"""Build a stack or study from slices in an array, by assuming a patient geometry."""

from pathlib import Path

import numpy as np

from kitlib.errors import DataError, UsageError
from kitlib.mri.stack import Stack
from kitlib.mri.study import Series, Study

NO_ID = 0  # of a study or series without a number
ARRAY_STEP_MM = 4.5  # between slices of an array, by default

# Of images as usually displayed: the directions along rows, along columns, and from slice to slice.
SAGITTAL_AXES = np.array([(0.0, 1, 0), (0, 0, -1), (1, 0, 0)])
AXIAL_AXES = np.array([(1.0, 0, 0), (0, 1, 0), (0, 0, 1)])


def array_study(
    images: np.ndarray, spacing_mm: float | tuple[float, float], step_mm: float = ARRAY_STEP_MM
) -> Study:
    """Build a study of one series from sagittal slices (n, H, W) or (H, W) without patient geometry.

    The head is up, the face to the left, and slices run from the patient's right to left. Raises DataError if
    the images are not grey slices, UsageError if a spacing is not a positive length.
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
    """Build a stack from slices (n, H, W), with the patient as images usually show one."""
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
    """Read the array in an .npy file; raises DataError for anything else."""
    try:
        with open(file, "rb") as content:
            return np.lib.format.read_array(content, allow_pickle=False)
    except (OSError, ValueError, MemoryError) as error:  # a header may claim any size
        hint = "Save it with numpy.save."
        raise DataError(f"no array can be read: {error}", where=file, hint=hint) from None
