"""Plain files are read directly, bit for bit as by pydicom; all others are left to pydicom."""

import random
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from kitlib.mri.dicom import frames, header
from kitlib.mri.dicom.plain import plain_dataset, plain_pixels, value_of
from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from tests.mri.builders import make_enhanced_dataset, make_image, make_slice_dataset, write

KINDS = [
    {},
    {"syntax": ImplicitVRLittleEndian},
    {"syntax": ExplicitVRBigEndian},
    {"BitsStored": 12, "HighBit": 11},
    {"BitsStored": 12, "HighBit": 13},
    {"PhotometricInterpretation": "MONOCHROME1"},
    {"RescaleSlope": 2.5, "RescaleIntercept": -3},
    {"InstanceNumber": "", "Modality": "CT"},
    {"PixelRepresentation": 1, "BitsStored": 9, "HighBit": 8},
    {"SpecificCharacterSet": "ISO_IR 192"},
    {"image": make_image(highest=250).astype(np.uint8)},
]
SPOILT = 300
PIXEL_BYTES = 240


def read_all(folder: Path) -> tuple[list, list]:
    """Everything read from a series: pixels, geometries, faults."""
    ledger = Ledger()
    stacks = read_series(folder, ledger)
    return [(stack.pixels.tobytes(), stack.geometry()) for stack in stacks], list(ledger)


def spoil(content: bytes, lots: random.Random) -> bytes:
    """A file with a few bytes changed, inserted, removed or truncated, mostly in its header."""
    spoilt = bytearray(content)
    for _ in range(lots.choice([1, 1, 2, 4])):
        last = len(spoilt) - (PIXEL_BYTES if lots.random() < 0.8 else 1)
        place = lots.randrange(128, max(last, 129))
        some = bytes(
            lots.choice([0, 32, 48, 92, 255, lots.randrange(256)]) for _ in range(lots.choice([1, 2]))
        )
        change = lots.choice(["set", "set", "put", "cut", "end", "more"])
        if change in ("set", "put"):
            spoilt[place : place + (len(some) if change == "set" else 0)] = some
        elif change == "more":
            spoilt += some
        else:
            del spoilt[place : None if change == "end" else place + len(some)]
    return bytes(spoilt)


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("kinds")
    datasets = [make_slice_dataset(number=number, **kind) for number, kind in enumerate(KINDS, 1)]
    datasets.append(make_enhanced_dataset())
    return [write(folder / f"{at}.dcm", dataset).read_bytes() for at, dataset in enumerate(datasets)]


@pytest.mark.slow
def test_whole_and_spoilt_files_read_as_pydicom_alone_reads_them(
    contents: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lots = random.Random(5)
    cases = [[content] for content in contents]
    cases += [[spoil(lots.choice(contents), lots) for _ in range(2)] for _ in range(SPOILT)]
    folders = [tmp_path / str(number) for number in range(len(cases))]
    for folder, files in zip(folders, cases):
        folder.mkdir()
        for number, content in enumerate(files):
            (folder / f"{number}.dcm").write_bytes(content)
    ours = [read_all(folder) for folder in folders]
    monkeypatch.setattr(header, "plain_dataset", lambda *_: None)
    monkeypatch.setattr(header, "plain_pixels", lambda *_: None)
    for module in (header, frames):
        monkeypatch.setattr(module, "value_of", lambda dataset, keyword: dataset.get(keyword))
    for folder, mine in zip(folders, ours):
        assert mine == read_all(folder)
    assert sum(bool(faults) for _, faults in ours) > SPOILT / 2
    assert sum(bool(stacks) for stacks, _ in ours) > SPOILT / 4


def test_a_plain_file_needs_no_pydicom(contents: list[bytes]) -> None:
    dataset, start = plain_dataset(contents[0], header.ALLOWED_TAGS)
    assert set(dataset.keys()) <= header.ALLOWED_TAGS
    assert value_of(dataset, "Rows") == 12
    assert value_of(dataset, "PixelSpacing") == [0.5, 0.75]
    assert value_of(dataset, "Modality") == "MR"
    assert value_of(dataset, "RescaleSlope") is None
    pixels = plain_pixels(contents[0], start, header.ExplicitVRLittleEndian)
    assert np.shares_memory(np.frombuffer(pixels, np.uint8), np.frombuffer(contents[0], np.uint8))
    np.testing.assert_array_equal(np.frombuffer(pixels, "<u2").reshape(12, 10), make_image(1))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-1],  # pixels that are cut short
        lambda content: content + b"\0\0",  # something after them
        lambda content: content.replace(b"OW\0\0", b"OW\0\0\xff\xff\xff\xff", 1),  # of unknown length
    ],
)
def test_pixels_that_are_not_plain_are_left_to_pydicom(contents: list[bytes], change) -> None:
    _, start = plain_dataset(contents[0], header.ALLOWED_TAGS)
    assert plain_pixels(change(contents[0]), start, header.ExplicitVRLittleEndian) is None


def test_what_is_not_explicit_little_endian_is_left_to_pydicom(contents: list[bytes]) -> None:
    for content in (contents[1], contents[2], contents[-1], b"", contents[0][:140], contents[0][4:]):
        assert plain_dataset(content, header.ALLOWED_TAGS) is None
    assert plain_pixels(contents[0], 400, RLELossless) is None
