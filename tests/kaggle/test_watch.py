import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kitlib.kaggle import watch as module
from kitlib.kaggle.image import LIMITS, Limits
from kitlib.kaggle.watch import Watched, watch
from tests.kaggle.builders import ends_soon

START = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "60"])
open(sys.argv[1], "w").write(f"{child.pid}\\n")
time.sleep(60)
"""
WRITE = "import sys, time; open(sys.argv[1], 'wb').write(bytes(3 * 2**20)); time.sleep({s})"


def run(tmp_path: Path, code: str, limits: Limits = LIMITS, limit_s: float = 30) -> tuple[Watched, int]:
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "file")])
    watched = watch(process, tmp_path, limits, limit_s)
    return watched, process.returncode


def test_what_is_taken_is_measured(tmp_path: Path) -> None:
    watched, code = run(tmp_path, WRITE.format(s=1))
    assert (watched.ended, code) == ("", 0)
    assert watched.written_mb == pytest.approx(3)
    assert watched.peak_memory_mb > 3


@pytest.mark.parametrize(
    ("limits", "limit_s", "why"),
    [
        (LIMITS, 0.5, "ran longer than 0 s"),
        (Limits(memory_gb=0.001), 30, "and Kaggle has 0.001 GB"),
        (Limits(disk_gb=0.001), 30, "it wrote 3 MB, and the working folder has 0.001 GB"),
    ],
)
def test_what_goes_beyond_a_limit_is_ended_and_says_why(
    tmp_path: Path, limits: Limits, limit_s: float, why: str
) -> None:
    watched, code = run(tmp_path, WRITE.format(s=30), limits, limit_s)
    assert why in watched.ended
    assert code != 0


def child_in(file: Path) -> int:
    """The process id that a process writes for its child."""
    end_s = time.monotonic() + 30
    while not (file.is_file() and file.read_text().endswith("\n")):
        assert time.monotonic() < end_s
        time.sleep(0.05)
    return int(file.read_text())


def test_children_end_with_it(tmp_path: Path) -> None:
    run(tmp_path, START, limit_s=2)
    assert ends_soon(child_in(tmp_path / "file"))


def test_children_end_where_the_watch_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(subprocess.Popen):
        def wait(self, timeout: float | None = None) -> int:
            if timeout is not None:
                child_in(tmp_path / "file")
                raise KeyboardInterrupt
            return super().wait()

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, START)
    assert ends_soon(child_in(tmp_path / "file"))


def test_folders_that_go_away_while_they_are_measured_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("goes", "stays"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(2**20))
    scandir = os.scandir

    def vanishing(path: "os.PathLike[str] | str") -> object:
        if Path(path).name == "goes":
            raise FileNotFoundError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert module._size_mb(tmp_path) == 1
