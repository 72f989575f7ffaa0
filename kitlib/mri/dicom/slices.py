"""The slices of one DICOM file, or the faults that say why there are none.

Refused, and the slice or the whole file dropped:
    slice.unreadable       the file cannot be opened
    slice.not_dicom        it is no DICOM file
    slice.transfer_syntax  not on the allow-list of limits.py
    slice.header           a needed tag is missing or senseless
    slice.too_large        beyond the limits of limits.py
    slice.colour           not a grey image
    slice.bits             bit depths that cannot be
    slice.frames           frames and their functional groups differ in number
    slice.position, slice.orientation, slice.spacing, slice.rescale
                           the numbers of that name are missing, too many or few, not finite or senseless
    slice.pixels           the pixels are missing, cut short or do not decode
Noted, and the slice kept:
    slice.instance_number  unknown, -1
    slice.modality         not MR
    slice.constant         every pixel has the same value
    slice.sign             negative values in a magnitude image: its sign tag may be wrong
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from pydicom import Dataset

from kitlib.errors import SliceError
from kitlib.machine import Map
from kitlib.mri.dicom.frames import Frame, frame_items, read_frame
from kitlib.mri.dicom.header import Header, judge, open_dataset, read_pixel_bytes
from kitlib.mri.dicom.limits import LIMITS, Limits
from kitlib.mri.dicom.pixels import stored_values
from kitlib.mri.ledger import Fault

KEPT, DROPPED, FILE_DROPPED = "slice kept", "slice dropped", "file dropped"
NEGATIVE_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class Slice:
    """One image with its place in the patient."""

    stored: np.ndarray  # (H, W) integers, not yet rescaled
    frame: Frame
    instance_number: int  # -1 unknown
    file: str

    def rescale_into(self, pixels: np.ndarray) -> None:
        """Write the rescaled values into an array (H, W) of float32."""
        if self.frame.slope == 1:
            np.copyto(pixels, self.stored, casting="same_kind")  # in half the time
        else:
            np.multiply(self.stored, np.float32(self.frame.slope), out=pixels, casting="same_kind")
        if self.frame.intercept:
            pixels += np.float32(self.frame.intercept)


@dataclass(frozen=True, eq=False)
class _Described:
    """A file whose header was read and judged, with its pixels still encoded."""

    file: str
    faults: list[Fault]
    header: Header | None = None
    frames: dict[int, Frame] = field(default_factory=dict)  # those with a place in the patient, by number
    pixels: tuple[bytes | memoryview, str] = b"", ""


def read_files(
    paths: Sequence[Path], limits: Limits = LIMITS, each: Map = map
) -> Iterator[tuple[list[Slice], list[Fault]]]:
    """For each file its slices and its faults; bad data never raises.

    `each` maps, as the built-in does, what gains by threads: files are read and pixels are decoded there.
    Headers are read in between, for they are work of the interpreter. What pydicom warns of, and matters,
    is a fault; its warnings are the caller's to silence.
    """
    contents = list(each(partial(_content, limits=limits), paths))
    described = [_describe(path, content, limits) for path, content in zip(paths, contents)]
    return each(_decode, described)


def _content(path: Path, limits: Limits) -> bytes | SliceError:
    try:
        if not path.is_file():
            return SliceError("slice.unreadable", "this is no regular file")
        size_mb = path.stat().st_size / 1e6
        if size_mb > limits.file_mb:
            return SliceError("slice.too_large", f"the file has {size_mb:.0f} MB")
        return path.read_bytes()
    except OSError as error:
        return SliceError("slice.unreadable", f"the file cannot be opened: {type(error).__name__}")


def _describe(path: Path, content: bytes | SliceError, limits: Limits) -> _Described:
    file = path.name.encode(errors="replace").decode()  # undecodable names would not fit into a table
    faults: list[Fault] = []
    try:
        if isinstance(content, SliceError):
            raise content
        dataset, syntax, start = open_dataset(content)
        header = judge(dataset, syntax, limits)
        frames = dict(_frames(dataset, header, file, faults))
        pixels = read_pixel_bytes(content, start, syntax) if frames else (b"", "")
    except SliceError as error:
        return _Described(file, [*faults, _dropped(file, error)])
    return _Described(file, faults, header, frames, pixels)


def _decode(described: _Described) -> tuple[list[Slice], list[Fault]]:
    file, header, faults = described.file, described.header, described.faults
    if header is None or not described.frames:
        return [], faults
    try:
        values = stored_values(header, *described.pixels)
    except SliceError as error:
        return [], [*faults, _dropped(file, error)]
    slices = [
        Slice(values[index], frame, header.instance_number, file) for index, frame in described.frames.items()
    ]
    doubts = [
        Fault(code, KEPT, file=file, detail=detail)
        for piece in slices
        for code, detail in _doubts(header, piece)
    ]
    return slices, [*faults, *doubts]


def _dropped(file: str, error: SliceError) -> Fault:
    return Fault(error.code, FILE_DROPPED, file=file, detail=error.what)


def _frames(dataset: Dataset, header: Header, file: str, faults: list[Fault]) -> Iterator[tuple[int, Frame]]:
    """The frames that have a place in the patient, by their number in the file."""
    for index, items in enumerate(frame_items(dataset, header)):
        try:
            yield index, read_frame(dataset, items, is_only=header.frames == 1)
        except SliceError as error:
            faults.append(Fault(error.code, DROPPED, file=file, detail=error.what))


def _doubts(header: Header, piece: Slice) -> Iterator[tuple[str, str]]:
    """Code and detail of what is odd about a slice and yet no reason to drop it."""
    if header.instance_number < 0:
        yield "slice.instance_number", "InstanceNumber is unknown"
    if header.modality not in ("MR", ""):
        yield "slice.modality", "the modality is not MR"
    lowest, highest = piece.stored.min(), piece.stored.max()
    if lowest == highest:
        yield "slice.constant", "every pixel has the same value"
    is_magnitude = header.is_signed and not header.is_inverted and piece.frame.intercept >= 0
    slope, intercept = piece.frame.slope, piece.frame.intercept
    darkest = min(float(lowest) * slope, float(highest) * slope) + intercept
    if is_magnitude and darkest < 0 and (piece.stored * slope < -intercept).mean() > NEGATIVE_SHARE:
        yield "slice.sign", "negative values in a magnitude image"
