"""Files in packages: found by metadata, never imported, and refused if they are not what was expected."""

import sys
from pathlib import Path

import pytest

from kitlib.embed.weights.packages import package_file
from kitlib.errors import WeightsError
from tests.embed.builders import install

HINT = "Install it."


def test_a_file_is_found_and_its_package_is_not_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = install(monkeypatch, tmp_path, "some-weights", "a.pth", b"numbers")
    assert package_file("some-weights", ".pth", HINT) == file
    assert "some_weights" not in sys.modules


def test_a_package_that_is_absent_or_holds_something_else_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="not installed") as absent:
        package_file("some-weights", ".pth", HINT)
    assert (absent.value.where, absent.value.hint) == ("some-weights", HINT)
    file = install(monkeypatch, tmp_path, "some-weights", "a.pth", b"numbers")
    with pytest.raises(WeightsError, match="not those published"):
        package_file("some-weights", ".bin", HINT)
    file.unlink()
    with pytest.raises(WeightsError, match="not those published"):
        package_file("some-weights", ".pth", HINT)
