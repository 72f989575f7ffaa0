"""A stream's tiles, blocks, scans and tables are checked before a decoder sees it."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1

from kitlib.errors import SliceError
from kitlib.mri.dicom.codestreams import MOST_SCANS, read_jpeg, read_jpeg2000
from tests.mri.builders import encapsulate_into, make_compressed_dataset, make_slice_dataset, read_file, write
from tests.mri.dicom.fuzz import smooth_image

IMAGE = smooth_image().astype(np.uint8)
ROWS, COLUMNS = IMAGE.shape
TILE = b"\xff\x90\x00\x0a"
GRID_PLACE, FIRST_TILE_PLACE = 24, 32  # in a JPEG 2000 stream: how large tiles are, and where the first is
BLOCKS = b"\x05\x04\x04\x00\x01"  # in the coding style: levels, blocks of 64 x 64, no style, the wavelet
SCAN = b"\xff\xda\x00\x08\x01\x01"


def jpeg2000(tile: int = 0) -> bytes:
    """A lossless stream, in tiles of so many pixels a side or in one."""
    buffer = io.BytesIO()
    options = {"tile_size": (tile, tile)} if tile else {}
    Image.fromarray(IMAGE).save(buffer, "JPEG2000", no_jp2=True, irreversible=False, **options)
    return buffer.getvalue()


def jpeg(*options: int) -> bytes:
    return cv2.imencode(".jpg", IMAGE, options)[1].tobytes()


def put(stream: bytes, place: int, *numbers: int) -> bytes:
    """The stream with four-byte numbers written from an offset on."""
    content = b"".join(number.to_bytes(4, "big") for number in numbers)
    return stream[:place] + content + stream[place + len(content) :]


def pixels_in(tmp_path, stream, syntax=JPEG2000Lossless):
    """The slices read from a file with this stream, and its faults."""
    dataset = make_slice_dataset(IMAGE)
    encapsulate_into(dataset, stream, syntax)
    slices, faults = read_file(write(tmp_path / "1.dcm", dataset))
    return [piece.stored for piece in slices], [(fault.code, fault.detail) for fault in faults]


@pytest.mark.parametrize("tile", [0, 16, 32])
def test_an_image_in_tiles_is_read_as_it_is(tmp_path, tile):
    (pixels,), faults = pixels_in(tmp_path, jpeg2000(tile))
    assert (pixels == IMAGE).all()
    assert faults == []


@pytest.mark.parametrize("side", [2**31, 2**32 - 1, 128])
def test_a_tile_may_be_larger_than_the_image(tmp_path, side):
    (pixels,), faults = pixels_in(tmp_path, put(jpeg2000(), GRID_PLACE, side, side))
    assert (pixels == IMAGE).all()
    assert faults == []


@pytest.mark.parametrize("sides", [(1, 1), (2, 2), (16, 16), (COLUMNS, 1), (1, 2**31), (79, 64), (0, 0)])
def test_tiles_that_the_stream_does_not_hold_are_missed(tmp_path, sides):
    found, faults = pixels_in(tmp_path, put(jpeg2000(), GRID_PLACE, *sides))
    assert found == []  # and not an image with only one tile
    assert [code for code, _ in faults] == ["slice.pixels"]
    assert "tile" in faults[0][1]


@pytest.mark.parametrize("first", [(1, 1), (0, 2**31), (2**32 - 1, 0)])
def test_tiles_that_begin_behind_the_image_are_refused(first):
    with pytest.raises(SliceError, match="do not cover"):
        read_jpeg2000(JPEG2000Lossless, put(jpeg2000(), FIRST_TILE_PLACE, *first))


def test_each_part_of_a_tile_is_followed_to_its_end():
    stream = jpeg2000(32)
    first, second = stream.index(TILE), stream.index(TILE, stream.index(TILE) + 1)
    last = stream.rindex(TILE)
    read_jpeg2000(JPEG2000Lossless, put(stream, last + 6, 0))  # the last may leave its length open
    for spoilt, match in (
        (stream[:first] + stream[second:], "holds 5 tiles, not 6"),
        (put(stream, first + 6, 2**31), "longer than the frame"),
        (put(stream, first + 6, 13), "longer than the frame"),
        (put(stream, first + 6, 14), "do not follow"),
        (put(stream, last + 2, 0x000A0006), "holds 6 tiles, not 6"),
        (stream[:-10], "longer than the frame"),
    ):
        with pytest.raises(SliceError, match=match):
            read_jpeg2000(JPEG2000Lossless, spoilt)


def test_a_stream_that_says_its_size_twice_is_refused():
    stream = jpeg2000()
    size = stream[2 : 2 + 2 + 41]
    with pytest.raises(SliceError, match="twice"):
        read_jpeg2000(JPEG2000Lossless, stream[:2] + size + stream[2:])


@pytest.mark.parametrize("blocks", [(0, 4, 0), (4, 2, 0), (4, 4, 1)])
def test_blocks_coded_as_hardly_any_are_leave_a_doubt(blocks):
    stream = jpeg2000()
    assert stream.count(BLOCKS) == 1
    assert read_jpeg2000(JPEG2000Lossless, stream).doubts == frozenset()
    (doubt,) = read_jpeg2000(JPEG2000Lossless, stream.replace(BLOCKS, bytes([5, *blocks, 1]))).doubts
    assert "blocks" in doubt


def test_a_progressive_jpeg_of_some_scans_is_read_and_one_of_very_many_is_refused(tmp_path):
    stream = jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert 1 < stream.count(SCAN[:2]) < MOST_SCANS
    (pixels,), faults = pixels_in(tmp_path, stream, JPEGBaseline8Bit)
    assert (pixels == cv2.imdecode(np.frombuffer(stream, np.uint8), cv2.IMREAD_GRAYSCALE)).all()
    assert faults == []
    last = stream[stream.rindex(SCAN[:2]) : -2]
    with pytest.raises(SliceError, match="scans"):
        read_jpeg(JPEGBaseline8Bit, stream[:-2] + last * MOST_SCANS + stream[-2:])


def test_other_streams_have_one_scan_and_the_tables_that_it_is_coded_by(tmp_path):
    stream = jpeg()
    assert stream.count(SCAN + b"\0") == 1
    read_jpeg(JPEGBaseline8Bit, stream)
    with pytest.raises(SliceError, match="2 scans"):
        read_jpeg(JPEGBaseline8Bit, stream + stream)
    for tables in (b"\x10", b"\x01", b"\x30"):
        with pytest.raises(SliceError, match="a table"):
            read_jpeg(JPEGBaseline8Bit, stream.replace(SCAN + b"\0", SCAN + tables))
    dataset = make_compressed_dataset(smooth_image(), "JPEG", tmp_path)
    lossless = next(generate_frames(dataset.PixelData, number_of_frames=1))
    with pytest.raises(SliceError, match="a table"):
        read_jpeg(JPEGLosslessSV1, lossless.replace(SCAN + b"\0", SCAN + b"\x20"))


@pytest.mark.parametrize(("blocks", "is_doubted"), [((64, 32), False), ((32, 32), False), ((32, 64), True)])
def test_blocks_as_encoders_in_hardware_have_them_are_not_doubted(blocks, is_doubted):
    buffer = io.BytesIO()
    Image.fromarray(IMAGE).save(buffer, "JPEG2000", no_jp2=True, irreversible=False, codeblock_size=blocks)
    assert bool(read_jpeg2000(JPEG2000Lossless, buffer.getvalue()).doubts) == is_doubted
