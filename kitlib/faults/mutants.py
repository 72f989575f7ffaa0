"""A seeded fuzzer of DICOM files: what reading corrupt headers and streams costs, and what goes unnoticed.

A file has four parts. Errors in its tags (names, types and lengths) and structure (fragments, offsets,
markers, stream parameters) can be detected. A wrong value, such as another digit of a position, can be
detected only if it makes no sense, or by comparison with the other slices of the series, which are read along
with it. Coded data, that is samples and their coding tables, has no checksum: a change is another pixel.
"""

import contextlib
import os
import random
import re
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from pydicom import dcmread, dcmwrite
from pydicom.dataelem import RawDataElement

from kitlib.faults.codecs import CODECS, unbound
from kitlib.machine import peak_memory_mb, reset_peak_memory
from kitlib.mri.dicom.slices import Slice, read_files
from kitlib.mri.ledger import Fault
from kitlib.mri.series import stacked
from kitlib.mri.stack import Stack

TAGS, VALUES, STRUCTURE, CODED = "tags", "values", "structure", "coded"
PIXELS, GEOMETRY = "pixels", "geometry"
REFUSED, REPORTED, SAME = "refused", "reported", "same"
META_START = 132
PIXEL_DATA, PIXEL_DATA_BIG_ENDIAN = b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10"
TABLES = {0xC4, 0xDB, 0x5C}  # Huffman codes and quantisation, of JPEG and of JPEG 2000
SCAN, TILE, TILE_BYTES = 0xDA, 0x90, 14
RLE_HEAD_BYTES, ITEM_HEAD_BYTES = 64, 8
IMAGE_END, ITEMS_END = b"\xff\xd9", b"\xfe\xff\xdd\xe0"
LENGTHS = (0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)
LONGEST_SPLICE_BYTES = 64


@dataclass(frozen=True)
class Original:
    """An intact file: the byte offsets of its parts, and how it reads with the rest of its series."""

    name: str
    file: str
    content: bytes
    part2places: dict[str, list[int]]  # byte offsets
    place2tag: dict[int, str]  # byte offset in a tag's value to its keyword
    beside: Sequence[Slice]  # the other slices of its series
    whole: "Reading"

    @classmethod
    def of(cls, name: str, path: Path, others: Sequence[Path] = ()) -> "Original":
        """Analyse an intact file, with the other files of its series."""
        content = path.read_bytes()
        place2tag = dict(_values(path))
        beside, _ = slices_of(others)
        whole = Reading.of(path, beside)
        return cls(name, path.name, content, _parts(content, place2tag), place2tag, beside, whole)


@dataclass(frozen=True)
class Reading:
    """The slices read from a file and its series, ordered by file name, and the faults reported."""

    pixels: Sequence[np.ndarray]  # of each slice, (H, W)
    corners_mm: np.ndarray  # (n, 4, 3)
    together: Sequence[int]  # number of slices in each slice's stack
    faults: frozenset[tuple[str, str]]  # code and detail

    @classmethod
    def of(cls, path: Path, beside: Sequence[Slice]) -> "Reading":
        """Read a file, and stack its slices with the others of its series."""
        slices, faults = slices_of([path])
        stacks, odd = stacked([*slices, *beside], faults) if slices or beside else ([], faults)
        order = np.argsort([file for stack in stacks for file in stack.files], kind="stable")
        pixels = [image for stack in stacks for image in stack.pixels]
        corners_mm = np.concatenate([np.empty((0, 4, 3)), *map(_corners_mm, stacks)])
        together = [len(stack) for stack in stacks for _ in stack.files]
        reported = frozenset((fault.code, fault.detail) for fault in odd)
        together = [together[one] for one in order]
        return cls([pixels[one] for one in order], corners_mm[order], together, reported)

    def came(self, whole: "Reading") -> str:
        """The outcome of reading a mutated file, compared with the intact one."""
        if self.faults - whole.faults:
            return REPORTED if len(self.pixels) == len(whole.pixels) else REFUSED
        if len(self.pixels) != len(whole.pixels) or not all(map(np.array_equal, self.pixels, whole.pixels)):
            return PIXELS
        return GEOMETRY if self.moved_mm(whole) else SAME

    def moved_mm(self, whole: "Reading") -> float:
        """The largest displacement of a slice corner; infinite if the slices form different stacks."""
        if self.together != whole.together:
            return np.inf
        return float(np.linalg.norm(self.corners_mm - whole.corners_mm, axis=-1).max(initial=0))


@dataclass(frozen=True)
class Mutant:
    """What came of a spoilt file."""

    name: str
    part: str
    where: str  # keyword of the tag whose value was changed, else the byte offset
    came: str  # REFUSED, REPORTED, SAME or, if read differently without a report, PIXELS or GEOMETRY
    seconds: float  # of processor time
    decoder_mb: float  # peak memory of a decoder process so far
    grown_mb: float  # of the process that reads, since the first mutant
    moved_mm: float  # largest displacement of a slice corner if came is GEOMETRY, else 0

    @property
    def is_silent(self) -> bool:
        """Whether it is read differently without a report."""
        return self.came in (PIXELS, GEOMETRY)


def encoded_originals(path: Path, folder: Path) -> list[Original]:
    """Write a slice, and the others in its folder, in every transfer syntax that can be written here."""
    found = []
    for name, encode in CODECS.items():
        (here := folder / name).mkdir()
        for whole in path.parent.glob("*.dcm"):
            dataset = unbound(dcmread(whole))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                encode(dataset)
                dcmwrite(here / whole.name, dataset, enforce_file_format=True)
        others = sorted(other for other in here.iterdir() if other.name != path.name)
        found.append(Original.of(name, here / path.name, others))
    return found


def slices_of(paths: Sequence[Path]) -> tuple[list[Slice], list[Fault]]:
    """Read files; returns their slices and faults."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [*read_files(paths)]
    return [piece for own, _ in found for piece in own], [fault for _, odd in found for fault in odd]


def spoilt(content: bytes, place: int, room: int, lots: random.Random) -> bytes:
    """Mutate bytes at an offset: change, insert, copy, delete or truncate, within `room` bytes."""
    other = bytearray(content)
    change = lots.choice(["byte", "byte", "bit", "bit", "length", "put", "splice", "cut", "end"])
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
    elif change == "splice":
        start, length = lots.randrange(len(content)), min(lots.randint(1, LONGEST_SPLICE_BYTES), room)
        other[place : place + length] = content[start : start + length]
    else:
        del other[place : place + min(lots.choice([1, 2, 8]), room) if change == "cut" else None]
    return bytes(other)


def mutants(
    files: Sequence[Original], count: int, seed: int, folder: Path, after: int = 0
) -> Iterator[Mutant]:
    """Read `count` mutated files, an equal share of each original and, within it, of each part.

    The first `after` of them are left out.
    """
    rng = random.Random(seed)
    reset_peak_memory()
    before_mb = peak_memory_mb()
    for number in range(count):
        original = files[number % len(files)]
        parts = list(original.part2places)
        part = parts[number // len(files) % len(parts)]
        place = rng.choice(original.part2places[part])
        room = max(original.part2places[part]) + 1 - place
        content = spoilt(original.content, place, room, rng)
        if number < after:
            continue
        path = folder / original.file
        path.write_bytes(content)
        before_s = processor_s()
        found = Reading.of(path, original.beside)
        seconds = processor_s() - before_s
        where = original.place2tag.get(place, f"byte {place}")
        came = found.came(original.whole)
        moved_mm = found.moved_mm(original.whole) if came == GEOMETRY else 0.0
        grown_mb = peak_memory_mb() - before_mb
        yield Mutant(original.name, part, where, came, seconds, decoder_peak_mb(), grown_mb, moved_mm)


def mutant_table(found: Sequence[Mutant]) -> pd.DataFrame:
    """One row per part of a file: the number of mutants, their outcomes, and where silent ones were.

    `moved, mm` is the largest silent displacement; `where` counts silent mutants by tag or byte offset.
    """
    rows = []
    for part in dict.fromkeys(mutant.part for mutant in found):
        own = [mutant for mutant in found if mutant.part == part]
        came = Counter(mutant.came for mutant in own)
        silent = Counter(f"{one.name}, {one.where}" for one in own if one.is_silent)
        counts = {name: came[name] for name in (REFUSED, REPORTED, SAME, PIXELS, GEOMETRY)}
        moved_mm = max(one.moved_mm for one in own)
        rows.append({"part": part, "mutants": len(own), **counts, "moved, mm": moved_mm, "where": silent})
    return pd.DataFrame(rows)


def decoder_peak_mb() -> float:
    """Peak resident memory of the decoder processes that are still running, in MB."""
    peaks = [0.0]
    for child in psutil.Process().children():
        with contextlib.suppress(OSError):  # it has ended
            status = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii", errors="replace")
            peaks += [int(found) / 1024 for found in re.findall(r"VmHWM:\s*(\d+)", status)]
    return max(peaks)


def processor_s() -> float:
    """Processor time of this process and its children, in seconds."""
    ended = os.times()
    total = time.process_time() + ended.children_user + ended.children_system
    for child in psutil.Process().children():
        try:
            used = child.cpu_times()
        except psutil.Error:
            continue
        total += used.user + used.system
    return total


def _values(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the byte offsets in the values of a file's tags, with the tags' keywords if known."""
    dataset = dcmread(path, stop_before_pixels=True)
    for tag in dataset.keys():  # noqa: SIM118 - its elements must stay raw, as read
        element = dataset.get_item(tag)
        if isinstance(element, RawDataElement) and element.VR != "SQ":
            for place in range(element.value_tell, element.value_tell + element.length):
                yield place, dataset[tag].keyword


def _parts(content: bytes, place2tag: dict[int, str]) -> dict[str, list[int]]:
    """The byte offsets of each part; the samples of an uncompressed file are in none."""
    start = max(content.rfind(PIXEL_DATA), content.rfind(PIXEL_DATA_BIG_ENDIAN))
    is_compressed = start > 0 and content.rstrip(b"\0").endswith(ITEMS_END)
    value, end = start + ITEM_HEAD_BYTES + 4 * is_compressed, len(content) - ITEM_HEAD_BYTES
    header = range(META_START, value if start > 0 else len(content))
    parts = {TAGS: [place for place in header if place not in place2tag], VALUES: sorted(place2tag)}
    if is_compressed:
        table_bytes = int.from_bytes(content[value + 4 : value + 8], "little")
        coded = set(_coded(content, value + 2 * ITEM_HEAD_BYTES + table_bytes, end))
        parts[STRUCTURE] = [place for place in range(value, len(content)) if place not in coded]
        parts[CODED] = sorted(coded)
    return {part: places for part, places in parts.items() if places}


def _coded(content: bytes, place: int, end: int) -> Iterator[int]:
    """Yield the byte offsets of the first frame's coding tables and of all samples."""
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


def _corners_mm(stack: Stack) -> np.ndarray:
    """Patient positions of the corners of a stack's slices, (N, 4, 3)."""
    _, height, width = stack.pixels.shape
    columns, rows = np.array([0, 0, width, width]), np.array([0, height, 0, height])
    return stack.to_patient(columns, rows, np.arange(len(stack))[:, None])
