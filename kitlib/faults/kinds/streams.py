"""Compressed streams with wrong lengths, counts and headers."""

import struct
from collections.abc import Callable
from pathlib import Path

from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from kitlib.faults.codecs import CODECS, set_fragments, set_stream, stream_of
from kitlib.faults.registry import damage
from kitlib.faults.subject import Subject

BOMB_BYTES = 2**24
ITEM_LENGTH = 12  # offset of the first fragment's length, after an empty offset table
ITEM_END_BYTES = 8
JPEG2000_SIZE, TILE_SIZE = b"\xff\x51\0\x29", 22  # start of the SIZ segment, and its offset of the tile size


def recode(
    study: Subject, paths: list[Path], codec: str, change: Callable[[bytes], bytes] | None = None
) -> None:
    """Compress files and optionally change their streams."""

    def encode(dataset: Dataset) -> None:
        CODECS[codec](dataset)
        if change is not None:
            set_stream(dataset, change(stream_of(dataset)), dataset.file_meta.TransferSyntaxUID)

    study.edit(paths, encode)


def wrap(study: Subject, change: Callable[[bytes], bytes]) -> None:
    """Compress a file and change the items that hold its stream."""

    def encode(dataset: Dataset) -> None:
        CODECS["RLE"](dataset)
        set_fragments(dataset, change(encapsulate([stream_of(dataset)], has_bot=False)), RLELossless)

    study.edit(study.one(), encode)


@damage(harmless=True)
def compressed_by_rle(study: Subject) -> None:
    """A series is RLE-compressed."""
    recode(study, study.files(), "RLE")


@damage(harmless=True)
def compressed_by_jpeg(study: Subject) -> None:
    """A series is compressed with lossless JPEG."""
    recode(study, study.files(), "JPEG")


@damage(harmless=True)
def compressed_by_jpeg_2000(study: Subject) -> None:
    """A series is compressed with lossless JPEG 2000."""
    recode(study, study.files(), "JPEG 2000")


@damage()
def segments_of_rle(study: Subject) -> None:
    """An RLE header claims 65,538 segments."""
    recode(study, [study.one()], "RLE", lambda stream: stream[:2] + b"\1" + stream[3:])


@damage()
def places_in_rle(study: Subject) -> None:
    """An RLE header has a segment offset beyond the stream."""
    recode(study, [study.one()], "RLE", lambda stream: stream[:8] + b"\xff\xff\xff\x7f" + stream[12:])


@damage()
def fragment_of_two_gigabytes(study: Subject) -> None:
    """A fragment claims a length of two gigabytes."""
    wrap(study, lambda items: items[:ITEM_LENGTH] + b"\0\0\0\x80" + items[ITEM_LENGTH + 4 :])


@damage()
def table_of_frames_points_beside(study: Subject) -> None:
    """The basic offset table does not point to a fragment."""
    table = b"\xfe\xff\x00\xe0\x04\0\0\0\x06\0\0\0"
    wrap(study, lambda items: table + items[ITEM_END_BYTES:])


@damage()
def no_end_of_stream(study: Subject) -> None:
    """A file is truncated within its compressed stream."""
    recode(study, [path := study.one()], "JPEG 2000")
    study.write(path, path.read_bytes()[:-1000])


@damage()
def stream_of_noise(study: Subject) -> None:
    """Some compressed streams are random bytes."""
    recode(study, study.some(), "JPEG", lambda stream: study.lots.randbytes(len(stream)))


@damage()
def stream_of_another_size(study: Subject) -> None:
    """A stream claims an image of 65,535 rows and columns."""

    def enlarge(stream: bytes) -> bytes:
        start = stream.index(b"\xff\xc3") + 5
        return stream[:start] + b"\xff\xff\xff\xff" + stream[start + 4 :]

    recode(study, [study.one()], "JPEG", enlarge)


@damage()
def tiles_that_are_not_there(study: Subject) -> None:
    """Some streams claim tiles of half the image's side, but hold only one."""

    def halve(stream: bytes) -> bytes:
        start = stream.index(JPEG2000_SIZE) + TILE_SIZE
        sides = [int.from_bytes(stream[at : at + 4], "big") // 2 for at in (start, start + 4)]
        return stream[:start] + struct.pack(">LL", *sides) + stream[start + 8 :]

    recode(study, study.some(), "JPEG 2000", halve)


@damage()
def stream_of_another_codec(study: Subject) -> None:
    """Some JPEG 2000 streams are tagged as JPEG."""

    def encode(dataset: Dataset) -> None:
        CODECS["JPEG 2000"](dataset)
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1

    study.edit(study.some(), encode)


@damage()
def more_frames_than_streams(study: Subject) -> None:
    """A file with one stream claims five frames."""

    def encode(dataset: Dataset) -> None:
        CODECS["JPEG 2000"](dataset)
        dataset.NumberOfFrames, dataset.file_meta.TransferSyntaxUID = 5, JPEG2000Lossless

    study.edit(study.one(), encode)


@damage()
def deflated(study: Subject) -> None:
    """A file is deflated as a whole, and inflates to a thousand times its size."""

    def encode(dataset: Dataset) -> None:
        dataset.PixelData = bytes(BOMB_BYTES)
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    study.edit(study.one(), encode)
