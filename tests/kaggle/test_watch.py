import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from kitlib.kaggle.image import LIMITS, Limits
from kitlib.kaggle.watch import Watched, watch

SLEEP = """
import subprocess
subprocess.run(["sleep", "60"])
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


def test_children_end_with_it(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    run(tmp_path, SLEEP, limit_s=1)
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert all(child.status() == psutil.STATUS_ZOMBIE for child in left)
