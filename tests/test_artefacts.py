"""Artefacts are written completely or not at all, and altered ones do not open."""

import errno
import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

from kitlib import artefacts
from kitlib.artefacts import Provenance, atomic_write, facts_of, fingerprint, fingerprint_of, is_complete
from kitlib.errors import ArtefactError

KINDS = {
    "x.npy": (artefacts.save_array, artefacts.load_array, np.arange(12.0).reshape(3, 4)),
    "x.parquet": (artefacts.save_table, artefacts.load_table, pd.DataFrame({"a": [1, 2], "b": ["x", None]})),
    "x.json": (artefacts.save_json, artefacts.load_json, {"b": [1, 2.5, None], "a": "é"}),
    "x.txt": (artefacts.save_text, artefacts.load_text, "tree\nversion=v4\n"),
    "x.safetensors": (
        artefacts.save_tensors,
        artefacts.load_tensors,
        {"w": torch.arange(6.0).reshape(2, 3).T},
    ),
}


def test_an_artefact_moves_into_the_place_of_another(tmp_path):
    new, old = tmp_path / "new.txt", tmp_path / "old.txt"
    for path in (new, old):
        artefacts.save_text(path, path.stem, Provenance())
    artefacts.move(new, old)
    assert artefacts.load_text(old) == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.txt", "old.txt.json"]


@pytest.fixture(params=KINDS)
def kind(request, tmp_path):
    """Each kind of artefact: its save and load functions, a value, and a path."""
    return *KINDS[request.param], tmp_path / "made" / request.param


def plain(value):
    """A value in a form that == can compare."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value.to_dict() if isinstance(value, pd.DataFrame) else getattr(value, "tolist", lambda: value)()


def test_there_and_back_with_facts_and_provenance(kind):
    save, load, value, path = kind
    save(
        path, value, Provenance(parameters={"epochs": 3}, inputs={"labels": "abc"}, seed=7), spacing_mm=[1, 2]
    )
    assert plain(load(path)) == plain(value)
    assert facts_of(path) == {"spacing_mm": [1, 2]}
    assert is_complete(path)
    record = json.loads(path.with_name(path.name + ".json").read_text())
    assert record["sha256"] == fingerprint_of(path) == artefacts.sha256(path)
    assert record["parameters"] == {"epochs": 3}
    assert record["inputs"] == {"labels": "abc"}
    assert record["seed"] == 7
    assert record["wall_s"] >= 0
    assert record["peak_memory_mb"] > 0
    assert record["versions"]["numpy"] == np.__version__


def test_same_bytes_on_a_second_write(kind):
    save, _, value, path = kind
    save(path, value, Provenance())
    first = path.read_bytes()
    save(path, value, Provenance())
    assert path.read_bytes() == first
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, path.name + ".json"]


def test_a_flipped_byte_is_refused(kind):
    save, load, value, path = kind
    save(path, value, Provenance())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match="sha256 differs"):
        load(path)


def test_a_file_cut_short_is_refused_and_counts_as_incomplete(kind):
    save, load, value, path = kind
    save(path, value, Provenance())
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_complete(path)
    for ask in (load, facts_of, fingerprint_of):
        with pytest.raises(ArtefactError):
            ask(path)


def test_a_broken_file_under_its_right_checksum_is_refused(kind):
    _, load, _, path = kind
    artefacts.save_text(path, "\n{", Provenance())
    path.write_bytes(b"\xff{")
    sidecar = path.with_name(path.name + ".json")
    record = json.loads(sidecar.read_text()) | {"sha256": artefacts.sha256(path)}
    sidecar.write_text(json.dumps(record))
    with pytest.raises(ArtefactError, match="but cannot be read") as caught:
        load(path)
    assert caught.value.where == str(path)


def test_a_name_that_is_no_text_is_a_name_like_others(kind):
    save, load, value, path = kind
    path = path.parent / os.fsdecode(b"a{b'\xff\n") / path.name
    save(path, value, Provenance())
    assert plain(load(path)) == plain(value)


@contextmanager
def no_room(size_bytes):
    """A disk with room for no file above a given size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_finds_no_room_is_named_and_leaves_nothing(kind):
    save, _, value, path = kind
    with no_room(4), pytest.raises(OSError, match="File too large") as caught:
        save(path, value, Provenance())
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert list(path.parent.iterdir()) == []


def test_without_its_sidecar_an_artefact_is_unfinished(kind):
    save, load, value, path = kind
    assert not is_complete(path)
    save(path, value, Provenance())
    path.with_name(path.name + ".json").unlink()
    assert not is_complete(path)
    with pytest.raises(ArtefactError, match="missing or unfinished"):
        load(path)
    with pytest.raises(ArtefactError, match="missing"):
        load(path.with_name("absent"))


@pytest.mark.parametrize("sidecar", ["", "{", "[]", "null", "{}", '{"sha256": "abc"}', "\x00"])
def test_a_damaged_sidecar_is_refused(tmp_path, sidecar):
    path = tmp_path / "x.npy"
    artefacts.save_array(path, np.zeros(3), Provenance())
    path.with_name("x.npy.json").write_text(sidecar)
    assert not is_complete(path)
    for ask in (artefacts.load_array, facts_of, fingerprint_of):
        with pytest.raises(ArtefactError, match="sidecar"):
            ask(path)


def test_a_memory_mapped_array_reads_from_the_file_and_cannot_be_written(tmp_path):
    path = tmp_path / "x.npy"
    artefacts.save_array(path, np.arange(5), Provenance())
    mapped = artefacts.load_array(path, mmap=True)
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    path.with_name("x.npy.json").unlink()
    with pytest.raises(ArtefactError, match="unfinished"):
        artefacts.load_array(path, mmap=True)


def test_objects_are_not_saved_as_code(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        artefacts.save_array(tmp_path / "x.npy", np.array([{}], dtype=object), Provenance())
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_raises_leaves_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def write_half() -> None:
        with atomic_write(path) as draft:
            draft.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_is_killed_leaves_the_old_file_and_a_draft_of_its_process(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys, pathlib; from kitlib.artefacts import atomic_write\n"
        "with atomic_write(pathlib.Path(sys.argv[1])) as draft:\n"
        "    draft.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)]) as killed:
        assert killed.wait() == -9
    assert path.read_text() == "old"
    assert len(list(tmp_path.glob(f".x.txt.{killed.pid}.*.draft"))) == 1


def test_a_save_that_stops_before_its_sidecar_is_unfinished_and_never_half_old(tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    artefacts.save_array(path, np.zeros(3), Provenance())

    def stop(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Provenance, "record", stop)
        with pytest.raises(KeyboardInterrupt):
            artefacts.save_array(path, np.ones(3), Provenance())
    assert not is_complete(path)
    artefacts.save_array(path, np.ones(3), Provenance())
    np.testing.assert_array_equal(artefacts.load_array(path), np.ones(3))


def test_write_text_makes_the_folder_and_no_sidecar(tmp_path):
    artefacts.write_text(tmp_path / "a" / "page.html", "é")
    assert (tmp_path / "a" / "page.html").read_text(encoding="utf-8") == "é"
    assert len(list((tmp_path / "a").iterdir())) == 1


def test_a_fingerprint_follows_every_part_and_no_order_of_keys():
    assert fingerprint({"a": 1, "b": 2}, "x") == fingerprint({"b": 2, "a": 1}, "x")
    parts = [(1,), ("1",), (1, 2), ([1, 2],), ({"a": 1},), ({"a": 2},), ()]
    assert len({fingerprint(*part) for part in parts}) == len(parts)
    assert len(fingerprint("x")) == 16


def test_what_is_discarded_is_gone_with_its_sidecar_and_may_be_so_already(kind):
    save, _, value, path = kind
    save(path, value, Provenance())
    artefacts.discard(path)
    artefacts.discard(path)
    assert list(path.parent.iterdir()) == []


def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path):
    link, file = tmp_path / "link.csv", tmp_path / "elsewhere" / "file.csv"
    link.symlink_to(file)
    artefacts.write_text(link, "rows")
    assert link.is_symlink()
    assert file.read_text() == "rows"
    assert [path.name for path in file.parent.iterdir()] == ["file.csv"]


def test_a_pipe_or_a_device_is_written_into_and_stays_one(tmp_path):
    """As root, /dev/null would be replaced by a file for all users."""
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    artefacts.write_text(pipe, "rows")
    assert os.read(reader, 10) == b"rows"
    os.close(reader)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_drafts_of_processes_that_are_no_more_are_swept(tmp_path):
    path, gone = tmp_path / "rows.csv", subprocess.Popen(["true"])
    gone.wait()
    dead = tmp_path / f".rows.csv.{gone.pid}.0123abcd.draft"
    alive = tmp_path / f".rows.csv.{os.getpid()}.0123abcd.draft"
    others = tmp_path / f".other.csv.{gone.pid}.0123abcd.draft"
    for file in (path, dead, alive, others):
        file.touch()
    artefacts.sweep(artefacts.drafts_of(path))
    assert {*tmp_path.iterdir()} == {path, alive, others}
