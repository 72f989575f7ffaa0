"""Check compressed frames against the file before any decoder sees them.

Decoders trust what a stream declares: a kilobyte of JPEG 2000 can hold an image of a billion pixels, and a
fragment may claim two gigabytes. So lengths are followed to their ends here, sizes are compared with those in
the DICOM header, and frames are passed on without the fragments they came in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from struct import Struct

from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import JPEG2000TransferSyntaxes, RLELossless

from kitlib.errors import SliceError
from kitlib.mri.dicom.codestreams import read_jpeg, read_jpeg2000
from kitlib.mri.dicom.header import Header, classified

LARGEST_GROWTH = 2  # a codec may enlarge noise a little, but never this much
SLACK_BYTES = 2**16
MOST_FRAGMENTS = 2**16  # of 4 kB in the largest file
ITEM, ITEMS_END = 0xE000FFFE, 0xE0DDFFFE  # DICOM PS3.5, A.4
ITEM_HEAD = Struct("<LL")


@dataclass(frozen=True)
class Streams:
    """The frames of a file, each a complete stream, and what is in doubt about them."""

    frames: list[bytes]
    is_for_itk: bool  # pydicom has no decoder for them here
    doubts: frozenset[str] = frozenset()


def checked_streams(header: Header, encoded: bytes) -> Streams:
    """Unpack the frames of encapsulated pixels; raises SliceError if they contradict the header."""
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
    """Follow the fragments to the end of the pixels, and the offset table to fragments that exist."""
    first, *fragments = islice(_items(encoded), MOST_FRAGMENTS + 2)
    if not fragments:
        raise SliceError("slice.pixels", "no compressed frames")
    if len(fragments) > MOST_FRAGMENTS:
        raise SliceError("slice.too_large", f"more than {MOST_FRAGMENTS} fragments of compressed frames")
    if first[1] not in (0, 4 * header.frames):
        raise SliceError("slice.pixels", "the table of frames has another length than frames need")
    start = fragments[0][0]
    table = [
        int.from_bytes(encoded[at : at + 4], "little")
        for at in range(first[0] + 8, first[0] + 8 + first[1], 4)
    ]
    if table and (table[0] or any(b <= a for a, b in pairwise(table))):
        raise SliceError("slice.pixels", "the table of frames is not in order")
    if not {start + offset for offset in table} <= {place for place, _ in fragments}:
        raise SliceError("slice.pixels", "the table of frames points beside them")


def _items(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Yield the position and content length of each item, the offset table first."""
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
    syntax = header.transfer_syntax
    read = read_jpeg2000 if syntax in JPEG2000TransferSyntaxes else read_jpeg
    streams = [read(syntax, frame) for frame in frames]
    doubts: set[str] = set()
    for stream in streams:
        if (stream.rows, stream.columns) != (header.rows, header.columns):
            raise SliceError("slice.pixels", f"the stream holds an image of {stream.rows, stream.columns}")
        if stream.bits > header.bits_allocated:
            raise SliceError("slice.pixels", f"{stream.bits} bits a pixel in {header.bits_allocated}")
        # Some writers state the bits allocated.
        if stream.bits not in (header.bits_stored, header.bits_allocated):
            doubts.add(f"{stream.bits} bits a pixel in the stream, {header.bits_stored} in the header")
        if stream.is_signed not in (None, header.is_signed):
            doubts.add("the stream and the header differ in whether values have a sign")
        doubts |= stream.doubts
    is_for_itk = not get_decoder(syntax).is_available
    return Streams(frames, is_for_itk or any(stream.is_for_itk for stream in streams), frozenset(doubts))
