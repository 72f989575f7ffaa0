import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from kitlib.errors import UsageError
from kitlib.kaggle import build as module
from kitlib.kaggle.build import CODE, FIRST_CELL, WEIGHTS, WHEELS, kernel_slug
from kitlib.run.steps import STEPS
from tests.kaggle.builders import KERNEL, KERNEL_FILE, OWNER, make_build

PACKAGE = Path(module.kitlib.__file__).parent


def sources(notebook: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(notebook.read_text())["cells"]]


def test_code_and_weights_are_the_kit_and_share_no_file(whole_build: Path) -> None:
    code, weights = (
        {path.relative_to(whole_build / "datasets" / slug) for path in files.rglob("*") if path.is_file()}
        for slug in (CODE, WEIGHTS)
        for files in [whole_build / "datasets" / slug / "kitlib"]
    )
    kit = {path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*") if path.is_file()}
    assert not code & weights
    assert code | weights == {path for path in kit if "__pycache__" not in path.parts}
    assert all(".safetensors" in path.name for path in weights)
    assert len(weights) >= 8  # four networks and their sidecars


def test_each_kernel_attaches_what_its_notebook_reads(whole_build: Path) -> None:
    for step in STEPS:
        metadata = json.loads((whole_build / "kernels" / kernel_slug(step) / KERNEL_FILE).read_text())
        slugs = [name.replace("_", "-") for name in step.reads]
        assert metadata["kernel_sources"] == [f"{OWNER}/kitlib-{slug}" for slug in slugs]


def test_parameters_stand_in_their_cell_in_their_types(tmp_path: Path) -> None:
    built = make_build(tmp_path / "build", overrides={"epochs": "3", "grey": "equalised"})
    cells = sources(built / KERNEL / "06_submission.ipynb")
    assert "profile = 'smoke'\ndata_dir = \"\"\nwork_dir = \"\"\nepochs = 3\ngrey = 'equalised'" in cells
    assert len(cells) == 1 + len(sources(PACKAGE.parent / "notebooks" / "06_submission.ipynb"))


@pytest.mark.parametrize("how", [{"overrides": {"epochz": 1}}, {"wheels": [Path("absent.whl")]}])
def test_what_cannot_be_built_leaves_nothing(tmp_path: Path, how: dict) -> None:
    with pytest.raises(UsageError, match=r"unknown parameter|no such file"):
        make_build(tmp_path / "build", **how)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        make_build(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_that_a_run_has_left_is_uploaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    shutil.copytree(PACKAGE.parent / "notebooks", home / "notebooks")
    for path in (home / "notebooks").glob("*.ipynb"):
        notebook = json.loads(path.read_text())
        for cell in notebook["cells"]:
            cell["metadata"]["papermill"] = {"start_time": "SECRET"}
            if cell["cell_type"] == "code":
                cell |= {"execution_count": 3, "outputs": [{"output_type": "stream", "text": "SECRET"}]}
        injected = {"tags": ["injected-parameters"]}
        cell = {"cell_type": "code", "source": "data_dir = 'SECRET'", "metadata": injected, "outputs": []}
        notebook["cells"].insert(2, cell)
        notebook["metadata"]["papermill"] = {"input_path": "SECRET"}
        path.write_text(json.dumps(notebook))
    (home / "kitlib").mkdir()
    monkeypatch.setattr(module, "kitlib", SimpleNamespace(__file__=str(home / "kitlib" / "__init__.py")))
    monkeypatch.setattr(module, "repository", lambda: home)
    built = make_build(tmp_path / "build")
    written = sorted(built.rglob("*.ipynb"))
    assert len(written) == len(STEPS) + len(list((home / "notebooks").iterdir()))
    for path in written:
        notebook = json.loads(path.read_text())
        assert "SECRET" not in path.read_text()
        assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
        assert any("parameters" in cell["metadata"].get("tags", ()) for cell in notebook["cells"])


def run_first_cell(tmp_path: Path, slugs: tuple[str, ...], expression: str) -> str:
    """Evaluate an expression after the first cell, in a process that finds no other kit."""
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "KITLIB_KAGGLE": str(tmp_path / "kaggle"), "TMPDIR": str(tmp_path / "tmp")}
    environment.pop("PYTHONPATH", None)
    code = f"{FIRST_CELL.format(slugs=slugs)}\nprint({expression})"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip()


@pytest.mark.parametrize("place", ["{slug}", "datasets/someone/{slug}"])
def test_the_first_cell_finds_the_kit_wherever_it_is_mounted(tmp_path: Path, place: str) -> None:
    for slug, name in ((CODE, "__init__.py"), (WEIGHTS, "weights.txt")):
        folder = tmp_path / "kaggle" / "input" / place.format(slug=slug) / "kitlib"
        folder.mkdir(parents=True)
        (folder / name).write_text("")
    found = Path(run_first_cell(tmp_path, (CODE, WEIGHTS), "kitlib.__file__"))
    assert found.is_relative_to(tmp_path / "tmp")
    assert {"__init__.py", "weights.txt"} <= {path.name for path in found.parent.iterdir()}


def test_a_dataset_that_is_not_attached_is_named(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        run_first_cell(tmp_path, (CODE,), "0")
    assert "Attach the dataset kitlib-code" in raised.value.stderr


@pytest.mark.slow
def test_wheels_are_installed_beside_the_kit_and_not_into_this_python(tmp_path: Path) -> None:
    inputs = tmp_path / "kaggle" / "input"
    (inputs / CODE / "kitlib").mkdir(parents=True)
    (inputs / CODE / "kitlib" / "__init__.py").write_text("")
    (inputs / WHEELS).mkdir()
    with zipfile.ZipFile(inputs / WHEELS / "brought-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("brought.py", "ANSWER = 42")
        info = "brought-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(
            f"{info}/RECORD", f"brought.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    answer = run_first_cell(tmp_path, (CODE, WHEELS), "__import__('brought').ANSWER")
    assert answer.splitlines()[-1] == "42"
    assert (tmp_path / "tmp" / "kitlib-kit" / "brought.py").is_file()
