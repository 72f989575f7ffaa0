"""Every damage changes its own study, and nothing else."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

import kitlib.faults.kinds  # noqa: F401 - registers the damages
from kitlib.faults.registry import DAMAGES
from kitlib.faults.subject import IMAGES, SAMPLE, SERIES_TABLE, Bed

KINDS = ("tables", "folders", "files", "tags", "pixels", "streams")


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Bed:
    return Bed.draw(tmp_path_factory.mktemp("bed") / "phantoms", studies=3, drawn=2, seed=5)


def content(folder: Path) -> dict[str, str]:
    """The contents of a folder, including links and pipes."""
    found = {}
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(at, name)
            is_file = stat.S_ISREG(path.lstat().st_mode)
            small = is_file and path.stat().st_size < 2**24
            what = hashlib.sha256(path.read_bytes()).hexdigest() if small else str(path.lstat().st_mode)
            found[str(path.relative_to(folder))] = what
    return found


def lines(root: Path, study_id: int) -> list[bytes]:
    """The lines of both tables that begin with a study's number."""
    tables = b"".join((root / name).read_bytes() for name in (SERIES_TABLE, SAMPLE)).splitlines()
    return [line for line in tables if line.startswith(str(study_id).encode())]


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_changes_its_study_and_nothing_else(bed: Bed, tmp_path: Path, name: str) -> None:
    study_id, other = [*bed.origins][:2]
    whole = content(bed.root)
    root = bed.copy(tmp_path / "copy", [study_id, other])
    before = content(root)
    DAMAGES[name].change(bed.subject(root, study_id, "1"))
    assert content(bed.root) == whole
    assert content(root) != before
    assert content(root / IMAGES / str(other)) == content(bed.root / IMAGES / str(other))
    assert lines(root, other) == lines(bed.copy(tmp_path / "again", [study_id, other]), other)


def test_every_kind_has_its_damages_and_each_says_what_it_does() -> None:
    assert {damage.kind for damage in DAMAGES.values()} == set(KINDS)
    assert len(DAMAGES) >= 58
    assert all(damage.what and not damage.what.endswith(".") for damage in DAMAGES.values())


def test_what_is_drawn_follows_from_the_seed_and_the_study(bed: Bed, tmp_path: Path) -> None:
    copies = []
    for number in range(2):
        root = bed.copy(tmp_path / str(number), [*bed.origins])
        for study_id in bed.origins:
            DAMAGES["file of noise"].change(bed.subject(root, study_id, "7"))
        copies.append(content(root))
    assert copies[0] == copies[1]
