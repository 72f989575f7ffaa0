"""Imports only point down: a package imports from the layers below it and from itself, never upwards.

And tests mirror the tree: `kitlib/a/b.py` is tested by `tests/a/test_b.py`.
"""

import ast
from pathlib import Path

import pytest

KITLIB = Path(__file__).parents[1] / "kitlib"
ROOM2FLOOR = {
    "terms": 0, "errors": 0, "machine": 0, "artefacts": 0, "code": 0, "cluster": 0, "mri": 1,
    "competition": 2, "phantom": 3, "nn": 3, "prepare": 4, "evaluate": 4, "embed": 5, "localise": 5,
    "grade": 6, "inputs": 6, "models": 7, "ensemble": 8, "experiments": 8, "predict": 9, "run": 10,
    "report": 11, "faults": 11, "kaggle": 11, "commands": 12, "cli": 13,
}  # fmt: skip
FILES = sorted(KITLIB.rglob("*.py"))
TESTS = Path(__file__).parent
MODULES = [path.relative_to(KITLIB).as_posix() for path in FILES if not path.stem.startswith("__")]
WHOLE = {
    "test_extending.py": "inputs, models, backbones and calibrators of one's own, through all rooms",
    "test_floors.py": "all modules",
    "test_docs.py": "the documents",
    "test_light_imports.py": "what importing each room loads",
    "test_public.py": "what `import kitlib` gives",
    "test_notebooks.py": "the notebooks",
    "localise/audit/test_mend.py": "the half of `landmarks` that mends",
    "models/test_contract.py": "every registered model",
}
"""Test files that cover more than one module; each package may also have a `test_real.py`."""

TESTED_IN = {
    "embed/pretrain/slices.py": "embed/pretrain/test_train.py",
    "embed/pretrain/targets.py": "embed/pretrain/test_train.py",
    "embed/pretrain/task.py": "embed/pretrain/test_train.py",
    "embed/pretrain/volumes.py": "embed/pretrain/test_train.py",
    "embed/runtime/quantise.py": "embed/runtime/test_int8.py",
    "experiments/backbones.py": "experiments/test_published.py",
    "experiments/experiment.py": "experiments/test_registry.py",
    "experiments/table.py": "commands/test_experiments.py",
    "faults/kinds/files.py": "faults/test_registry.py",
    "faults/kinds/folders.py": "faults/test_registry.py",
    "faults/kinds/pixels.py": "faults/test_registry.py",
    "faults/kinds/streams.py": "faults/test_registry.py",
    "faults/kinds/tables.py": "faults/test_registry.py",
    "faults/kinds/tags.py": "faults/test_registry.py",
    "localise/audit/findings.py": "localise/audit/test_landmarks.py",
    "localise/audit/geometry.py": "localise/audit/test_landmarks.py",
    "localise/audit/tables.py": "localise/audit/test_landmarks.py",
    "localise/train/perturb.py": "localise/train/test_evaluate.py",
    "localise/train/transitional.py": "localise/test_transitional.py",
    "localise/train/transitional_samples.py": "localise/test_transitional.py",
    "models/attention.py": "models/test_contract.py",
    "models/crop/batches.py": "models/crop/test_model.py",
    "models/crop/network.py": "models/crop/test_model.py",
    "models/base.py": "models/test_contract.py",
    "models/boosting.py": "models/test_contract.py",
    "models/pooled/cell_networks.py": "models/pooled/test_model.py",
    "models/pooled/classifiers.py": "models/pooled/test_model.py",
    "models/pooled/trees.py": "models/pooled/test_model.py",
    "models/pseudo/learned.py": "models/pseudo/test_imputers.py",
    "models/pseudo/networks.py": "models/pseudo/test_imputers.py",
    "models/svc.py": "models/test_contract.py",
    "mri/assemble.py": "mri/test_series.py",
    "mri/dicom/codecs.py": "mri/dicom/test_slices.py",
    "mri/dicom/frames.py": "mri/dicom/test_slices.py",
    "mri/dicom/header.py": "mri/dicom/test_slices.py",
    "mri/dicom/pixels.py": "mri/dicom/test_slices.py",
    "mri/dicom/worker.py": "mri/dicom/test_decoder.py",
    "phantom/body/arches.py": "phantom/body/test_bones.py",
    "phantom/body/pathology.py": "phantom/body/test_bones.py",
    "phantom/body/section.py": "phantom/body/test_canal.py",
    "phantom/scan/contrast.py": "phantom/scan/test_domain_randomised.py",
    "phantom/scan/prescription.py": "phantom/scan/test_plans.py",
    "predict/predictor.py": "predict/test_stream.py",
    "report/pages/published.py": "commands/test_experiments.py",
}
"""Modules without their own test file, with the file that tests them as part of something larger."""


def room_of(path: Path) -> str:
    return path.relative_to(KITLIB).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    modules: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            modules.append(node.module or "")
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    return {module.split(".")[1] for module in modules if module.startswith("kitlib.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(KITLIB)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    for other in imported_rooms(path) - {room}:
        same_floor_as_base = ROOM2FLOOR[other] == ROOM2FLOOR[room] == 0
        assert ROOM2FLOOR[other] < ROOM2FLOOR[room] or same_floor_as_base, f"{room} imports {other}"


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} - {"__init__", "__main__"} <= set(ROOM2FLOOR)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_its_test_file(module: str) -> None:
    own = mirror_of(module)
    assert (TESTS / own).is_file() != (module in TESTED_IN), f"{own} is missing, or no exception any more"
    assert (TESTS / TESTED_IN.get(module, own)).is_file()


def test_every_test_file_is_about_something_that_exists() -> None:
    found = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    others = {path for path in found if not path.endswith("/test_real.py")} - set(WHOLE)
    assert others <= {mirror_of(module) for module in MODULES}
    assert set(TESTED_IN) <= set(MODULES)
    assert set(WHOLE) <= found


def mirror_of(module: str) -> str:
    room, _, name = module.rpartition("/")
    return f"{room}/test_{name}".removeprefix("/")
