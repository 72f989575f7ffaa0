"""Fixtures for all tests."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kitlib.machine import limit_threads

if TYPE_CHECKING:
    from kitlib.competition.root import Competition
    from kitlib.predict.predictor import Predictor

limit_threads()

REAL_DIR = Path(__file__).parents[2] / "shared" / "real"


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    """Outside tests/embed, networks run uncompiled, and files are not synced to disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        if "kitlib.embed.runtime.inference" in sys.modules:
            patch.setattr("kitlib.embed.runtime.inference.silent_openvino", lambda: None)
        yield


@pytest.fixture(scope="session")
def real_dir() -> Path:
    """Real images and tables, which are not part of the project; without them, tests are skipped."""
    folder = Path(os.environ.get("KITLIB_REAL_DIR", REAL_DIR))
    if not folder.is_dir():
        pytest.skip(
            f"no real data: KITLIB_REAL_DIR is not set and {REAL_DIR.name}/ is not beside the project"
        )
    return folder


@pytest.fixture(scope="session")
def seeds_dir(real_dir: Path) -> Path:
    """The texts of the published systems, next to the real images; without them, tests are skipped."""
    folder = real_dir.parent / "seeds"
    if not folder.is_dir():
        pytest.skip(f"no published text: {folder.name}/ is not beside the real data")
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> "Competition":
    """A competition whose images are noise."""
    from tests.run.finished import make_data

    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory, data: "Competition") -> Path:
    """The work folder of a finished run on it; copy it before changing anything."""
    from tests.run.finished import make_run

    return make_run(tmp_path_factory.mktemp("work"), data)


@pytest.fixture(scope="session")
def predictor(work: Path) -> "Predictor":
    """The predictor of that run."""
    from kitlib.run.finished import finished_predictor

    return finished_predictor(work)
