"""Decode run-length encoded frames (DICOM PS3.5, annex G).

pydicom is as fast, but lets a bad stream grow to 64 times its length; nothing here grows beyond the image, so
it needs no separate process.
"""

from collections.abc import Iterator
from itertools import pairwise
from struct import Struct

import numpy as np

from kitlib.errors import SliceError
from kitlib.mri.dicom.header import Header

HEAD = Struct("<16L")
NO_RUN = 128  # smaller numbers count literal bytes that follow, larger ones repeats of one byte


def decoded_rle(header: Header, frames: list[bytes]) -> tuple[np.ndarray, bool]:
    """Decode values (frames, rows, columns), and whether frames hold more; SliceError if they hold less."""
    count, is_longer = header.rows * header.columns, False
    bytes_a_value = header.bits_allocated // 8
    values = np.empty((header.frames, count, bytes_a_value), np.uint8)
    for frame, own in zip(frames, values):
        for index, segment in enumerate(_segments(header, frame)):
            plane, rest = _unpacked(segment, count)
            own[:, bytes_a_value - 1 - index] = np.frombuffer(
                plane, np.uint8, count
            )  # the highest byte first
            is_longer |= len(plane) > count or rest > 1  # a segment may be padded to an even length
    shape = header.frames, header.rows, header.columns
    return values.view(f"<u{bytes_a_value}").reshape(shape), is_longer


def _segments(header: Header, frame: bytes) -> Iterator[bytes]:
    """Yield the segment of each byte of a value; segments must be in order and within the frame."""
    if len(frame) < HEAD.size:
        raise SliceError("slice.pixels", "an RLE frame without a header")
    count, *offsets = HEAD.unpack_from(frame)
    if count != header.bits_allocated // 8:
        raise SliceError("slice.pixels", f"{count} RLE segments for {header.bits_allocated} bits")
    places = [*offsets[:count], len(frame)]
    if places[0] != HEAD.size or any(after <= before for before, after in pairwise(places)):
        raise SliceError("slice.pixels", "RLE segments are not in order within the frame")
    if any(offsets[count:]):
        raise SliceError("slice.pixels", "the RLE header has places of segments that it does not count")
    for start, end in pairwise(places):
        yield frame[start:end]


def _unpacked(segment: bytes, count: int) -> tuple[bytearray, int]:
    """Unpack at least `count` bytes, less than one run more, and return how much of the segment is left."""
    plane, place, length = bytearray(), 0, len(segment)
    while len(plane) < count:
        if place + 1 >= length:
            raise SliceError("slice.pixels", "an RLE segment is cut short")
        run = segment[place]
        if run < NO_RUN:
            plane += segment[place + 1 : place + 2 + run]
            place += 2 + run
        elif run > NO_RUN:
            plane += segment[place + 1 : place + 2] * (257 - run)
            place += 2
        else:
            place += 1
    if place > length:
        raise SliceError("slice.pixels", "an RLE segment is cut short")
    return plane, length - place
