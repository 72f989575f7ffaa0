"""Orientation in the patient: DICOM's LPS axes, so +x is the patient's left, +y the back, +z the head."""

from typing import Literal

import numpy as np

Plane = Literal["sagittal", "axial", "coronal", "oblique"]
PLANES: tuple[Plane, ...] = ("sagittal", "coronal", "axial")  # whose normal is nearest to x, y, z
OBLIQUE_COSINE = np.cos(np.radians(45))


def normal_of(row_direction: np.ndarray, column_direction: np.ndarray) -> np.ndarray:
    """The (3,) unit normal that points to the patient's left, back or head, whichever is nearest."""
    normal = np.cross(row_direction, column_direction)
    return normal * np.sign(normal[np.abs(normal).argmax()])


def plane_of(normal: np.ndarray) -> Plane:
    """The anatomical plane within 45 degrees of which slices with this normal lie, else "oblique"."""
    cosines = np.abs(normal)
    return PLANES[cosines.argmax()] if cosines.max() > OBLIQUE_COSINE else "oblique"


def orthonormal(directions: np.ndarray) -> np.ndarray:
    """The pair of orthogonal unit vectors (2, 3) nearest to two almost orthogonal, almost unit ones."""
    left, _, right = np.linalg.svd(directions, full_matrices=False)
    return left @ right
