"""Listing experiments and opening inputs is quick: slow imports happen only where they are used."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIGHT = (
    "artefacts.py", "competition/*.py", "embed/field_of_view.py", "embed/names.py", "embed/store.py",
    "embed/tokens.py", "experiments/registry.py", "inputs/[!c]*.py",
    "inputs/crops.py", "models/*.py", "models/*/model.py",
    "models/common/*.py", "models/pooled/classifiers.py", "mri/**/*.py", "prepare/*.py", "run/studies.py",
)  # fmt: skip
HEAVY = ("imblearn", "lightgbm", "openvino", "sklearn", "timm", "torch", "xgboost")
IMPORT_EACH = """
import importlib, json, sys

heavy, modules = map(json.loads, sys.argv[1:])
brought = {}
for module in modules:
    importlib.import_module(module)
    for name in heavy:
        if name in sys.modules:
            brought.setdefault(name, module)
print(json.dumps(brought))
"""


def light_modules() -> list[str]:
    files = sorted(file for pattern in LIGHT for file in (ROOT / "kitlib").glob(pattern))
    return [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]


def test_light_modules_bring_no_heavy_library() -> None:
    arguments = [json.dumps(HEAVY), json.dumps(light_modules())]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, *arguments], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert json.loads(done.stdout) == {}  # the library, and the first module that brought it


def test_every_pattern_finds_a_module() -> None:
    assert [pattern for pattern in LIGHT if not list((ROOT / "kitlib").glob(pattern))] == []
