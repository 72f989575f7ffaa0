"""Read the patient position, the rescaling and the contrast of each frame of a file.

Classic MR files have these at their root, Enhanced MR in functional groups, per frame or shared (DICOM PS3.3,
C.7.6.16).
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite

import numpy as np
from pydicom import Dataset

from kitlib.errors import SliceError
from kitlib.mri.dicom.header import Header, classified
from kitlib.mri.dicom.plain import text_of, value_of
from kitlib.mri.stack import orthonormal

ORTHONORMAL_TOLERANCE = 0.01  # headers round cosines, some to two decimals
FARTHEST_MM = 10_000.0
SPACING_MM = (0.1, 10.0)  # patients' spines have 0.2 to 1.1, coarse phantoms 3
FIELD_MM = 1000.0  # a whole spine is shorter
STEEPEST_SLOPE = FARTHEST_INTERCEPT = 1e6  # float32 has seven digits
MACROS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "MREchoSequence",
    "MRModifierSequence",
    "MRImageFrameTypeSequence",
    "FrameContentSequence",
)
CONTRAST = (
    ("echo time", "EffectiveEchoTime", "EchoTime"),
    ("echo number", "EchoNumbers", "EchoNumbers"),
    ("inversion time", "InversionTimes", "InversionTime"),
    ("image type", "FrameType", "ImageType"),
    ("part of complex values", "ComplexImageComponent", "ComplexImageComponent"),
    ("time in the series", "TemporalPositionIndex", "TemporalPositionIdentifier"),
    ("acquisition", "FrameAcquisitionNumber", "AcquisitionNumber"),
    ("series number", "SeriesNumber", "SeriesNumber"),
)
"""What may distinguish two images of one place, most reliable first: in words, and by header keyword."""
keyword2code = {
    "ImagePositionPatient": "slice.position",
    "ImageOrientationPatient": "slice.orientation",
    "PixelSpacing": "slice.spacing",
    "RescaleSlope": "slice.rescale",
    "RescaleIntercept": "slice.rescale",
    "SpacingBetweenSlices": "slice.spacing",
    "SliceThickness": "slice.spacing",
}


@dataclass(frozen=True, eq=False)
class Frame:
    """The position, rescaling and contrast of one frame."""

    origin_mm: np.ndarray  # (3,)
    directions: np.ndarray  # (2, 3) orthonormal: along growing columns, along growing rows
    spacing_mm: tuple[float, float]  # (between rows, between columns)
    slope: float
    intercept: float
    contrast: tuple[str, ...]  # in the order of CONTRAST, "" if unknown; for comparison only, never shown
    planned_mm: float  # to the next slice, by the header; NaN if unknown


def frame_items(dataset: Dataset, header: Header) -> list[list[Dataset]]:
    """For each frame, the items that describe it, its own before the shared ones; none in classic files."""
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


def read_frame(dataset: Dataset, items: Sequence[Dataset], header: Header) -> Frame:
    """Read one frame; raises SliceError if a number is missing, not finite or implausible."""
    sources = [*items, dataset]
    # With several frames each needs its own position: the one at the root would put them all in one place.
    origin_mm = _numbers(sources if header.frames == 1 else items, "ImagePositionPatient", 3)
    if max(map(abs, origin_mm)) > FARTHEST_MM:
        raise SliceError("slice.position", "ImagePositionPatient is not near a patient")
    directions = _directions(_numbers(sources, "ImageOrientationPatient", 6))
    rows_mm, columns_mm = _numbers(sources, "PixelSpacing", 2)
    if min(rows_mm, columns_mm) < SPACING_MM[0] or max(rows_mm, columns_mm) > SPACING_MM[1]:
        raise SliceError("slice.spacing", f"PixelSpacing is {[rows_mm, columns_mm]} mm")
    if (field_mm := max(rows_mm * header.rows, columns_mm * header.columns)) > FIELD_MM:
        raise SliceError("slice.spacing", f"by PixelSpacing the image is {field_mm:.0f} mm wide")
    (slope,) = _numbers(sources, "RescaleSlope", 1, default=1.0)
    if not 1 / STEEPEST_SLOPE <= abs(slope) <= STEEPEST_SLOPE:
        raise SliceError("slice.rescale", f"RescaleSlope is {slope:g}")
    (intercept,) = _numbers(sources, "RescaleIntercept", 1, default=0.0)
    if abs(intercept) > FARTHEST_INTERCEPT:
        raise SliceError("slice.rescale", f"RescaleIntercept is {intercept:g}")
    contrast = tuple(
        [_first(items, of_frame) or text_of(dataset, of_file) for _, of_frame, of_file in CONTRAST]
    )
    place = np.array(origin_mm), directions, (rows_mm, columns_mm)
    return Frame(*place, slope, intercept, contrast, _planned_mm(sources))


def _planned_mm(sources: Sequence[Dataset]) -> float:
    """The distance between slices by the header, or their thickness if the header gives the gap between."""
    stated_mm = [0.0]
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        with suppress(SliceError):
            stated_mm += _numbers(sources, keyword, 1)
    return max(stated_mm) or float("nan")


def _first(items: Sequence[Dataset], keyword: str) -> str:
    return next(filter(None, (text_of(item, keyword) for item in items)), "") if items else ""


@lru_cache(maxsize=256)
def _directions(numbers: tuple[float, ...]) -> np.ndarray:
    """Orthonormal directions (2, 3) from a header's numbers; cached, as most slices of a series agree."""
    cosines = np.array(numbers).reshape(2, 3)
    if not np.allclose(cosines @ cosines.T, np.eye(2), atol=2 * ORTHONORMAL_TOLERANCE):
        raise SliceError("slice.orientation", "ImageOrientationPatient is not two orthogonal unit vectors")
    directions = orthonormal(cosines)
    directions.flags.writeable = False
    return directions


def _numbers(
    sources: Sequence[Dataset], keyword: str, count: int, default: float | None = None
) -> tuple[float, ...]:
    """Read `count` finite numbers of a tag from the first source that has it."""
    code = keyword2code[keyword]
    with classified(code, f"{keyword} is not numbers"):
        found = (value_of(source, keyword) for source in sources)
        value = next((value for value in found if value is not None), default)
        if value is None:
            raise SliceError(code, f"{keyword} is missing")
        is_one = isinstance(value, str | bytes) or not isinstance(value, Iterable)
        numbers = tuple(float(part) for part in ([value] if is_one else value))  # type: ignore[union-attr]
    if len(numbers) != count:
        raise SliceError(code, f"{keyword} has {len(numbers)} values, not {count}")
    if not all(map(isfinite, numbers)):
        raise SliceError(code, f"{keyword} is not finite")
    return numbers
