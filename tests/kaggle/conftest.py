"""Fixtures of what is uploaded."""

from pathlib import Path

import pytest

from tests.kaggle.builders import make_build, without_kit


@pytest.fixture(scope="session")
def whole_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of this repository; not to be changed."""
    return make_build(tmp_path_factory.mktemp("kaggle") / "build")


@pytest.fixture
def light_build(whole_build: Path, tmp_path: Path) -> Path:
    """A copy of it without the kit in its datasets, to be changed."""
    return without_kit(whole_build, tmp_path / "build")
