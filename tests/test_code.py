"""The code fingerprint: it changes with everything that a class runs, and with nothing else."""

import builtins
import sys
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from kitlib import code
from kitlib.code import code_fingerprint, imports_in, module_file
from kitlib.inputs.crops import CropInput
from kitlib.models.boosting import LightGBMModel
from kitlib.models.crop.model import CropModel
from kitlib.models.svc import SVCModel

KIT = {
    "__init__.py": "from kitlib.models.other import X",
    "models/__init__.py": "",
    "models/own.py": "from kitlib.models.base import Base\ndef fit():\n    import kitlib.nn.late",
    "models/base.py": "from kitlib import Prior, __version__\nimport kitlib.errors\nclass Base: ...",
    "competition/priors.py": "from kitlib.mri.stack import Stack\nfrom kitlib.mri import series",
    "errors.py": "",
    "models/other.py": "X = 1",
    "nn/__init__.py": "",
    "nn/late.py": "from kitlib.nn import layers",
    "nn/layers.py": "",
    "mri/stack.py": "class Stack: ...",
    "mri/series.py": "",
}
CELL = """
if not 1:
    from kitlib.models.own import fit
class Own:
    chance = 0.9
    def _predict(self):
        return self.chance
"""


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name, text in KIT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "KIT", tmp_path)
    return tmp_path


def own() -> type:
    """A class that claims to be from `models/own.py`; a new one each time, as in a new process."""
    return type("Own", (), {"__module__": "kitlib.models.own"})


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> InteractiveShell:
    """An IPython shell, whose cells belong to the module `__main__`, which has no file."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    for name in ("__IPYTHON__", "display"):  # which the shell sets; removed after the test
        monkeypatch.setattr(builtins, name, None, raising=False)
    return InteractiveShell(ipython_dir=str(tmp_path), config=Config(HistoryManager={"enabled": False}))


def in_cell(notebook: InteractiveShell, text: str) -> type:
    """The class `Own` from a cell."""
    notebook.run_cell(text).raise_error()
    return notebook.user_ns["Own"]


@pytest.mark.parametrize(
    "changed",
    [
        "models/own.py",
        "models/base.py",
        "nn/late.py",
        "nn/layers.py",
        "competition/priors.py",
        "mri/stack.py",
    ],
)
def test_it_changes_with_what_is_imported_even_late(kit: Path, changed: str) -> None:
    before = code_fingerprint(own())
    assert code_fingerprint(own()) == before
    (kit / changed).write_text(KIT[changed] + "\n# a comment")
    assert code_fingerprint(own()) != before


@pytest.mark.parametrize("changed", ["models/other.py", "mri/series.py", "errors.py", "__init__.py"])
def test_it_does_not_change_with_what_is_not_run_or_makes_images(kit: Path, changed: str) -> None:
    before = code_fingerprint(own())
    (kit / changed).write_text(KIT[changed] + "\n# a comment")
    assert code_fingerprint(own()) == before


def test_it_is_the_same_wherever_the_kit_lies(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_fingerprint(own())
    moved = kit.rename(kit.with_name("elsewhere"))
    monkeypatch.setattr(code, "KIT", moved)
    assert code_fingerprint(own()) == before


def test_a_class_from_elsewhere_changes_with_its_module_and_its_bases(
    kit: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "own_model_a.py").write_text("class Own:\n    chance = 0.9\n")
    (folder / "own_model_b.py").write_text("class Own:\n    chance = 0.8\n")
    monkeypatch.syspath_prepend(str(folder))
    first, second = (__import__(name).Own for name in ("own_model_a", "own_model_b"))
    assert code_fingerprint(first) != code_fingerprint(second)
    derived = [type("Derived", (own(),), {"__module__": "__main__"}) for _ in range(2)]
    before = code_fingerprint(derived[0])
    (kit / "nn/late.py").write_text("changed = True")
    assert code_fingerprint(derived[1]) != before


def test_a_base_in_another_file_of_the_user_s_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_derived.py").write_text("import own_base\nclass Own(own_base.Base): ...\n")
    prints = []
    for chance in ("0.9", "0.85"):
        (tmp_path / "own_base.py").write_text(f"class Base:\n    chance = {chance}\n")
        for name in ("own_base", "own_derived"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        prints.append(code_fingerprint(__import__("own_derived").Own))
    assert prints[0] != prints[1]


@pytest.mark.parametrize("change", [("return", "return 0 *"), ("0.9", "0.8"), ("class", "# said\nclass")])
def test_a_class_in_a_notebook_changes_with_its_cell(notebook: InteractiveShell, change: tuple) -> None:
    first, again, other = (in_cell(notebook, text) for text in (CELL, CELL, CELL.replace(*change)))
    assert code_fingerprint(first) == code_fingerprint(again) != code_fingerprint(other)


def test_a_class_in_a_notebook_changes_with_what_its_cell_imports_of_the_kit(
    kit: Path, notebook: InteractiveShell
) -> None:
    before = code_fingerprint(in_cell(notebook, CELL))
    (kit / "nn/late.py").write_text("changed = True")
    assert code_fingerprint(in_cell(notebook, CELL)) != before


def test_names_are_found_in_modules_and_packages_of_the_kit_alone() -> None:
    assert imports_in("import a.b\ndef f():\n    from c import d, e") == ("a.b", "c.d", "c.e")
    places = {
        "kitlib.terms.CELLS": "terms.py", "kitlib.embed.weights.ct": "ct.py", "kitlib.nn": "__init__.py",
        "kitlib.Prior": "priors.py", "kitlib.Stack": "stack.py", "kitlib.mri.study": "study.py",
    }  # fmt: skip
    assert {name: getattr(module_file(name), "name", None) for name in places} == places
    left_out = ("mri.series", "mri.ledger.Ledger", "phantom.study", "errors.KitError", "machine", "cluster")
    for name in ("kitlib", "numpy.linalg", *(f"kitlib.{one}" for one in left_out)):
        assert module_file(name) is None


def test_models_and_inputs_differ() -> None:
    kinds = [(LightGBMModel,), (SVCModel,), (CropModel,), (CropModel, CropInput)]
    prints = [code_fingerprint(*of) for of in kinds]
    assert len(set(prints[:3])) == 3
    assert all(len(one) == 16 for one in prints)


def test_the_code_of_the_library_is_all_of_it_wherever_it_lies(
    kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = code.library_code.__wrapped__
    before = digest()
    monkeypatch.setattr(code, "KIT", kit.rename(kit.with_name(f"{kit.name}-moved")))
    assert digest() == before
    (code.KIT / "mri/stack.py").write_text("class Stack: changed = True")
    assert digest() != before


def test_what_is_no_python_imports_nothing():
    assert imports_in("# A page\nwith `code` in it\n") == ()


def test_a_class_from_a_text_without_a_module_can_be_told():
    space = {"__name__": "nowhere"}
    exec(compile("class Own:\n    def f(self):\n        return 1\n", "README.md", "exec"), space)
    assert code_fingerprint(space["Own"])
