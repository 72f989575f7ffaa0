"""Parse the headers of JPEG, JPEG-LS and JPEG 2000 streams, up to where their samples begin.

Markers and segments are those of ITU T.81 (JPEG), T.87 (JPEG-LS) and T.800 (JPEG 2000). Other content raises
SliceError, or whatever error a missing byte or marker causes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.uid import UID, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless

from kitlib.errors import SliceError

FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
SEQUENTIAL, PROGRESSIVE, LOSSLESS, JPEG_LS = {0xC0, 0xC1}, 0xC2, 0xC3, 0xF7
FILL, HUFFMAN, SCAN, SCAN_START, IMAGE_END = 0xFF, 0xC4, 0xDA, b"\xff\xda", b"\xff\xd9"
MOST_SCANS = 64  # of a progressive stream, which has about ten; each costs the decoder a pass over the image
JPEG2000_START, TILE_START = b"\xff\x4f\xff\x51", b"\xff\x90"
SIZE, CODING_STYLE, QUANTISATION, TILE = 0x51, 0x52, 0x5C, 0x90
SHORTEST_TILE_BYTES = 14  # of its two markers
REVERSIBLE = 1  # the lossless wavelet; it has one exponent for each of three bands per level
OBLONG_BLOCKS = {(4, 3), (5, 3)}  # 64 x 32 and 128 x 32, as hardware encoders use
HIGH_THROUGHPUT = 0xC0  # the only code block styles in use
PILLOW_JPEG_BITS, PILLOW_JPEG2000_BITS = 8, 16


@dataclass(frozen=True)
class Codestream:
    """The properties that a stream declares."""

    rows: int
    columns: int
    bits: int
    is_for_itk: bool  # pydicom's decoders do not support it
    doubts: frozenset[str] = frozenset()
    is_signed: bool | None = None  # None: not declared


def read_jpeg(syntax: UID, frame: bytes) -> Codestream:
    """Parse a JPEG or JPEG-LS stream, from its start to its first scan."""
    found: dict[int, bytes] = {}
    tables: set[int] = set()
    scan_at = 0
    for marker, segment, place in _segments(frame, 2, SCAN):
        if marker in FRAMES and not FRAMES.isdisjoint(found):
            raise SliceError("slice.pixels", "a stream of two images")
        if marker == HUFFMAN:
            tables.update(_tables(segment))
        found[marker], scan_at = segment, place
    (kind,) = FRAMES & set(found)
    image, scan = found[kind], found[SCAN]
    if image[5] != 1 or len(image) != 9 or scan[0] != 1 or len(scan) != 6:
        raise SliceError("slice.pixels", "the stream is not of grey pixels")
    scans = frame.count(SCAN_START, scan_at)
    if scans > (MOST_SCANS if kind == PROGRESSIVE else 1):
        raise SliceError("slice.pixels", f"the stream has {scans} scans")
    if not _tables_of(kind, scan) <= tables:
        raise SliceError("slice.pixels", "the scan is coded by a table that the stream lacks")
    bits, rows, columns = image[0], _number(image, 1, 2), _number(image, 3, 2)
    is_for_itk = kind not in SEQUENTIAL | {PROGRESSIVE} or bits != PILLOW_JPEG_BITS
    doubts = {*_scan_doubts(syntax, kind, scan), *_end_doubts(frame)}
    return Codestream(rows, columns, bits, is_for_itk, frozenset(doubts))


def _tables(segment: bytes) -> Iterator[int]:
    """Yield the class and number, in one byte, of each Huffman table of a segment (T.81, B.2.4.2)."""
    place = 0
    while place < len(segment):
        yield segment[place]
        place += 17 + sum(segment[place + 1 : place + 17])


def _tables_of(kind: int, scan: bytes) -> set[int]:
    """The Huffman tables that a scan uses, if its kind has any."""
    first, second = scan[2] >> 4, 0x10 | scan[2] & 0x0F
    return {first, second} if kind in SEQUENTIAL else {first} if kind == LOSSLESS else set()


def _scan_doubts(syntax: UID, kind: int, scan: bytes) -> Iterator[str]:
    """Yield doubts from a scan's parameters (T.81, B.2.3; T.87, C.2.3); SliceError if they are invalid."""
    first, last, shift = scan[3:]
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


def read_jpeg2000(syntax: UID, frame: bytes) -> Codestream:
    """Parse the main header of a JPEG 2000 stream; raises SliceError unless all its tiles follow."""
    start = frame.index(JPEG2000_START)
    found: dict[int, bytes] = {}
    tiles_at = 0
    for marker, segment, place in _segments(frame, start + 2, TILE):
        if marker in found and marker in (SIZE, CODING_STYLE, QUANTISATION):
            raise SliceError("slice.pixels", "the stream says something twice")
        found[marker], tiles_at = segment, place
    size, style, quantisation = found[SIZE], found[CODING_STYLE], found[QUANTISATION]
    width, height, left, top = (_number(size, 2 + 4 * index, 4) for index in range(4))
    if _number(size, 34, 2) != 1 or len(size) != 39 or size[37:] != b"\1\1":
        raise SliceError("slice.pixels", "the stream is not of grey pixels")
    tiles, count = _tiles(frame, tiles_at), _tile_count(size)
    if len(tiles) != count or max(tiles) >= count:
        raise SliceError("slice.pixels", f"the stream holds {len(tiles)} tiles, not {count}")
    levels, is_lossless, quantised = style[5], style[9] == REVERSIBLE, quantisation[0] & 0x1F
    if is_lossless and (quantised or len(quantisation) != 2 + 3 * levels):
        raise SliceError("slice.pixels", "the stream is said to be lossless, and is quantised")
    doubts = set(_end_doubts(frame))
    if not is_lossless and syntax == JPEG2000Lossless:
        doubts.add("the stream is not lossless, as the header says")
    is_usual = style[6] == style[7] or (style[6], style[7]) in OBLONG_BLOCKS
    if not is_usual or style[8] & ~HIGH_THROUGHPUT:
        doubts.add("the blocks of the stream are coded as hardly any are")
    bits, is_signed = (size[36] & 0x7F) + 1, bool(size[36] & 0x80)
    is_for_itk = bits > PILLOW_JPEG2000_BITS
    return Codestream(height - top, width - left, bits, is_for_itk, frozenset(doubts), is_signed)


def _tile_count(size: bytes) -> int:
    """Count the tiles of an image (T.800, B.3); raises SliceError if the first does not start it."""
    count = 1
    for place in (2, 6):  # for columns, then for rows
        end, first, tile, tiles_first = (_number(size, place + 8 * index, 4) for index in range(4))
        if not tiles_first <= first < tiles_first + tile:
            raise SliceError("slice.pixels", "the tiles of the stream do not cover the image")
        count *= -(-(end - tiles_first) // tile)
    return count


def _tiles(frame: bytes, place: int) -> set[int]:
    """The numbers of the tiles whose parts follow one another from `place` on (T.800, A.4.2)."""
    numbers = set()
    end = len(frame.rstrip(b"\0"))
    while place < end and frame[place : place + 2] != IMAGE_END:
        if frame[place : place + 2] != TILE_START:
            raise SliceError("slice.pixels", "the parts of tiles do not follow each other")
        number, length = _number(frame, place + 4, 2), _number(frame, place + 6, 4)
        length = length or len(frame) - place  # the last part may leave its length open
        if length < SHORTEST_TILE_BYTES or place + length > len(frame):
            raise SliceError("slice.pixels", "a tile of the stream is longer than the frame")
        numbers.add(number)
        place += length
    return numbers


def _end_doubts(frame: bytes) -> Iterator[str]:
    if not frame.rstrip(b"\0").endswith(IMAGE_END):
        yield "the stream has no end"


def _segments(frame: bytes, place: int, last: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, content and position of segments from `place` up to marker `last`, within the frame."""
    while True:
        while frame[place] == frame[place + 1] == FILL:
            place += 1
        marker, length = frame[place + 1], _number(frame, place + 2, 2)
        end = place + 2 + length
        if frame[place] != FILL or length < 2 or end > len(frame):
            raise SliceError("slice.pixels", "a segment of the stream is longer than the frame")
        yield marker, frame[place + 4 : end], place
        if marker == last:
            return
        place = end


def _number(content: bytes, place: int, count: int) -> int:
    return int.from_bytes(content[place : place + count], "big")
