import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kitlib.kaggle.lint import lint, slug_of
from tests.kaggle.builders import COMMANDS_FILE, DATASET, DATASET_FILE, KERNEL, KERNEL_FILE, SLUG, change

NOTEBOOK = f"{KERNEL}/06_submission.ipynb"
Spoil = Callable[[Path], object]


def kernel(**fields: object) -> Spoil:
    return lambda build: change(build / KERNEL / KERNEL_FILE, **fields)


def dataset(**fields: object) -> Spoil:
    return lambda build: change(build / DATASET / DATASET_FILE, **fields)


def added(name: str) -> Spoil:
    return lambda build: (build / name).write_text("")


def cell(source: str) -> Spoil:
    def add(build: Path) -> None:
        content = json.loads((build / NOTEBOOK).read_text())
        empty = {"metadata": {}, "execution_count": None, "outputs": []}
        content["cells"].append({"cell_type": "code", "source": source, **empty})
        (build / NOTEBOOK).write_text(json.dumps(content))

    return add


def left(notebook: str, **fields: object) -> Spoil:
    """Add fields to the last cell of a notebook, as a run does."""

    def leave(build: Path) -> None:
        content = json.loads((build / notebook).read_text())
        content["cells"][-1] |= fields
        (build / notebook).write_text(json.dumps(content))

    return leave


KERNEL_SPOILT = {
    "no metadata": (lambda build: (build / KERNEL / KERNEL_FILE).unlink(), "metadata are missing"),
    "metadata of no sense": (lambda build: (build / KERNEL / KERNEL_FILE).write_text("{"), "do not parse"),
    "title of another slug": (kernel(title="kitlib the last"), "makes the slug 'kitlib-the-last'"),
    "capital letters": (kernel(id="someone/Kitlib-06-submission"), "not owner/slug"),
    "no owner": (kernel(id="kitlib-06-submission"), "not owner/slug"),
    "a long title": (kernel(id="a/" + 51 * "a", title=51 * "a"), "6 to 50 characters"),
    "internet left out": (kernel(enable_internet=None), "enable_internet: false"),
    "internet as text": (kernel(enable_internet="false"), "enable_internet: false"),
    "internet on": (kernel(enable_internet=True), "enable_internet: false"),
    "no accelerator": (kernel(enable_gpu=False), "NvidiaTeslaT4"),
    "the default accelerator": (kernel(machine_shape=None), "NvidiaTeslaT4"),
    "an accelerator that is too old": (kernel(machine_shape="NvidiaTeslaP100"), "NvidiaTeslaT4"),
    "a script": (kernel(kernel_type="script"), "kernel_type: notebook"),
    "another language": (kernel(language="r"), "language: python"),
    "a second file": (added(f"{KERNEL}/helper.py"), "not helper.py"),
    "no notebook": (lambda build: (build / NOTEBOOK).unlink(), "not a notebook of plain Python"),
    "a shell's command": (cell("!pip install kit"), "not a notebook of plain Python"),
    "no kernelspec": (lambda build: change(build / NOTEBOOK, metadata={}), "no kernelspec"),
    "a path of this machine": (cell("open('/home/me/train.csv')"), "'/home/me/train.csv' is a path"),
    "a path from home": (cell("folder = '~/data'"), "'~/data' is a path"),
    "outputs": (left(NOTEBOOK, outputs=[{"output_type": "stream"}]), "06_submission.ipynb holds traces"),
    "counts of a run": (left(NOTEBOOK, execution_count=7), "06_submission.ipynb holds traces"),
    "where papermill wrote it": (
        lambda build: change(build / NOTEBOOK, metadata={"papermill": {}}), "06_submission.ipynb holds"
    ),
    "no competition": (kernel(competition_sources=[]), f"competition_sources lack {SLUG}"),
    "a link of the chain left out": (
        kernel(kernel_sources=["someone/kitlib-03-embeddings", "someone/kitlib-04-modelling"]),
        "kernel_sources lack 05_ensembling",
    ),
    "another owner's dataset": (kernel(dataset_sources=["you/kitlib-code"]), "its source you/kitlib-code"),
}  # fmt: skip
DATASET_SPOILT = {
    "a short title": (dataset(id="a/kit", title="kit"), "6 to 50 characters"),
    "outputs in the code": (
        left(f"{DATASET}/notebooks/01_eda.ipynb", outputs=[{"output_type": "stream"}]), "01_eda.ipynb holds"
    ),
    "an equals sign": (added(f"{DATASET}/fold=1.json"), "strips '=' from names: fold=1.json"),
    "no licence": (dataset(licenses=None), "exactly one licence"),
    "two licences": (dataset(licenses=[{"name": "CC0-1.0"}, {"name": "apache-2.0"}]), "exactly one licence"),
    "sub-folders dropped": (lambda build: (build / COMMANDS_FILE).unlink(), "without -r zip"),
    "a wheel of another Python": (
        added(f"{DATASET}/kit-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"), "not for Python 3.12 on Linux"
    ),
    "a wheel of a later Python": (
        added(f"{DATASET}/kit-1.0-cp314-abi3-manylinux_2_28_x86_64.whl"), "not for Python 3.12"
    ),
    "a wheel of another libc": (
        added(f"{DATASET}/kit-1.0-cp312-cp312-musllinux_1_2_x86_64.whl"), "not for Python 3.12"
    ),
    "a wheel of another processor": (
        added(f"{DATASET}/kit-1.0-cp312-cp312-manylinux_2_28_aarch64.whl"), "not for Python 3.12"
    ),
    "a wheel of another system": (added(f"{DATASET}/kit-1.0-py3-none-win_amd64.whl"), "not for Python 3.12"),
}  # fmt: skip


def test_what_is_built_has_no_fault(whole_build: Path, light_build: Path) -> None:
    assert lint(whole_build) == []
    assert lint(light_build) == []


@pytest.mark.parametrize("name", [*KERNEL_SPOILT, *DATASET_SPOILT])
def test_each_trap_is_told_with_its_place(light_build: Path, name: str) -> None:
    place = "kitlib-06-submission" if name in KERNEL_SPOILT else "kitlib-code"
    spoil, message = {**KERNEL_SPOILT, **DATASET_SPOILT}[name]
    spoil(light_build)
    assert any(line.startswith(f"{place}: ") and message in line for line in lint(light_build))


@pytest.mark.parametrize(
    "name",
    [
        "kit-1-py3-none-any.whl",
        "kit-1-cp312-cp312-manylinux2014_x86_64.whl",
        "kit-1-cp39-abi3-linux_x86_64.whl",
        "kit-1-cp312-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "kit-1-cp37.cp38.cp39.cp310-abi3-manylinux1_x86_64.whl",
        "kit-1-py2.py3-none-any.whl",
        "kit-1-2-py312-none-any.whl",
    ],
)
def test_wheels_that_the_image_can_install_pass(light_build: Path, name: str) -> None:
    added(f"{DATASET}/{name}")(light_build)
    assert lint(light_build) == []


def test_paths_of_kaggle_and_fractions_are_no_fault(light_build: Path) -> None:
    cell("open('/kaggle/input/train.csv'), '/', '1/2', 'a/b', '/ 4'")(light_build)
    assert lint(light_build) == []


def test_a_folder_that_is_no_build_is_said(tmp_path: Path) -> None:
    assert lint(tmp_path) == [f"{tmp_path}: this is not a build"]


@pytest.mark.parametrize(
    ("title", "slug"), [("kitlib 01 eda", "kitlib-01-eda"), ("  A (new) Title! ", "a-new-title")]
)
def test_slugs_are_those_of_titles(title: str, slug: str) -> None:
    assert slug_of(title) == slug
