"""Mutated files crash no process, cost little, and are detected wherever possible."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from kitlib.faults.mutants import (
    CODED,
    GEOMETRY,
    PIXELS,
    SAME,
    STRUCTURE,
    TAGS,
    VALUES,
    Original,
    encoded_originals,
    mutant_table,
    mutants,
    spoilt,
)
from kitlib.machine import peak_memory_mb, reset_peak_memory, retire_workers
from tests.conftest import REAL_DIR
from tests.mri.builders import make_slice_dataset, write
from tests.mri.dicom.fuzz import originals, smooth_image

MUTANTS = int(os.environ.get("KITLIB_MUTANTS", 400))
REAL = Path(os.environ.get("KITLIB_REAL_DIR", REAL_DIR))  # real images, if there are any
MOST_S, MOST_MB, MOST_SILENT = 1.0, 300.0, 0.002


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "whole.dcm", make_slice_dataset(smooth_image()))


def changed(original: Original, tmp_path: Path, place: int, byte: int) -> str:
    """The outcome of reading a file with one byte changed."""

    class Lots(random.Random):
        def choice(self, of):
            return {list: byte}.get(type(of)) if 0x7F in of else "byte" if "byte" in of else place

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kitlib.faults.mutants.random.Random", Lots)
        (found,) = mutants([original], 1, 0, tmp_path)
    return found.came


def test_a_file_is_spoilt_within_its_room_and_by_its_seed(path):
    content = path.read_bytes()
    for seed in range(200):
        other = spoilt(content, 400, 20, random.Random(seed))
        assert other[:400] == content[:400]
        assert other == spoilt(content, 400, 20, random.Random(seed))
        assert content.endswith(other[428:]) or len(other) <= 428


def test_the_parts_of_a_file_are_told_apart(path, tmp_path):
    for original in encoded_originals(path, tmp_path):
        is_plain = original.name in ("implicit", "explicit", "big endian")
        assert list(original.part2places) == [TAGS, VALUES, *([] if is_plain else [STRUCTURE, CODED])]
        places = [place for own in original.part2places.values() for place in own]
        assert len(places) == len(set(places))
        assert original.whole.corners_mm.size
        words = {original.place2tag[place] for place in original.part2places[VALUES]}
        assert {"ImagePositionPatient", "PixelSpacing", "Rows"} <= words
        if original.name != "JPEG baseline":
            np.testing.assert_array_equal(original.whole.pixels[0], smooth_image())


def test_another_digit_is_silent_and_said_to_be_geometry(path, tmp_path):
    original = Original.of("explicit", path)
    place = path.read_bytes().index(b"0.75") + 3
    assert original.place2tag[place] == "PixelSpacing"
    assert changed(original, tmp_path, place, ord("6")) == GEOMETRY
    assert changed(original, tmp_path, place, ord("5")) == SAME
    assert changed(original, tmp_path, path.read_bytes().index(b"MR\x20\x00"), ord("X")) not in (
        GEOMETRY,
        PIXELS,
    )


@pytest.mark.slow
def test_mutants_end_no_process_cost_little_and_are_noticed(path, tmp_path, capsys):
    files = originals(tmp_path / "originals", REAL if REAL.is_dir() else None)
    whole = [Original.of(name, file) for name, file in files.items()]
    retire_workers()  # idle workers of other tests would count as decoder processes
    reset_peak_memory()
    before_mb = peak_memory_mb()
    found = list(mutants([*whole, *encoded_originals(path, tmp_path)], MUTANTS, 1, tmp_path))
    assert len(found) == MUTANTS
    assert max(mutant.seconds for mutant in found) < MOST_S
    assert max(mutant.decoder_mb for mutant in found) < MOST_MB
    assert peak_memory_mb() - before_mb < MOST_MB
    table = mutant_table(found).set_index("part")
    with capsys.disabled():
        print(f"\n{table.drop(columns='where').to_string()}")
    silent = [mutant for mutant in found if mutant.is_silent and mutant.part not in (VALUES, CODED)]
    assert len(silent) <= max(3, MOST_SILENT * MUTANTS), silent
    assert {mutant.came for mutant in found if mutant.is_silent and mutant.part == CODED} <= {PIXELS}
