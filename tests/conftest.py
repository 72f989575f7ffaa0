"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

from kitlib.machine import limit_threads

limit_threads()

REAL_DIR = Path(__file__).parents[2] / "shared" / "real"


@pytest.fixture(scope="session")
def real_dir() -> Path:
    """Real images and tables, which are never part of the project; tests that need them skip without."""
    folder = Path(os.environ.get("KITLIB_REAL_DIR", REAL_DIR))
    if not folder.is_dir():
        pytest.skip(
            f"no real data: KITLIB_REAL_DIR is not set and {REAL_DIR.name}/ is not beside the project"
        )
    return folder


@pytest.fixture(scope="session")
def seeds_dir(real_dir: Path) -> Path:
    """The texts of the published systems, beside the real images; tests that need them skip without."""
    folder = real_dir.parent / "seeds"
    if not folder.is_dir():
        pytest.skip(f"no published text: {folder.name}/ is not beside the real data")
    return folder
