"""The public names of `kitlib`: few, lazily imported, each with an example that runs."""

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import kitlib
from kitlib.competition.root import Competition
from kitlib.experiments import registry

HEAVY = ("numpy", "pandas", "torch", "timm", "lightgbm", "xgboost", "sklearn", "cv2", "pydicom")
FINDER = doctest.DocTestFinder(recurse=False)


def test_there_are_about_twenty_nouns_and_they_are_listed() -> None:
    assert 15 <= len(kitlib.__all__) <= 25
    assert kitlib.__all__ == sorted(kitlib.__all__)
    assert set(kitlib.__all__) <= set(dir(kitlib))
    with pytest.raises(AttributeError, match="no attribute 'Studdy'"):
        kitlib.Studdy  # noqa: B018


def test_importing_the_kit_imports_nothing_else() -> None:
    code = f"import kitlib, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("name", kitlib.__all__)
def test_every_noun_has_an_example_that_runs(
    name: str, data: Competition, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run in a folder with a competition and the work folder of a finished run."""
    (tmp_path / "competition").symlink_to(data.root)
    (tmp_path / "work").symlink_to(work)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "EXPERIMENTS", dict(registry.EXPERIMENTS))
    noun = getattr(kitlib, name)
    names = {**vars(inspect.getmodule(noun)), **{other: getattr(kitlib, other) for other in kitlib.__all__}}
    (example,) = FINDER.find(noun, name, globs={**names, "Path": Path})
    assert example.examples, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    runner.run(example, out=report.append)
    assert runner.failures == 0, "".join(report)
