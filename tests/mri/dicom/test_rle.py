"""Run-length encoded frames: what is decoded, refused, or reported as odd."""

import random
import struct

import numpy as np
import pytest
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import RLELossless

from kitlib.errors import SliceError
from kitlib.mri.dicom.header import LIMITS, judge
from kitlib.mri.dicom.rle import decoded_rle
from tests.mri.builders import make_image, make_slice_dataset, read_file, write

HEADER = judge(make_slice_dataset(make_image(size=(4, 6))), RLELossless, LIMITS)
REPEATS = bytes([256 - 23, 7])  # 24 times 7


def frame(*segments: bytes, count: int | None = None, places: list[int] | None = None) -> bytes:
    """An RLE frame, with a correct header unless another is given."""
    if places is None:
        places = [64 + sum(map(len, segments[:index])) for index in range(len(segments))]
    count = len(segments) if count is None else count
    return struct.pack("<16L", count, *places, *[0] * (15 - len(places))) + b"".join(segments)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
def test_frames_of_all_types_come_back(tmp_path, dtype):
    noise = make_image(size=(40, 33), highest=120).astype(dtype)
    noise[10:30] = 7  # in long runs
    dataset = make_slice_dataset(noise)
    dataset.compress(RLELossless)
    (piece,), faults = read_file(write(tmp_path / "1.dcm", dataset))
    np.testing.assert_array_equal(piece.stored, noise)
    assert faults == []


def test_the_first_segment_is_the_high_byte():
    values, is_longer = decoded_rle(HEADER, [frame(REPEATS, bytes([23, *range(24)]))])
    np.testing.assert_array_equal(values[0], 7 * 256 + np.arange(24).reshape(4, 6))
    assert not is_longer


@pytest.mark.parametrize("pad", [b"", b"\0"])
def test_a_segment_may_be_padded_to_an_even_length(pad):
    assert not decoded_rle(HEADER, [frame(REPEATS + pad, REPEATS + pad)])[1]


@pytest.mark.parametrize("extra", [REPEATS, b"\0\0\0"])
def test_more_than_the_image_is_odd(extra):
    assert decoded_rle(HEADER, [frame(REPEATS + extra, REPEATS)])[1]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        frame(REPEATS, REPEATS)[:60],
        frame(REPEATS),  # of 8 bits
        frame(REPEATS, REPEATS, REPEATS),
        frame(REPEATS, REPEATS, count=2**16 + 2),
        frame(REPEATS, REPEATS, places=[64, 2**31]),
        frame(REPEATS, REPEATS, places=[64, 64]),
        frame(REPEATS, REPEATS, places=[66, 64]),
        frame(REPEATS, REPEATS, places=[0, 66]),
        frame(REPEATS, REPEATS, places=[64, 66, 67]),
        frame(REPEATS, bytes([250, 7])),  # 7 bytes, not 24
        frame(REPEATS, bytes([23, *range(20)])),
        frame(REPEATS, b"\x80" * 1000),
    ],
)
def test_what_is_not_as_its_header_says_is_refused(bad):
    with pytest.raises(SliceError) as caught:
        decoded_rle(HEADER, [bad])
    assert caught.value.code == "slice.pixels"


def test_noise_grows_to_no_more_than_the_image():
    lots = random.Random(3)
    for _ in range(300):
        noise = [lots.randbytes(lots.randrange(2, 200)) for _ in range(2)]
        try:
            values, _ = decoded_rle(HEADER, [frame(*noise)])
        except SliceError:
            continue
        assert values.shape == (1, 4, 6)


def test_frames_are_as_pydicom_decodes_them():
    dataset = make_slice_dataset(make_image(size=(50, 70)))
    dataset.compress(RLELossless)
    header = judge(dataset, RLELossless, LIMITS)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=1))
    expected, _ = get_decoder(RLELossless).as_array(dataset)
    np.testing.assert_array_equal(decoded_rle(header, frames)[0][0], expected)
