"""Read the slices of DICOM files, or the faults that explain why there are none.

Refused, with the slice or the whole file dropped:
    slice.unreadable       the file cannot be opened
    slice.not_dicom        it is not a DICOM file
    slice.transfer_syntax  not on the allow-list of header.py
    slice.header           a required tag is missing or invalid
    slice.too_large        beyond the limits of header.py
    slice.colour           not a grey image
    slice.bits             impossible bit depths
    slice.frames           frames and their functional groups differ in number
    slice.position, slice.orientation, slice.spacing, slice.rescale
                           these numbers are missing, too many or few, not finite or implausible
    slice.modality         not MR
    slice.pixels           the pixels are missing, duplicated, truncated or do not decode
    slice.constant         every pixel has the same value
Recorded, with the slice kept:
    slice.instance_number  unknown, -1
    slice.stream           the compressed stream contradicts the header, or is malformed
    slice.unused_bits      bits outside the pixel value are used
    slice.sign             negative values in a magnitude image: its sign tag may be wrong
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import numpy as np
from pydicom import Dataset

from kitlib.errors import SliceError
from kitlib.machine import Map
from kitlib.mri.dicom.frames import Frame, frame_items, read_frame
from kitlib.mri.dicom.header import LIMITS, Header, Limits, judge, open_dataset, read_pixel_bytes
from kitlib.mri.dicom.pixels import Doubt, stored_values
from kitlib.mri.ledger import Fault, as_text

KEPT, DROPPED, FILE_DROPPED = "slice kept", "slice dropped", "file dropped"
NEGATIVE_SHARE = 0.01
AT_ONCE, AT_ONCE_MB = 16, 32.0  # files in memory at once, and their largest total size
ALIGNED = 16  # bytes, for numbers of any size


@dataclass(frozen=True, eq=False)
class Slice:
    """One image with its patient position."""

    stored: np.ndarray  # (H, W) integers, not yet rescaled
    frame: Frame
    header: Header  # of its file
    file: str
    number: int = 0  # of the frame in its file

    @property
    def instance_number(self) -> int:
        """The instance number of its file, -1 if unknown."""
        return self.header.instance_number

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
    """A file whose header was read and validated, with its pixels still encoded."""

    file: str
    faults: list[Fault]
    header: Header | None = None
    frames: dict[int, Frame] = field(default_factory=dict)  # those with a patient position, by number
    pixels: tuple[bytes | memoryview, str] = b"", ""


def read_files(
    paths: Iterable[Path], limits: Limits = LIMITS, each: Map = map
) -> Iterator[tuple[list[Slice], list[Fault]]]:
    """Yield the slices and the faults of each file; bad data never raises.

    `each`, the built-in `map` or one like it, is used where threads help: to read files and to decode pixels.
    Headers are read in between, as that is Python code. Those of pydicom's warnings that matter are faults;
    silencing the warnings is left to the caller.
    """
    for batch in _batches(paths, limits):
        contents = _contents(batch, each)
        described = [_describe(path, content, limits) for (path, _), content in zip(batch, contents)]
        del contents
        yield from each(_decode, described)


def _batches(paths: Iterable[Path], limits: Limits) -> Iterator[list[tuple[Path, int | SliceError]]]:
    """Yield batches of files to hold in memory, with their sizes: several usual ones or one large one."""
    batch: list[tuple[Path, int | SliceError]] = []
    total = 0
    for path in paths:
        size = _size(path, limits)
        own = 0 if isinstance(size, SliceError) else size
        if batch and (len(batch) == AT_ONCE or total + own > AT_ONCE_MB * 1e6):
            yield batch
            batch, total = [], 0
        batch.append((path, size))
        total += own
    if batch:
        yield batch


def _size(path: Path, limits: Limits) -> int | SliceError:
    try:
        if not path.is_file():
            return SliceError("slice.unreadable", "this is no regular file")
        size = path.stat().st_size
    except OSError as error:
        return _unopened(error)
    if size / 1e6 > limits.file_mb:
        return SliceError("slice.too_large", f"the file has {size / 1e6:.0f} MB")
    return size


def _contents(batch: Sequence[tuple[Path, int | SliceError]], each: Map) -> list[memoryview | SliceError]:
    """Read files into one buffer: a large one is allocated in large pages, in a third of the time."""
    rooms = [0 if isinstance(size, SliceError) else -(-size // ALIGNED) * ALIGNED for _, size in batch]
    buffer = np.empty(sum(rooms), np.uint8).data
    parts = [buffer[end - room : end] for end, room in zip(accumulate(rooms), rooms)]
    return list(each(_read_into, parts, *zip(*batch)))


def _read_into(part: memoryview, path: Path, size: int | SliceError) -> memoryview | SliceError:
    """Read a file into a part of the buffer, and return the part that it fills."""
    if isinstance(size, SliceError):
        return size
    count = 0
    try:
        with open(path, "rb", buffering=0) as file:
            while count < size and (more := file.readinto(part[count:size])):
                count += more
    except OSError as error:
        return _unopened(error)
    return part[:count]


def _unopened(error: OSError) -> SliceError:
    return SliceError("slice.unreadable", f"the file cannot be opened: {type(error).__name__}")


def _describe(path: Path, content: memoryview | SliceError, limits: Limits) -> _Described:
    file = as_text(path.name)
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
        values, odd = stored_values(header, *described.pixels)
    except SliceError as error:
        return [], [*faults, _dropped(file, error)]
    slices = []
    for index, frame in described.frames.items():
        piece = Slice(values[index], frame, header, file, index)
        lowest, highest = float(piece.stored.min()), float(piece.stored.max())
        if lowest == highest:
            faults.append(
                Fault("slice.constant", DROPPED, file=file, detail="every pixel has the same value")
            )
            continue
        slices.append(piece)
        odd += _doubts(piece, min(lowest * frame.slope, highest * frame.slope) + frame.intercept)
    doubts = [Fault(code, KEPT, file=file, detail=detail) for code, detail in odd]
    return slices, [*faults, *doubts]


def _dropped(file: str, error: SliceError) -> Fault:
    return Fault(error.code, FILE_DROPPED, file=file, detail=error.what)


def _frames(dataset: Dataset, header: Header, file: str, faults: list[Fault]) -> Iterator[tuple[int, Frame]]:
    """Yield the frames with a patient position, with their number in the file."""
    for index, items in enumerate(frame_items(dataset, header)):
        try:
            yield index, read_frame(dataset, items, header)
        except SliceError as error:
            faults.append(Fault(error.code, DROPPED, file=file, detail=error.what))


def _doubts(piece: Slice, darkest: float) -> Iterator[Doubt]:
    """Yield the code and detail of faults in a slice that are no reason to drop it."""
    header, slope, intercept = piece.header, piece.frame.slope, piece.frame.intercept
    if header.instance_number < 0:
        yield "slice.instance_number", "InstanceNumber is unknown"
    is_magnitude = header.is_signed and not header.is_inverted and intercept >= 0
    if is_magnitude and darkest < 0 and (piece.stored * slope < -intercept).mean() > NEGATIVE_SHARE:
        yield "slice.sign", "negative values in a magnitude image"
