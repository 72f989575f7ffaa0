"""Kernels of this interpreter, and how much memory they take."""

import contextlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from tqdm.auto import tqdm

from kitlib.machine import THREAD_VARIABLES

KERNEL = "python3"
SAMPLE_S = 0.5
KERNEL_ENVIRONMENT = {
    **dict.fromkeys(THREAD_VARIABLES, "1"),
    "OMP_WAIT_POLICY": "PASSIVE",
    # Otherwise each kernel of Python 3.11 or later warns that frozen modules hide breakpoints.
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


@contextlib.contextmanager
def own_kernel() -> Iterator[None]:
    """Let the kernel name "python3" mean this interpreter, whatever is registered under it."""
    spec = {
        # ipykernel 7 warns that its local connection is not encrypted, and calls its own shutdown an error.
        "argv": [
            sys.executable,
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
            "--log-level=CRITICAL",
        ],
        "display_name": "Python 3",
        "language": "python",
        "env": {name: os.environ.get(name, value) for name, value in KERNEL_ENVIRONMENT.items()},
    }
    with tempfile.TemporaryDirectory(prefix="kitlib-") as folder:
        kernel_dir = Path(folder) / "kernels" / KERNEL
        kernel_dir.mkdir(parents=True)
        (kernel_dir / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        others = os.environ.get("JUPYTER_PATH", "")
        path = folder + (os.pathsep + others if others else "")
        # Without JUPYTER_PLATFORM_DIRS jupyter_core warns that its folders will move.
        with _environment(JUPYTER_PATH=path, JUPYTER_PLATFORM_DIRS="1"):
            yield


class MemoryWatch:
    """Samples the memory of this process's children and shows it on a progress bar."""

    def __init__(self, bar: "tqdm[Any]") -> None:
        self.bar = bar
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            now_mb = children_memory_mb()
            self.peak_mb = max(self.peak_mb, now_mb)
            self.bar.set_postfix_str(f"memory {now_mb:.0f} MB, peak {self.peak_mb:.0f} MB", refresh=False)
            self.bar.update(0)


def children_memory_mb() -> float:
    """Memory of all children of this process, in MB; a page that several share counts once, on Linux."""
    total = 0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended since it was listed
            memory = child.memory_full_info()
            total += getattr(memory, "pss", memory.uss)
    return total / 2**20


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
