"""A small build that Kaggle would accept, for tests to break; and whether a process ends."""

import contextlib
import json
import shutil
import time
from pathlib import Path

import psutil

from kitlib.competition.root import SLUG
from kitlib.kaggle.build import COMMANDS_FILE, DATASET_FILE, KERNEL_FILE, WHEELS, build, kernel_slug
from kitlib.run.steps import STEPS

OWNER = "someone"
KERNEL = f"kernels/{kernel_slug(STEPS[-1])}"
DATASET = "datasets/kitlib-code"
__all__ = ["COMMANDS_FILE", "DATASET", "DATASET_FILE", "KERNEL", "KERNEL_FILE", "OWNER", "SLUG", "WHEELS"]


def make_build(folder: Path, **how: object) -> Path:
    """A build of this repository."""
    build(folder, OWNER, "smoke", **how)
    return folder


def without_kit(build: Path, folder: Path) -> Path:
    """A copy of a build whose datasets are nearly empty."""
    return shutil.copytree(build, folder, ignore=shutil.ignore_patterns("kitlib"))


def change(file: Path, **fields: object) -> None:
    """Change fields of a JSON file; None removes one."""
    value = json.loads(file.read_text(encoding="utf-8")) | fields
    kept = {name: field for name, field in value.items() if field is not None}
    file.write_text(json.dumps(kept), encoding="utf-8")


def ends_soon(pid: int) -> bool:
    """Whether a process ends within seconds; a zombie counts as ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process, end_s = psutil.Process(pid), time.monotonic() + 10
        while process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > end_s:
                process.kill()
                return False
            time.sleep(0.05)
    return True
