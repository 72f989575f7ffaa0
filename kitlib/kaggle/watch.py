"""Watch a process and its descendants, and enforce limits of time, memory and disk."""

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from kitlib.kaggle.image import Limits
from kitlib.machine import repeating
from kitlib.run.runner import children_memory_mb


@dataclass
class Watched:
    """What a process used, and why it was killed, if it was."""

    peak_memory_mb: float = 0.0
    written_mb: float = 0.0
    ended: str = ""


def watch(process: "subprocess.Popen[Any]", working: Path, limits: Limits, limit_s: float) -> Watched:
    """Wait for the only child of this process; kill it if it exceeds a limit or we are interrupted."""
    watched = Watched()

    def sample() -> None:
        watched.peak_memory_mb = max(watched.peak_memory_mb, children_memory_mb())
        watched.written_mb = _size_mb(working)
        if watched.peak_memory_mb > 1024 * limits.memory_gb:
            end(f"it used {watched.peak_memory_mb:.0f} MB, and Kaggle has {limits.memory_gb:g} GB")
        if watched.written_mb > 1024 * limits.disk_gb:
            end(f"it wrote {watched.written_mb:.0f} MB, and the working folder has {limits.disk_gb:g} GB")

    def end(why: str) -> None:
        watched.ended = watched.ended or why
        _end_all(process)

    with repeating(sample):
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            end(f"it ran longer than {limit_s:.0f} s, its share of the time")
        finally:  # also on Ctrl-C
            _end_all(process)
            process.wait()
    watched.written_mb = _size_mb(working)
    return watched


def _end_all(process: "subprocess.Popen[Any]") -> None:
    """Kill a process that is still running, and all its descendants."""
    if process.poll() is None:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(process.pid)
            for one in (*root.children(recursive=True), root):
                one.kill()


def _size_mb(folder: Path) -> float:
    size = 0
    for place, _, names in os.walk(folder):  # unlike rglob, it skips what is removed meanwhile
        for name in names:
            with contextlib.suppress(OSError):  # removed since it was listed
                size += Path(place, name).lstat().st_size
    return size / 2**20
