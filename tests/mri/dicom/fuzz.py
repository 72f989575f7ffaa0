"""A seeded fuzzer of DICOM files: what reading spoilt headers and streams costs, and what passes unnoticed.

    KITLIB_MUTANTS=4000 python -m pytest -q -s tests/mri/dicom/test_streams.py -k mutants

A file has three parts. Its tags and the frames' structure (fragments, offsets, markers, lengths, parameters)
can be told to be wrong. What is coded, samples and the tables that they are coded by, carries no checksum: a
change is another pixel, as in an uncompressed file.
"""

import contextlib
import os
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from pydicom import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.mri.builders import (
    CODECS,
    make_compressed_dataset,
    make_enhanced_dataset,
    make_slice_dataset,
    read_file,
    spoiling,
    write,
)

TAGS, STRUCTURE, CODED = "tags", "structure", "coded"
META_START = 132
PIXEL_DATA, PIXEL_DATA_BIG_ENDIAN = b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10"
TABLES = {0xC4, 0xDB, 0x5C}  # Huffman codes and quantisation, of JPEG and of JPEG 2000
SCAN, TILE, TILE_BYTES = 0xDA, 0x90, 14
RLE_HEAD_BYTES, ITEM_HEAD_BYTES = 64, 8
IMAGE_END = b"\xff\xd9"
LENGTHS = (0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)


@dataclass(frozen=True)
class Original:
    """A whole file, where its parts are, and what it holds."""

    name: str
    content: bytes
    part2places: dict[str, list[int]]
    pixels: np.ndarray


@dataclass(frozen=True)
class Mutant:
    """What came of a spoilt file."""

    name: str
    part: str
    place: int
    seconds: float  # of processors
    decoder_mb: float  # largest memory of a process that decodes, so far
    is_refused: bool
    is_silent: bool  # pixels differ, and no row of the ledger says so


def smooth_image(rows: int = 64, columns: int = 80) -> np.ndarray:
    """A ramp with some noise, which all codecs compress."""
    noise = np.random.default_rng(0).integers(0, 30, (rows, columns))
    return (np.add.outer(np.arange(rows), np.arange(columns)) * 4 % 220 + noise).astype(np.uint16)


def originals(folder: Path, real: Path | None = None) -> list[Original]:
    """A small file of each transfer syntax that can be written here, and the real ones of a folder."""
    folder.mkdir(exist_ok=True)
    image = smooth_image()
    datasets: dict[str, Dataset] = {
        "implicit": make_slice_dataset(image, syntax=ImplicitVRLittleEndian),
        "explicit": make_slice_dataset(image, syntax=ExplicitVRLittleEndian, RescaleSlope=2),
        "big endian": make_slice_dataset(image, syntax=ExplicitVRBigEndian),
        "enhanced": make_enhanced_dataset(frames=3),
    }
    for codec in CODECS:
        datasets[codec] = make_compressed_dataset(image, codec, folder)
    datasets["enhanced JPEG 2000"] = enhanced = make_enhanced_dataset(frames=3)
    streams = [make_compressed_dataset(smooth_image(12, 10) + at, "JPEG2000", folder) for at in range(3)]
    frames = [next(generate_frames(one.PixelData, number_of_frames=1)) for one in streams]
    enhanced.PixelData = encapsulate(frames)
    enhanced["PixelData"].is_undefined_length = True
    enhanced.file_meta.TransferSyntaxUID = streams[0].file_meta.TransferSyntaxUID
    paths = {name: write(folder / f"{name}.dcm", dataset) for name, dataset in datasets.items()}
    paths["deflated"] = folder / "deflated.dcm"
    dataset = make_slice_dataset(image)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    with spoiling():
        dcmwrite(paths["deflated"], dataset, enforce_file_format=True)
    if real:
        paths |= {
            f"real {kind}": next((real / "dicom" / f"generic_{kind}").glob("*.dcm"))
            for kind in ("jpegls", "jpeg", "compressed", "rle")
        }
    return [_original(name, path) for name, path in paths.items()]


def _original(name: str, path: Path) -> Original:
    content = path.read_bytes()
    slices, _ = read_file(path)
    return Original(name, content, _parts(content), _pixels(slices))


def _parts(content: bytes) -> dict[str, list[int]]:
    """The places of each part; uncompressed files have tags alone."""
    start = max(content.rfind(PIXEL_DATA), content.rfind(PIXEL_DATA_BIG_ENDIAN))
    if start < 0 or not content.rstrip(b"\0").endswith(b"\xfe\xff\xdd\xe0"):
        return {TAGS: list(range(META_START, start + ITEM_HEAD_BYTES if start > 0 else len(content)))}
    value, end = start + 12, len(content) - ITEM_HEAD_BYTES
    table_bytes = int.from_bytes(content[value + 4 : value + 8], "little")
    stream = value + 2 * ITEM_HEAD_BYTES + table_bytes
    coded = set(_coded(content, stream, end))
    structure = [place for place in range(value, len(content)) if place not in coded]
    return {TAGS: list(range(META_START, value)), STRUCTURE: structure, CODED: sorted(coded)}


def _coded(content: bytes, place: int, end: int) -> Iterator[int]:
    """The places of the first frame's tables, and of all samples."""
    if content[place] != 0xFF:
        yield from range(place + RLE_HEAD_BYTES, end)
        return
    end = content.rindex(IMAGE_END)
    place += 2
    while True:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        after = place + TILE_BYTES if marker == TILE else place + 2 + length
        if marker in (SCAN, TILE):
            yield from range(after, end)
            return
        if marker in TABLES:
            yield from range(place + 4, after)
        place = after


def _pixels(slices: list) -> np.ndarray:
    """The rescaled values of slices, end to end."""
    found = []
    for piece in slices:
        pixels = np.empty(piece.stored.shape, np.float32)
        piece.rescale_into(pixels)
        found.append(pixels.ravel())
    return np.concatenate(found) if found else np.empty(0, np.float32)


def spoilt(content: bytes, place: int, room: int, lots: random.Random) -> bytes:
    """A file with something changed, put in, left out or cut off at a place, within `room` bytes."""
    other = bytearray(content)
    change = lots.choice(["byte", "byte", "bit", "bit", "length", "put", "cut", "end"])
    if change == "byte":
        other[place] = lots.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF, lots.randrange(256)])
    elif change == "bit":
        other[place] ^= 1 << lots.randrange(8)
    elif change == "length":
        size, order = lots.choice([(2, "little"), (4, "little"), (2, "big"), (4, "big")])
        length = (lots.choice(LENGTHS) % 256**size).to_bytes(size, order)[:room]
        other[place : place + len(length)] = length
    elif change == "put":
        other[place:place] = lots.randbytes(lots.choice([1, 2, 8]))
    else:
        del other[place : place + min(lots.choice([1, 2, 8]), room) if change == "cut" else None]
    return bytes(other)


def mutants(files: list[Original], count: int, seed: int, folder: Path) -> Iterator[Mutant]:
    """Read `count` spoilt files, an equal share of each original and, within it, of each part."""
    lots = random.Random(seed)
    path = folder / "mutant.dcm"
    for number in range(count):
        original = files[number % len(files)]
        parts = list(original.part2places)
        part = parts[number // len(files) % len(parts)]
        places = original.part2places[part]
        place = lots.choice(places)
        path.write_bytes(spoilt(original.content, place, places[-1] + 1 - place, lots))
        before = processor_s()
        slices, faults = read_file(path)
        seconds = processor_s() - before
        is_silent = not faults and not np.array_equal(_pixels(slices), original.pixels)
        yield Mutant(original.name, part, place, seconds, decoder_peak_mb(), not slices, is_silent)


def decoder_peak_mb() -> float:
    """Largest resident memory of the processes that decode, of those that still run, in MB."""
    peaks = [0.0]
    for child in psutil.Process().children():
        with contextlib.suppress(OSError):  # it has ended
            status = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii", errors="replace")
            peaks += [int(found) / 1024 for found in re.findall(r"VmHWM:\s*(\d+)", status)]
    return max(peaks)


def processor_s() -> float:
    """Processor time of this process and of those that it has started, in seconds."""
    ended = os.times()
    total = time.process_time() + ended.children_user + ended.children_system
    for child in psutil.Process().children():
        try:
            used = child.cpu_times()
        except psutil.Error:
            continue
        total += used.user + used.system
    return total
