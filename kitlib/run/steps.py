"""The six steps, what each reads, and the manifests that mark steps as done."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from kitlib.artefacts import fingerprint, fingerprint_of, is_complete, sha256, write_text
from kitlib.errors import StepError, known_name


@dataclass(frozen=True)
class Step:
    """One notebook; it reads the results of the steps in `reads`, and writes to `<work>/<name>/`."""

    name: str
    reads: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """The number at the start of its name."""
        return int(self.name[:2])

    @property
    def notebook(self) -> str:
        """The file name of its notebook."""
        return f"{self.name}.ipynb"


STEPS = (
    Step("01_eda"),
    Step("02_preprocessing"),
    Step("03_embeddings", reads=("02_preprocessing",)),
    Step("04_modelling", reads=("02_preprocessing", "03_embeddings")),
    Step("05_ensembling", reads=("02_preprocessing", "04_modelling")),
    Step("06_submission", reads=("03_embeddings", "04_modelling", "05_ensembling")),
)
CHAPTERS = (Step("04a_published_systems", reads=("02_preprocessing", "03_embeddings", "04_modelling")),)
"""Optional steps, whose results no other step reads."""
name2step = {step.name: step for step in (*STEPS, *CHAPTERS)}


def steps_between(first: int, last: int, *, optional: bool = False) -> list[Step]:
    """The steps from number `first` to `last` in order, with the chapters if `optional`."""
    steps = sorted((*STEPS, *(CHAPTERS if optional else ())), key=attrgetter("name"))
    return [step for step in steps if first <= step.number <= last]


def step_named(name: str) -> Step:
    """The step of this name; raises UsageError if there is none."""
    known_name(name, name2step, "step")
    return name2step[name]


def manifest_path(root: Path, step: str) -> Path:
    """The path of a step's manifest in a work folder."""
    return root / "steps" / f"{step}.json"


def write_manifest(root: Path, step: str, manifest: dict[str, Any]) -> None:
    """Write a step's manifest atomically."""
    write_text(manifest_path(root, step), json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def read_manifest(root: Path, step: str) -> dict[str, Any] | None:
    """Read a step's manifest, None if there is none; raises StepError if it does not parse."""
    path = manifest_path(root, step)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StepError(f"the manifest does not parse: {error}", where=path, hint="Delete it.") from error


def done(root: Path, step: str) -> dict[str, Any] | None:
    """The step's manifest if every file it lists still exists with the same size, else None."""
    if manifest := read_manifest(root, step):
        for name, facts in manifest["outputs"].items():
            path = root / step / name
            if not path.is_file() or path.stat().st_size != facts["bytes"]:
                return None
    return manifest


def changed_inputs(root: Path, step: str) -> list[str]:
    """The steps read by this one whose results have changed since."""
    inputs = (read_manifest(root, step) or {}).get("inputs", {})
    return [name for name, was in inputs.items() if outputs_fingerprint(root, name) not in (was, "")]


def outputs(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file in a step's folder; sidecars, which hold times, are left out."""
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _digest(path)}
        for path in _results(folder)
    }


def outputs_fingerprint(root: Path, step: str) -> str:
    """Fingerprint of a step's results; "" if it is not done."""
    manifest = read_manifest(root, step)
    return fingerprint(manifest["outputs"]) if manifest else ""


def read_fingerprints(step: Step, *roots: Path) -> dict[str, str]:
    """Fingerprints of the steps that this one reads, each from the first root where it is done."""
    return {
        name: next(filter(None, (outputs_fingerprint(root, name) for root in roots)), "")
        for name in step.reads
    }


def notebook_code(notebook: Mapping[str, Any]) -> str:
    """Fingerprint of a notebook's code cells."""
    return fingerprint([cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"])


def _results(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        sidecar_of = path.with_suffix("")
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and not (path.suffix == ".json" and sidecar_of.is_file()):
            yield path


def _digest(path: Path) -> str:
    return fingerprint_of(path) if is_complete(path) else sha256(path)
