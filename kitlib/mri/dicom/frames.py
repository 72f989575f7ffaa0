"""Where each frame of a file lies in the patient, and how its values are rescaled.

Classic MR files hold this at their root, Enhanced MR in functional groups, per frame or shared (DICOM PS3.3,
C.7.6.16).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pydicom import Dataset

from kitlib.errors import SliceError
from kitlib.mri.dicom.header import Header, classified
from kitlib.mri.dicom.plain import value_of
from kitlib.mri.stack import orthonormal

ORTHONORMAL_TOLERANCE = 0.01  # headers round cosines, some to two decimals
FARTHEST_MM = 10_000.0
SPACING_MM = (0.01, 50.0)
STEEPEST_SLOPE = 1e6
MACROS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
)
keyword2code = {
    "ImagePositionPatient": "slice.position",
    "ImageOrientationPatient": "slice.orientation",
    "PixelSpacing": "slice.spacing",
    "RescaleSlope": "slice.rescale",
    "RescaleIntercept": "slice.rescale",
}


@dataclass(frozen=True, eq=False)
class Frame:
    """The place and the rescaling of one frame."""

    origin_mm: np.ndarray  # (3,)
    directions: np.ndarray  # (2, 3) orthonormal: along growing columns, along growing rows
    spacing_mm: tuple[float, float]  # (between rows, between columns)
    slope: float
    intercept: float


def frame_items(dataset: Dataset, header: Header) -> list[list[Dataset]]:
    """For each frame the items that describe it, its own before the shared ones; none in classic files."""
    with classified("slice.frames", "the functional groups do not parse"):
        per_frame = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
        shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
        if per_frame and len(per_frame) != header.frames:
            raise SliceError("slice.frames", f"{header.frames} frames but {len(per_frame)} functional groups")
        return [
            [
                item
                for group in [*per_frame[index : index + 1], *shared]
                for macro in MACROS
                for item in (group.get(macro) or [])[:1]
            ]
            for index in range(header.frames)
        ]


def read_frame(dataset: Dataset, items: Sequence[Dataset], *, is_only: bool) -> Frame:
    """The place of one frame; SliceError where a number is missing, not finite or senseless."""
    sources = [*items, dataset]
    # Of many frames each needs its own position: the one at the root would put them all in one place.
    origin = _numbers(sources if is_only else items, "ImagePositionPatient", 3)
    if np.abs(origin).max() > FARTHEST_MM:
        raise SliceError("slice.position", "ImagePositionPatient is not near a patient")
    directions = _directions(tuple(_numbers(sources, "ImageOrientationPatient", 6).tolist()))
    spacing = _numbers(sources, "PixelSpacing", 2)
    if spacing.min() < SPACING_MM[0] or spacing.max() > SPACING_MM[1]:
        raise SliceError("slice.spacing", f"PixelSpacing is {spacing.tolist()} mm")
    slope = float(_numbers(sources, "RescaleSlope", 1, default=1.0)[0])
    if not 1 / STEEPEST_SLOPE <= abs(slope) <= STEEPEST_SLOPE:
        raise SliceError("slice.rescale", f"RescaleSlope is {slope:g}")
    intercept = float(_numbers(sources, "RescaleIntercept", 1, default=0.0)[0])
    return Frame(origin, directions, (float(spacing[0]), float(spacing[1])), slope, intercept)


@lru_cache(maxsize=256)
def _directions(numbers: tuple[float, ...]) -> np.ndarray:
    """Orthonormal directions (2, 3) of the numbers of a header, which most slices of a series share."""
    cosines = np.array(numbers).reshape(2, 3)
    if not np.allclose(cosines @ cosines.T, np.eye(2), atol=2 * ORTHONORMAL_TOLERANCE):
        raise SliceError("slice.orientation", "ImageOrientationPatient is not two orthogonal unit vectors")
    directions = orthonormal(cosines)
    directions.flags.writeable = False
    return directions


def _numbers(
    sources: Sequence[Dataset], keyword: str, count: int, default: float | None = None
) -> np.ndarray:
    """The finite numbers (count,) of a tag in the first source that has it."""
    code = keyword2code[keyword]
    with classified(code, f"{keyword} is not numbers"):
        found = (value_of(source, keyword) for source in sources)
        value = next((value for value in found if value is not None), default)
        if value is None:
            raise SliceError(code, f"{keyword} is missing")
        numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if numbers.shape != (count,):
        raise SliceError(code, f"{keyword} has {numbers.size} values, not {count}")
    if not np.isfinite(numbers).all():
        raise SliceError(code, f"{keyword} is not finite")
    return numbers
