"""Compressed frames are checked against their file; 4,000 corrupt ones cost little and hide less."""

import contextlib
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from kitlib.errors import SliceError
from kitlib.mri.dicom.header import LIMITS, judge
from kitlib.mri.dicom.streams import MOST_FRAGMENTS, checked_streams
from tests.mri.builders import (
    CODECS,
    encapsulate_into,
    make_compressed_dataset,
    make_enhanced_dataset,
    read_file,
    write,
)
from tests.mri.dicom.fuzz import smooth_image
from tests.properties import derandomised

IMAGE = smooth_image()
ITEM = b"\xfe\xff\x00\xe0"


def encoded(codec, folder):
    """A header, and its pixels as the file holds them."""
    dataset = make_compressed_dataset(IMAGE, codec, folder)
    return judge(dataset, dataset.file_meta.TransferSyntaxUID, LIMITS), dataset.PixelData


def replaced(frame, old, new):
    assert frame.count(old) == 1
    return frame.replace(old, new)


@pytest.mark.parametrize("codec", CODECS)
def test_frames_of_whole_files_are_without_doubt(tmp_path, codec):
    header, pixels = encoded(codec, tmp_path)
    streams = checked_streams(header, pixels)
    assert streams.frames == list(generate_frames(pixels, number_of_frames=1))
    assert streams.doubts == frozenset()
    assert streams.is_for_itk == (codec == "JPEG")


def test_what_pydicom_has_a_decoder_for_and_a_stream_is_not_goes_to_itk(tmp_path):
    header, pixels = encoded("JPEG", tmp_path)
    assert get_decoder(JPEGExtended12Bit).is_available
    assert checked_streams(replace(header, transfer_syntax=JPEGExtended12Bit), pixels).is_for_itk


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("length", [2**31, 2**32 - 1, 2**20, 2**16])
def test_a_fragment_longer_than_the_file_is_refused(tmp_path, codec, length):
    dataset = make_compressed_dataset(IMAGE, codec, tmp_path)
    start = dataset.PixelData.index(ITEM, 8) + 4
    pixels = bytearray(dataset.PixelData)
    pixels[start : start + 4] = length.to_bytes(4, "little")
    dataset.PixelData = bytes(pixels)
    dataset["PixelData"].is_undefined_length = True
    slices, faults = read_file(write(tmp_path / "1.dcm", dataset))
    assert (slices, [fault.code for fault in faults]) == ([], ["slice.pixels"])
    assert faults[0].detail == "a compressed frame is longer than the file"


@pytest.mark.parametrize("table", [[0], [0, 0], [0, 10**6], [4, 8], [0, 2]])
def test_a_table_of_frames_that_points_elsewhere_is_refused(table):
    dataset = make_enhanced_dataset(frames=2)
    header = judge(dataset, JPEGLossless, LIMITS)
    content = b"".join(place.to_bytes(4, "little") for place in table)
    pixels = (
        ITEM + len(content).to_bytes(4, "little") + content + encapsulate([b"ab", b"cd"], has_bot=False)[8:]
    )
    with pytest.raises(SliceError, match="the table of frames"):
        checked_streams(header, pixels)


@pytest.mark.parametrize(
    ("table_bytes", "fragments", "code"),
    [(0, 2 * MOST_FRAGMENTS, "slice.too_large"), (2**22, 1, "slice.pixels")],
)
def test_neither_fragments_nor_a_table_of_frames_take_memory_that_frames_do_not_need(
    table_bytes, fragments, code
):
    header = replace(judge(make_enhanced_dataset(), JPEGLossless, LIMITS), frames=2 * MOST_FRAGMENTS)
    table = ITEM + table_bytes.to_bytes(4, "little") + b"\1\2\3\4" * (table_bytes // 4)
    encoded = table + (ITEM + bytes(4)) * fragments
    tracemalloc.start()
    with pytest.raises(SliceError) as caught:
        checked_streams(header, encoded)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == code
    assert most < 200 * MOST_FRAGMENTS


@pytest.mark.parametrize("frames", [1, 3])
def test_more_or_fewer_frames_than_the_header_says_are_refused(frames):
    header = judge(make_enhanced_dataset(frames=2), JPEGLossless, LIMITS)
    with pytest.raises(SliceError) as caught:
        checked_streams(header, encapsulate([b"ab"] * frames))
    assert caught.value.code == "slice.pixels"


MARKERS = [b"\xff\x4f\xff\x51\x00\x29", b"\xff\xd8", b"\xff\xc3\x00\x0b", b"\xff\xda", b"\xff\x90"]


@derandomised
@given(
    syntax=st.sampled_from([JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless]),
    content=st.lists(st.one_of(st.sampled_from(MARKERS), st.binary(max_size=60))).map(b"".join),
    is_wrapped=st.booleans(),
)
def test_whatever_pixels_are_they_are_refused_or_frames_within_the_file(syntax, content, is_wrapped):
    header = replace(judge(make_enhanced_dataset(), JPEGLossless, LIMITS), frames=1, transfer_syntax=syntax)
    encoded = encapsulate([content or b"\0\0"]) if is_wrapped else content
    with contextlib.suppress(SliceError):
        assert sum(map(len, checked_streams(header, encoded).frames)) <= len(encoded)


JPEG_CHANGES = {
    "twelve bits in the header, eight in the stream": (
        b"\xff\xc3\x00\x0b\x10",
        b"\xff\xc3\x00\x0b\x08",
        "8 bits",
    ),
    "other predictor": (
        b"\xff\xda\x00\x08\x01\x01\x00\x01",
        b"\xff\xda\x00\x08\x01\x01\x00\x02",
        "not predicted",
    ),
    "no end": (b"\xff\xd9", b"\xff\xd8", "no end"),
}
REFUSED_CHANGES = {
    "bits": (b"\xff\xc3\x00\x0b\x10", b"\xff\xc3\x00\x0b\x11"),
    "colours": (b"\x01\x01\x11\x00\xff", b"\x03\x01\x11\x00\xff"),
    "a segment of no length": (b"\xff\xc4\x00", b"\xff\xc4\x00\x00\xff\xc4\x00"),
    "a segment beyond the frame": (b"\xff\xc4\x00", b"\xff\xc4\xff"),
    "no predictor": (b"\xff\xda\x00\x08\x01\x01\x00\x01", b"\xff\xda\x00\x08\x01\x01\x00\x09"),
    "rows": (b"\x00\x40\x00\x50", b"\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("name", JPEG_CHANGES)
def test_what_a_jpeg_stream_says_otherwise_is_noted(tmp_path, name):
    old, new, doubt = JPEG_CHANGES[name]
    header, pixels = encoded("JPEG", tmp_path)
    (found,) = checked_streams(header, replaced(pixels, old, new)).doubts
    assert doubt in found


@pytest.mark.parametrize("name", REFUSED_CHANGES)
def test_what_a_jpeg_stream_cannot_be_is_refused(tmp_path, name):
    header, pixels = encoded("JPEG", tmp_path)
    frame = replaced(next(generate_frames(pixels, number_of_frames=1)), *REFUSED_CHANGES[name])
    with pytest.raises(SliceError) as caught:
        checked_streams(header, encapsulate([frame]))
    assert caught.value.code == "slice.pixels"


@pytest.mark.parametrize(("near", "doubts"), [(0, 0), (2, 1)])
def test_a_jpeg_ls_stream_that_loses_something_is_noted_where_the_header_says_it_does_not(
    tmp_path, near, doubts
):
    header = replace(encoded("JPEG", tmp_path)[0], transfer_syntax=JPEGLSLossless)
    stream = bytes.fromhex(f"ffd8 fff7 000b 10 0040 0050 01011100 ffda 0008 010100 {near:02x} 0000 00 ffd9")
    streams = checked_streams(header, encapsulate([stream]))
    assert len(streams.doubts) == doubts
    assert streams.is_for_itk


BITS_PLACE = 42  # of a pixel and its sign, in a JPEG 2000 stream
JPEG2000_DOUBTS = {0x8F: "a sign", 0x0D: "14 bits"}


def with_bits(bits, folder):
    header, pixels = encoded("JPEG2000", folder)
    frame = bytearray(next(generate_frames(pixels, number_of_frames=1)))
    frame[BITS_PLACE] = bits
    return header, encapsulate([bytes(frame)])


@pytest.mark.parametrize("bits", JPEG2000_DOUBTS)
def test_what_a_jpeg2000_stream_says_otherwise_is_noted(tmp_path, bits):
    (found,) = checked_streams(*with_bits(bits, tmp_path)).doubts
    assert JPEG2000_DOUBTS[bits] in found


def test_more_bits_than_the_header_has_room_for_are_refused(tmp_path):
    with pytest.raises(SliceError, match="17 bits"):
        checked_streams(*with_bits(0x10, tmp_path))


@pytest.mark.parametrize(("old", "new"), [(b"\xff\x5c", b"\xff\x5d"), (b"\xff\x5c\x00", b"\xff\x5c\xf0")])
def test_a_jpeg2000_stream_without_its_tables_is_refused(tmp_path, old, new):
    header, pixels = encoded("JPEG2000", tmp_path)
    with pytest.raises(SliceError) as caught:
        checked_streams(header, pixels.replace(old, new, 1))
    assert caught.value.code == "slice.pixels"


def test_what_is_noted_of_a_stream_is_in_the_ledger_and_the_slice_is_kept(tmp_path):
    dataset = make_compressed_dataset(IMAGE, "JPEG", tmp_path)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    other = replaced(frame, b"\xff\xda\x00\x08\x01\x01\x00\x01", b"\xff\xda\x00\x08\x01\x01\x00\x02")
    encapsulate_into(dataset, other, JPEGLosslessSV1)
    slices, faults = read_file(write(tmp_path / "1.dcm", dataset))
    assert len(slices) == 1
    assert [(fault.code, fault.action) for fault in faults] == [("slice.stream", "slice kept")]
