"""Fixtures: builds to upload."""

from pathlib import Path

import pytest

from tests.kaggle.builders import make_build, without_kit


@pytest.fixture(scope="session")
def whole_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of this repository; do not change it."""
    return make_build(tmp_path_factory.mktemp("kaggle") / "build")


@pytest.fixture
def light_build(whole_build: Path, tmp_path: Path) -> Path:
    """A copy of it without the kit in its datasets, for tests to change."""
    return without_kit(whole_build, tmp_path / "build")
