"""Compressed frames, checked against the file before any decoder sees them.

Decoders believe what a stream says of itself: a kilobyte of JPEG 2000 can hold an image of a billion pixels,
and a fragment may claim two gigabytes. So lengths are followed to their ends here, sizes are compared with
the DICOM header's, and the frames are handed on without the fragments that they came in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct

from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import (
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from kitlib.errors import SliceError
from kitlib.mri.dicom.header import Header, classified

LARGEST_GROWTH = 2  # a codec may enlarge noise a little, never this much
SLACK_BYTES = 2**16
ITEM, ITEMS_END = 0xE000FFFE, 0xE0DDFFFE  # DICOM PS3.5, A.4
ITEM_HEAD = Struct("<LL")

# Markers of ITU T.81 (JPEG), T.87 (JPEG-LS) and T.800 (JPEG 2000).
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
SEQUENTIAL, PILLOW_FRAMES, LOSSLESS, JPEG_LS = {0xC0, 0xC1}, {0xC0, 0xC1, 0xC2}, 0xC3, 0xF7
FILL, SCAN, IMAGE_END = 0xFF, 0xDA, b"\xff\xd9"
JPEG2000_START, SIZE, CODING_STYLE, QUANTISATION, TILE = b"\xff\x4f\xff\x51", 0x51, 0x52, 0x5C, 0x90
REVERSIBLE = 1  # the wavelet that loses nothing; it has one exponent for each of three bands a level
PILLOW_JPEG_BITS, PILLOW_JPEG2000_BITS = 8, 16


@dataclass(frozen=True)
class Streams:
    """The frames of a file, each a whole stream, and what its header leaves in doubt."""

    frames: list[bytes]
    is_for_itk: bool  # pydicom has no decoder for them here
    doubts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Stream:
    """What a stream says of itself."""

    rows: int
    columns: int
    bits: int
    is_for_itk: bool
    doubts: frozenset[str] = frozenset()
    is_signed: bool | None = None  # None: it does not say


def checked_streams(header: Header, encoded: bytes) -> Streams:
    """The frames of encapsulated pixels; SliceError where they are not what the header says."""
    native_bytes = header.frames * header.rows * header.columns * header.bits_allocated // 8
    if len(encoded) > LARGEST_GROWTH * native_bytes + SLACK_BYTES:
        raise SliceError("slice.too_large", f"{len(encoded)} compressed bytes for {native_bytes}")
    with classified("slice.pixels", "the compressed frames do not parse"):
        _check_items(header, encoded)
        frames = list(generate_frames(encoded, number_of_frames=header.frames))
        if len(frames) != header.frames:
            raise SliceError("slice.pixels", f"{len(frames)} compressed frames, not {header.frames}")
        if header.transfer_syntax == RLELossless:
            return Streams(frames, is_for_itk=False)  # `rle.py` checks what it decodes
        return _checked_codestreams(header, frames)


def _check_items(header: Header, encoded: bytes) -> None:
    """Follow the fragments to the end of the pixels, and the table of frames to fragments that exist."""
    places = list(_items(encoded))
    first, *fragments = places
    if not fragments or first[1] % 4:
        raise SliceError("slice.pixels", "no compressed frames")
    start = fragments[0][0]
    table = [
        int.from_bytes(encoded[at : at + 4], "little")
        for at in range(first[0] + 8, first[0] + 8 + first[1], 4)
    ]
    if table and (len(table) != header.frames or table[0] or any(b <= a for a, b in pairwise(table))):
        raise SliceError("slice.pixels", "the table of frames is not in order")
    if not {start + offset for offset in table} <= {place for place, _ in fragments}:
        raise SliceError("slice.pixels", "the table of frames points beside them")


def _items(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Where each item begins and how long its content is, the table of frames first."""
    place = 0
    while place < len(encoded):
        tag, length = ITEM_HEAD.unpack_from(encoded, place)
        if tag == ITEMS_END:
            return
        if tag != ITEM or place + ITEM_HEAD.size + length > len(encoded):
            raise SliceError("slice.pixels", "a compressed frame is longer than the file")
        yield place, length
        place += ITEM_HEAD.size + length


def _checked_codestreams(header: Header, frames: list[bytes]) -> Streams:
    is_jpeg2000 = header.transfer_syntax in JPEG2000TransferSyntaxes
    streams = [(_jpeg2000 if is_jpeg2000 else _jpeg)(header, frame) for frame in frames]
    doubts: set[str] = set()
    for stream in streams:
        if (stream.rows, stream.columns) != (header.rows, header.columns):
            raise SliceError("slice.pixels", f"the stream holds an image of {stream.rows, stream.columns}")
        if stream.bits > header.bits_allocated:
            raise SliceError("slice.pixels", f"{stream.bits} bits a pixel in {header.bits_allocated}")
        # Some writers give the bits allocated.
        if stream.bits not in (header.bits_stored, header.bits_allocated):
            doubts.add(f"{stream.bits} bits a pixel in the stream, {header.bits_stored} in the header")
        if stream.is_signed not in (None, header.is_signed):
            doubts.add("the stream and the header differ in whether values have a sign")
        doubts |= stream.doubts
    is_for_itk = not get_decoder(header.transfer_syntax).is_available
    return Streams(frames, is_for_itk or any(stream.is_for_itk for stream in streams), frozenset(doubts))


def _jpeg(header: Header, frame: bytes) -> _Stream:
    """What a JPEG or JPEG-LS stream says, from its start to its first scan."""
    found: dict[int, bytes] = {}
    for marker, segment in _segments(frame, 2, SCAN):
        if marker in FRAMES and not FRAMES.isdisjoint(found):
            raise SliceError("slice.pixels", "a stream of two images")
        found[marker] = segment
    (kind,) = FRAMES & set(found)
    image, scan = found[kind], found[SCAN]
    if image[5] != 1 or len(image) != 9 or scan[0] != 1 or len(scan) != 6:
        raise SliceError("slice.pixels", "the stream is not of grey pixels")
    bits, rows, columns = image[0], _number(image, 1, 2), _number(image, 3, 2)
    is_for_itk = kind not in PILLOW_FRAMES or bits != PILLOW_JPEG_BITS
    doubts = set(_scan_doubts(header, kind, scan))
    if not frame.rstrip(b"\0").endswith(IMAGE_END):
        doubts.add("the stream has no end")
    return _Stream(rows, columns, bits, is_for_itk, frozenset(doubts))


def _scan_doubts(header: Header, kind: int, scan: bytes) -> Iterator[str]:
    """What the parameters of a scan (T.81, B.2.3; T.87, C.2.3) leave in doubt; SliceError if it is none."""
    first, last, shift = scan[3:]
    syntax = header.transfer_syntax
    if kind in SEQUENTIAL and (first, last, shift) != (0, 63, 0):
        raise SliceError("slice.pixels", "the scan is of a part of the image")
    if kind == JPEG_LS:
        if last or shift:
            raise SliceError("slice.pixels", "the scan is not of grey pixels")
        if first and syntax == JPEGLSLossless:
            yield "the stream is not lossless, as the header says"
    if kind == LOSSLESS:
        if not 1 <= first <= 7 or last or shift > 15:
            raise SliceError("slice.pixels", "the scan has no predictor")
        if shift or (first != 1 and syntax == JPEGLosslessSV1):
            yield "the stream is not predicted as the header says"


def _jpeg2000(header: Header, frame: bytes) -> _Stream:
    """What the main header of a JPEG 2000 stream says."""
    start = frame.index(JPEG2000_START)
    found = dict(_segments(frame, start + 2, TILE))
    size, style, quantisation = found[SIZE], found[CODING_STYLE], found[QUANTISATION]
    width, height, left, top = (_number(size, 2 + 4 * index, 4) for index in range(4))
    if _number(size, 34, 2) != 1 or len(size) != 39 or size[37:] != b"\1\1":
        raise SliceError("slice.pixels", "the stream is not of grey pixels")
    levels, is_lossless, quantised = style[5], style[9] == REVERSIBLE, quantisation[0] & 0x1F
    if is_lossless and (quantised or len(quantisation) != 2 + 3 * levels):
        raise SliceError("slice.pixels", "the stream is said to be lossless, and is quantised")
    doubts = set()
    if not is_lossless and header.transfer_syntax == JPEG2000Lossless:
        doubts.add("the stream is not lossless, as the header says")
    if not frame.rstrip(b"\0").endswith(IMAGE_END):
        doubts.add("the stream has no end")
    bits, is_signed = (size[36] & 0x7F) + 1, bool(size[36] & 0x80)
    is_for_itk = bits > PILLOW_JPEG2000_BITS
    return _Stream(height - top, width - left, bits, is_for_itk, frozenset(doubts), is_signed)


def _segments(frame: bytes, place: int, last: int) -> Iterator[tuple[int, bytes]]:
    """The marker segments from `place` up to the one of marker `last`, each within the frame."""
    while True:
        while frame[place] == frame[place + 1] == FILL:
            place += 1
        marker, length = frame[place + 1], _number(frame, place + 2, 2)
        end = place + 2 + length
        if frame[place] != FILL or length < 2 or end > len(frame):
            raise SliceError("slice.pixels", "a segment of the stream is longer than the frame")
        yield marker, frame[place + 4 : end]
        if marker == last:
            return
        place = end


def _number(content: bytes, place: int, count: int) -> int:
    return int.from_bytes(content[place : place + count], "big")
