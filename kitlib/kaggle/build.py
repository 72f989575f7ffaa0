"""Build what has to be uploaded: datasets of code and weights, and the notebooks as a chain of kernels."""

import json
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import kitlib
from kitlib.artefacts import write_text
from kitlib.competition.root import SLUG
from kitlib.errors import StepError, UsageError
from kitlib.kaggle.image import ACCELERATOR
from kitlib.run.data import repository
from kitlib.run.execute import PARAMETERS_TAG
from kitlib.run.profiles import profile_named
from kitlib.run.steps import STEPS, Step

CODE, WEIGHTS, WHEELS = "kitlib-code", "kitlib-weights", "kitlib-wheels"
DATASET_FILE, KERNEL_FILE, COMMANDS_FILE = "dataset-metadata.json", "kernel-metadata.json", "commands.txt"
TRAINED = "*.safetensors*"
"""Weights and their sidecars."""
INJECTED_TAG = "injected-parameters"
"""Papermill's tag for the cell it adds with the parameters of one run."""

FIRST_CELL = """\
# Datasets are mounted read-only, at input/<slug> or, depending on the year, input/datasets/<owner>/<slug>.
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_input = Path(os.environ.get("KITLIB_KAGGLE", "/kaggle")) / "input"
_kit = Path(tempfile.gettempdir()) / "kitlib-kit"
for _slug in {slugs!r}:
    _mounts = [*_input.glob(_slug), *_input.glob(f"datasets/*/{{_slug}}")]
    assert _mounts, f"Attach the dataset {{_slug}}."
    shutil.copytree(_mounts[0], _kit, dirs_exist_ok=True)
if _wheels := sorted(map(str, _kit.glob("*.whl"))):
    _how = ("--quiet", "--no-index", "--no-deps", "--upgrade", "--target", str(_kit))
    subprocess.run([sys.executable, "-m", "pip", "install", *_how, *_wheels], check=True)
sys.path.insert(0, str(_kit))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_kit), os.environ.get("PYTHONPATH"))))

import kitlib

assert Path(kitlib.__file__).is_relative_to(_kit), f"another kitlib is in the way: {{kitlib.__file__}}"
"""


def build(
    out: Path,
    owner: str,
    profile: str = "kaggle",
    overrides: Mapping[str, Any] | None = None,
    wheels: Collection[Path] = (),
) -> None:
    """Build into the folder `out`, completely or not at all; raises UsageError if it is not empty.

    `overrides` are parameters written into every notebook; `wheels` are packages missing from Kaggle's image,
    which the notebooks install without a network.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError("the folder is not empty", where=out, hint="Name another, or delete it.")
    home = repository()
    if home is None:
        raise StepError("no notebooks/ folder here or above", hint="Run it in the repository.")
    slugs = (CODE, WEIGHTS, WHEELS) if wheels else (CODE, WEIGHTS)
    parameters, first_cell = _parameters(profile, overrides or {}), FIRST_CELL.format(slugs=slugs)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".kaggle-") as draft:
        whole = Path(draft) / "build"
        _write_kit(whole / "datasets", home)
        _copy(wheels, whole / "datasets" / WHEELS)
        for slug in slugs:
            _write_json(whole / "datasets" / slug / DATASET_FILE, _dataset_metadata(owner, slug))
        for step in STEPS:
            notebook = _kernel_notebook(home / "notebooks" / step.notebook, first_cell, parameters)
            _write_json(whole / "kernels" / kernel_slug(step) / step.notebook, notebook)
            metadata = _kernel_metadata(step, owner, slugs)
            _write_json(whole / "kernels" / kernel_slug(step) / KERNEL_FILE, metadata)
        write_text(whole / COMMANDS_FILE, _commands(owner, slugs))
        whole.replace(out)


def kernel_slug(step: Step) -> str:
    """The slug of a step's kernel; Kaggle derives it from the title, whatever the id says."""
    return _title(step).replace(" ", "-")


def cleaned(notebook: dict[str, Any]) -> dict[str, Any]:
    """A copy of a notebook without traces of a run or an editor: outputs, counts, paths, parameters."""
    cells = []
    for cell in notebook["cells"]:
        tags = {"tags": found} if (found := cell["metadata"].get("tags")) else {}
        is_code = cell["cell_type"] == "code"
        empty: dict[str, Any] = {"execution_count": None, "outputs": []} if is_code else {}
        if INJECTED_TAG not in tags.get("tags", ()):
            cells.append({**cell, "metadata": tags, **empty})
    metadata = notebook["metadata"]
    kept = {name: metadata[name] for name in ("kernelspec", "language_info") if name in metadata}
    return {**notebook, "cells": cells, "metadata": kept}


def _commands(owner: str, slugs: Iterable[str]) -> str:
    """The commands, in order, that upload a build and submit."""
    kernels = [kernel_slug(step) for step in STEPS]
    lines = [
        "# With the kaggle tool (pip install kaggle), in this folder. For a dataset that exists already use",
        '# kaggle datasets version -p FOLDER -r zip -m "what is new" instead of create.',
        *(f"kaggle datasets create -p datasets/{slug} -r zip" for slug in slugs),
        "# Push each notebook when the one before is complete: kaggle kernels status OWNER/SLUG.",
        *(f"kaggle kernels push -p kernels/{slug}" for slug in kernels),
        "# VERSION is the number that the last push printed.",
        f"kaggle competitions submit {SLUG} -k {owner}/{kernels[-1]} -v VERSION -f submission.csv -m MESSAGE",
        "# Download results for the ledger, then run: python -m kitlib kaggle record results",
        *(f"kaggle kernels output {owner}/{slug} -p results" for slug in kernels[3:]),
    ]
    return "\n".join(lines) + "\n"


def _title(step: Step) -> str:
    return f"kitlib {step.name.replace('_', ' ')}"


def _parameters(profile: str, overrides: Mapping[str, Any]) -> str:
    """The source of the parameters cell; raises UsageError on an unknown profile or parameter."""
    chosen = profile_named(profile).with_overrides(overrides)
    own = "".join(f"{name} = {getattr(chosen, name)!r}\n" for name in overrides)
    return f'profile = {profile!r}\ndata_dir = ""\nwork_dir = ""\n{own}'.rstrip()


def _write_kit(datasets: Path, home: Path) -> None:
    """Write the kit's code and its weights, which seldom change, as one dataset each."""
    package = Path(kitlib.__file__).parent
    left_out = shutil.ignore_patterns("__pycache__", TRAINED)
    shutil.copytree(package, datasets / CODE / package.name, ignore=left_out)
    for notebook in (home / "notebooks").glob("*.ipynb"):
        _write_json(datasets / CODE / "notebooks" / notebook.name, _read_cleaned(notebook))
    for file in package.rglob(TRAINED):
        _copy([file], datasets / WEIGHTS / file.parent.relative_to(package.parent))


def _copy(files: Iterable[Path], folder: Path) -> None:
    for file in files:
        if not file.is_file():
            raise UsageError("there is no such file", where=file)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / file.name)


def _read_cleaned(notebook: Path) -> dict[str, Any]:
    return cleaned(json.loads(notebook.read_text(encoding="utf-8")))


def _kernel_notebook(source: Path, first_cell: str, parameters: str) -> dict[str, Any]:
    """A notebook with the cell that finds the kit put first, and these parameters."""
    notebook = _read_cleaned(source)
    for cell in notebook["cells"]:
        if PARAMETERS_TAG in cell["metadata"].get("tags", []):
            cell["source"] = parameters
    cell = {"cell_type": "code", "id": "kaggle-kit", "source": first_cell.rstrip()}
    notebook["cells"].insert(1, cell | {"metadata": {}, "execution_count": None, "outputs": []})
    return notebook


def _dataset_metadata(owner: str, slug: str) -> dict[str, Any]:
    return {"id": f"{owner}/{slug}", "title": slug.replace("-", " "), "licenses": [{"name": "apache-2.0"}]}


def _kernel_metadata(step: Step, owner: str, slugs: Iterable[str]) -> dict[str, Any]:
    reads = [kernel_slug(other) for other in STEPS if other.name in step.reads]
    return {
        "id": f"{owner}/{kernel_slug(step)}",
        "title": _title(step),
        "code_file": step.notebook,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "enable_internet": False,
        "machine_shape": ACCELERATOR,
        "dataset_sources": [f"{owner}/{slug}" for slug in slugs],
        "competition_sources": [SLUG],
        "kernel_sources": [f"{owner}/{slug}" for slug in reads],
        "model_sources": [],
    }


def _write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
