"""Lint a build before upload: find what Kaggle would refuse, or silently lose or change."""

import ast
import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from kitlib.competition.root import SLUG
from kitlib.kaggle.build import COMMANDS_FILE, DATASET_FILE, KERNEL_FILE, cleaned
from kitlib.kaggle.image import ACCELERATOR, PYTHON
from kitlib.run.steps import STEPS

SHORTEST, LONGEST = 6, 50
"""Numbers of characters that the kaggle tool accepts for a slug and a title."""
PATH_ELSEWHERE = re.compile(r"(~|/(?!kaggle(/|$))[\w.-]+)(/|$)")
MINOR = int(PYTHON.partition(".")[2])
UP_TO_MINOR = "|".join(map(str, range(MINOR + 1)))
WHEEL_TAG = re.compile(
    rf"(py3({UP_TO_MINOR})?-none|cp3{MINOR}-(none|cp3{MINOR})|cp3({UP_TO_MINOR})-abi3)"
    r"-(any|(many)?linux[\d_]*_x86_64)"
)
"""Python, ABI and platform tags of wheels that the image can install."""


@dataclass(frozen=True)
class Entry:
    """A dataset or kernel: its folder, its metadata (empty if unreadable), and all ids of the build."""

    folder: Path
    metadata: dict[str, Any]
    known: frozenset[str]

    def words(self, name: str) -> list[str]:
        """A metadata field that is a list of strings; empty if absent."""
        return [str(word) for word in self.metadata.get(name) or ()]


def lint(build: Path) -> list[str]:
    """Everything wrong with a build, one line each; an empty list if it can be uploaded."""
    files = [*sorted(build.glob("datasets/*")), *sorted(build.glob("kernels/*"))]
    metadata = {folder: _metadata(folder) for folder in files}
    known = frozenset(str(facts.get("id")) for facts in metadata.values())
    found = [] if files else [f"{build}: this is not a build"]
    for folder, facts in metadata.items():
        entry, is_kernel = Entry(folder, facts, known), folder.parent.name == "kernels"
        traps = (*TRAPS, *(KERNEL_TRAPS if is_kernel else DATASET_TRAPS))
        found += [f"{folder.name}: {what}" for trap in traps for what in trap(entry)]
    return found


def slug_of(title: str) -> str:
    """The slug that Kaggle derives from a title."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _metadata(folder: Path) -> dict[str, Any]:
    name = KERNEL_FILE if folder.parent.name == "kernels" else DATASET_FILE
    try:
        return dict(json.loads((folder / name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _names(entry: Entry) -> Iterator[str]:
    identity, title = (str(entry.metadata.get(name, "")) for name in ("id", "title"))
    slug = identity.partition("/")[2]
    if not entry.metadata:
        yield "its metadata are missing or do not parse"
    elif not re.fullmatch(r"[\w-]+/[a-z0-9-]+", identity):
        yield f"the id {identity!r} is not owner/slug, in lower-case letters, digits and dashes"
    elif slug_of(title) != slug:  # the title wins, and sources that name the id are not found
        yield f"the title {title!r} makes the slug {slug_of(title)!r}, and the id says {slug!r}"
    elif not SHORTEST <= len(slug) <= LONGEST:
        yield f"title and slug must have {SHORTEST} to {LONGEST} characters"


def _equals_signs(entry: Entry) -> Iterator[str]:
    for path in sorted(entry.folder.rglob("*=*")):
        yield f"Kaggle strips '=' from names: {path.relative_to(entry.folder)}"


def _leftovers(entry: Entry) -> Iterator[str]:
    for path in sorted(entry.folder.rglob("*.ipynb")):
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):  # not a notebook
            notebook = json.loads(path.read_text(encoding="utf-8"))
            if notebook != cleaned(notebook):
                yield f"{path.name} holds traces of a run or an editor: outputs, paths, metadata"


def _licence(entry: Entry) -> Iterator[str]:
    if len(entry.words("licenses")) != 1:
        yield "it needs exactly one licence"


def _sub_folders(entry: Entry) -> Iterator[str]:
    listed = entry.folder.parents[1] / COMMANDS_FILE
    text = listed.read_text(encoding="utf-8") if listed.is_file() else ""
    zipped = re.search(rf"datasets/{re.escape(entry.folder.name)} .*-r zip", text)
    if not zipped and any(path.is_dir() for path in entry.folder.iterdir()):
        yield f"without -r zip in {COMMANDS_FILE} its sub-folders are not uploaded"


def _wheels(entry: Entry) -> Iterator[str]:
    for wheel in sorted(entry.folder.glob("*.whl")):
        sets = (part.split(".") for part in wheel.stem.split("-")[-3:])  # each part may hold several tags
        if not any(WHEEL_TAG.fullmatch("-".join(tags)) for tags in product(*sets)):
            yield f"{wheel.name} is not for Python {PYTHON} on Linux"


def _internet(entry: Entry) -> Iterator[str]:
    if entry.metadata.get("enable_internet") is not False:
        yield "write enable_internet: false; with it on, or left out, nothing can be submitted"


def _accelerator(entry: Entry) -> Iterator[str]:
    if (entry.metadata.get("enable_gpu"), entry.metadata.get("machine_shape")) != (True, ACCELERATOR):
        yield f"write enable_gpu: true, machine_shape: {ACCELERATOR}; the default cannot run the torch there"


def _kind(entry: Entry) -> Iterator[str]:
    if (entry.metadata.get("language"), entry.metadata.get("kernel_type")) != ("python", "notebook"):
        yield "write language: python, kernel_type: notebook"
    sent = (str(entry.metadata.get("code_file", "")), KERNEL_FILE)
    for path in sorted(entry.folder.iterdir()):
        if path.name not in sent:
            yield f"a push sends only the code_file, and not {path.name}"


def _notebook(entry: Entry) -> Iterator[str]:
    try:
        path = entry.folder / str(entry.metadata.get("code_file", ""))
        notebook = json.loads(path.read_text(encoding="utf-8"))
        sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
        nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    except (OSError, SyntaxError, ValueError, KeyError, TypeError):
        yield "its code_file is missing or is not a notebook of plain Python"
        return
    if not notebook.get("metadata", {}).get("kernelspec", {}).get("name"):
        yield "the notebook has no kernelspec, and a batch run dies at once"
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    for text in sorted(filter(PATH_ELSEWHERE.match, texts)):
        yield f"{text!r} is a path that Kaggle does not have"


def _sources(entry: Entry) -> Iterator[str]:
    if SLUG not in entry.words("competition_sources"):
        yield f"competition_sources lack {SLUG}"
    attached = entry.words("kernel_sources")
    for step in STEPS:
        for read in step.reads if step.notebook == entry.metadata.get("code_file") else ():
            if not any(source.endswith(read.replace("_", "-")) for source in attached):
                yield f"kernel_sources lack {read}, which it reads"
    for source in (*entry.words("dataset_sources"), *attached):
        if source not in entry.known:
            yield f"the build does not hold its source {source}"


Trap = Callable[[Entry], Iterator[str]]
TRAPS: tuple[Trap, ...] = (_names, _equals_signs, _leftovers)
DATASET_TRAPS: tuple[Trap, ...] = (_licence, _sub_folders, _wheels)
KERNEL_TRAPS: tuple[Trap, ...] = (_internet, _accelerator, _kind, _notebook, _sources)
