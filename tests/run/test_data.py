"""Phantoms of a work folder: drawn if there are none, never replaced by others. Locks on folders."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kitlib.errors import DataError, StepError
from kitlib.phantom import archive
from kitlib.run.data import attached_results, resolve_competition, sole_run
from kitlib.run.profiles import Profile, profile_named
from kitlib.run.steps import write_manifest

ONE = profile_named("smoke").with_overrides({"phantom_studies": 1, "phantom_test_studies": 1, "workers": 1})

NAME = "a [b].npy"
HOLD = """
import sys, time
from pathlib import Path
from kitlib.run.data import sole_run
with sole_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    assert resolve_competition(ONE, "", work).root == work / "phantoms"
    return work


def forbid_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "draw_study", lambda *_, **__: pytest.fail("drawn again"))


def files(work: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in work.rglob("*")}


def test_phantoms_are_drawn_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(work)
    forbid_drawing(monkeypatch)
    resolve_competition(ONE, "", work)
    assert files(work) == before


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (ONE.with_overrides({"seed": 7}), "seed 2024, not 7"),
        (
            profile_named("demo").with_overrides({"workers": 1}),
            "studies 1, not 60, test_studies 1, not 15, size smoke, not demo",
        ),
    ],
    ids=["seed", "profile"],
)
def test_other_phantoms_are_not_replaced(
    work: Path, monkeypatch: pytest.MonkeyPatch, other: Profile, said: str
) -> None:
    before = files(work)
    forbid_drawing(monkeypatch)
    with pytest.raises(DataError, match=rf"other phantoms: {said} .*another work folder \(--work\)"):
        resolve_competition(other, "", work)
    assert files(work) == before


def test_unfinished_phantoms_are_finished(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = work / "phantoms" / "sample_submission.csv"
    before = table.read_bytes()
    table.unlink()
    forbid_drawing(monkeypatch)  # both studies are there
    resolve_competition(ONE, "", work)
    assert table.read_bytes() == before


def test_a_marker_cut_short_is_an_error(tmp_path: Path) -> None:
    marker = tmp_path / "phantoms" / "phantom.json"
    marker.parent.mkdir()
    marker.write_text('{"version": 2, "stu')
    with pytest.raises(DataError, match="does not parse"):
        resolve_competition(ONE, "", tmp_path)
    assert marker.is_file()


def test_a_folder_is_held_by_one_process_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    hold = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen([*hold, "60"], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(StepError, match=f"another run, process {other.pid}, is using"),
            sole_run(tmp_path),
        ):
            pass
        other.send_signal(signal.SIGKILL)
    with sole_run(tmp_path):
        assert (tmp_path / "run.lock").read_text() == str(os.getpid())


def test_what_a_run_has_started_is_part_of_it(tmp_path: Path) -> None:
    begin = [sys.executable, "-c", HOLD, str(tmp_path), "0"]
    with sole_run(tmp_path):
        subprocess.run(begin, check=True)
        with pytest.raises(StepError, match="is using this folder"), sole_run(tmp_path):
            pass
        subprocess.run(
            [sys.executable, "-c", f"import subprocess; subprocess.run({begin}, check=True)"], check=True
        )
        assert (tmp_path / "run.lock").read_text() == str(os.getpid())


def test_what_killed_writers_have_left_is_taken_away_and_nothing_else(tmp_path: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    (tmp_path / "step").mkdir()
    name = f"{NAME}.{killed.pid}.0123abcd.draft"
    left = tmp_path / "step" / f".{name}"
    kept = [
        tmp_path / "step" / f".{NAME}.{os.getpid()}.0123abcd.draft",  # of a running process
        tmp_path / "step" / name,  # under another name
        tmp_path / "step" / f".a.{killed.pid}.draft",
    ]
    for path in (left, *kept):
        path.touch()
    with sole_run(tmp_path):
        assert sorted((tmp_path / "step").iterdir()) == sorted(kept)


def test_attached_results_are_found_wherever_they_are_mounted_and_no_image_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kitlib.run.data.KAGGLE_INPUT", tmp_path)
    attached = [
        tmp_path / name for name in ("flat", "nested/kept", "notebooks/me/new", "notebooks/me/old/work")
    ]
    images = tmp_path / "competition" / "train_images" / "1" / "2"
    for folder in (*attached, images, tmp_path / "a" / "b" / "c" / "d" / "too_deep"):
        write_manifest(folder, "01_eda", {"outputs": {}})
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    listed: list[Path] = []
    monkeypatch.setattr(os, "scandir", lambda path, own=os.scandir: listed.append(Path(path)) or own(path))
    assert attached_results() == []  # not on Kaggle
    assert not listed
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    assert attached_results() == attached
    assert tmp_path / "competition" in listed
    assert not any(path.is_relative_to(images.parents[1]) for path in listed)


def test_a_folder_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), sole_run(tmp_path):
        raise ValueError("inside")
    with sole_run(tmp_path):
        pass
