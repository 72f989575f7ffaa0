"""Artefacts: files written atomically, with their provenance, and loaded without executing code.

The sidecar `x.npy.json` of an artefact `x.npy` records its sha256, parameters and inputs. It is written
last: a file without one is unfinished and counts as missing.
"""

import contextlib
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
import psutil

from kitlib import __version__
from kitlib.errors import ArtefactError, KitError
from kitlib.machine import peak_memory_mb

if TYPE_CHECKING:
    import torch

RECORDED_PACKAGES = ("numpy", "pandas", "scikit-learn", "torch", "timm", "lightgbm", "openvino", "pydicom")
Opened = TypeVar("Opened")
DRAFT = re.compile(r"\..+\.([0-9]+)\.[0-9a-f]{8}\.draft")
"""The name `atomic_write` gives an unfinished file; it contains the id of the writing process."""
MAKE = "Run the step that makes it."
REMAKE = "Delete it and run the step that makes it again."


@dataclass(frozen=True)
class Provenance:
    """How an artefact was made: parameters, fingerprints of the inputs, seed and start time."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    started_s: float = field(default_factory=time.time)

    def record(self) -> dict[str, Any]:
        """The provenance as JSON-able values, with wall time and peak memory so far, and package versions."""
        return {
            "parameters": dict(self.parameters),
            "inputs": dict(self.inputs),
            "seed": self.seed,
            "wall_s": round(time.time() - self.started_s, 3),
            "peak_memory_mb": round(peak_memory_mb()),
            "versions": dict(versions()),
        }


@cache
def versions() -> Mapping[str, str]:
    """Versions of the kit, of Python and of the packages that results depend on; cached."""
    found = {"kitlib": __version__, "python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path` atomically, else it is removed.

    For a symbolic link, the target is replaced; a device or pipe, such as /dev/null, is written to directly.
    An OSError, such as a full disk, names `path`.
    """
    place = Path(os.path.realpath(path))
    if place.exists() and not (place.is_file() or place.is_dir()):
        with naming(path):
            yield place
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_name(f".{place.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.draft")
    try:
        with naming(path, draft):
            yield draft
            with open(draft, "rb") as written:
                os.fsync(written.fileno())
            draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)


def drafts_of(path: Path) -> Iterator[Path]:
    """The unfinished drafts of a file, in the same folder."""
    return (draft for draft in path.parent.glob(".*.draft") if draft.name.startswith(f".{path.name}."))


def sweep(paths: Iterable[Path]) -> None:
    """Delete those of these files that are drafts left behind by processes that no longer run."""
    for path in paths:
        drafted = DRAFT.fullmatch(path.name)
        if drafted and not psutil.pid_exists(int(drafted[1])):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path, draft: Path | None = None) -> Iterator[None]:
    """Make an OSError that names no file, or only the draft, name `path`."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename) == str(draft):
            error.filename, error.filename2 = str(path), None
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, without a sidecar: for pages and tables that people read."""
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_csv(path: Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write a table atomically as CSV, without index or sidecar."""
    write_text(path, table.to_csv(index=False, lineterminator="\n", float_format=float_format))


def save_array(path: Path, array: np.ndarray, provenance: Provenance, **facts: Any) -> None:
    """Save an array as npy; `facts` go into the sidecar, and `facts_of` returns them."""

    def write(draft: Path) -> None:
        with open(draft, "wb") as file:
            # Not the file itself: numpy would write to it directly, and its error would give no reason.
            writer: Any = SimpleNamespace(write=file.write)
            np.save(writer, array, allow_pickle=False)

    _save(path, write, provenance, facts)


def save_table(path: Path, table: pd.DataFrame, provenance: Provenance, **facts: Any) -> None:
    """Save a table as parquet."""
    # Not by path: pyarrow opens only file names that are valid text.
    _save(path, lambda draft: draft.write_bytes(table.to_parquet()), provenance, facts)


def save_json(path: Path, value: Any, provenance: Provenance, **facts: Any) -> None:
    """Save plain values as JSON."""
    save_text(path, _as_json(value), provenance, **facts)


def save_text(path: Path, text: str, provenance: Provenance, **facts: Any) -> None:
    """Save a text, such as a LightGBM booster."""
    _save(path, lambda draft: draft.write_text(text, encoding="utf-8"), provenance, facts)


def save_tensors(
    path: Path, tensors: "Mapping[str, torch.Tensor]", provenance: Provenance, **facts: Any
) -> None:
    """Save tensors as safetensors."""
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    _save(path, lambda draft: draft.write_bytes(save(plain)), provenance, facts)


def load_array(path: Path, *, mmap: bool = False) -> np.ndarray:
    """Load an array saved by `save_array`; if `mmap`, memory-map it and check only its size."""
    if not mmap:
        return opened(verified(path), lambda file: np.load(file, allow_pickle=False))
    _sidecar(path)
    return opened(path, lambda file: np.load(file, mmap_mode="r", allow_pickle=False))


def load_table(path: Path) -> pd.DataFrame:
    """Load a table saved by `save_table`."""
    return opened(verified(path), lambda file: pd.read_parquet(io.BytesIO(file.read_bytes())))


def load_json(path: Path) -> Any:
    """Load values saved by `save_json`."""
    return opened(verified(path), lambda file: json.loads(file.read_text(encoding="utf-8")))


def load_text(path: Path) -> str:
    """Load a text saved by `save_text`."""
    return opened(verified(path), lambda file: file.read_text(encoding="utf-8"))


def load_tensors(path: Path) -> "dict[str, torch.Tensor]":
    """Load tensors saved by `save_tensors`, on the CPU."""
    from safetensors.torch import load

    return opened(verified(path), lambda file: load(file.read_bytes()))


def opened(path: Path, read: Callable[[Path], Opened]) -> Opened:
    """Read an artefact or a folder of them; raises ArtefactError if its content cannot be parsed."""
    try:
        return read(path)
    except (KitError, MemoryError, FileNotFoundError):
        raise
    except Exception as error:  # a broken file can fail in any way
        what = f"the content is as saved, but cannot be read: {type(error).__name__}"
        raise ArtefactError(what, where=path, hint=REMAKE) from error


def discard(path: Path) -> None:
    """Delete an artefact if it exists; the sidecar first, so that an interruption leaves nothing usable."""
    for one in (_sidecar_path(path), Path(path)):
        one.unlink(missing_ok=True)


def move(path: Path, target: Path) -> None:
    """Move an artefact over another on the same disk; the sidecar last, as when saving."""
    discard(target)
    for one, other in ((path, target), (_sidecar_path(path), _sidecar_path(target))):
        one.replace(other)


def facts_of(path: Path) -> dict[str, Any]:
    """The facts recorded in an artefact's sidecar."""
    return dict(_sidecar(path)["facts"])


def parameters_of(path: Path) -> dict[str, Any]:
    """The parameters with which an artefact was made."""
    return dict(_sidecar(path).get("parameters", {}))


def fingerprint_of(path: Path) -> str:
    """The sha256 recorded in the sidecar, without reading the artefact."""
    return str(_sidecar(path)["sha256"])


def is_complete(path: Path) -> bool:
    """Whether the artefact and its sidecar exist and agree on the size."""
    with contextlib.suppress(ArtefactError):
        return bool(_sidecar(path))
    return False


def verified(path: Path) -> Path:
    """Return the path if the file matches its sidecar's sha256; raises ArtefactError if not."""
    if sha256(path) != _sidecar(path)["sha256"]:
        raise ArtefactError("the file is not what was saved: its sha256 differs", where=path, hint=REMAKE)
    return Path(path)


def sha256(path: Path) -> str:
    """The sha256 of a file; raises ArtefactError if it is missing."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ArtefactError("the file is missing", where=path, hint=MAKE) from None


def fingerprint(*parts: Any) -> str:
    """Sixteen hexadecimal digits that change when any of the JSON-like parts does."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _save(path: Path, write: Callable[[Path], Any], provenance: Provenance, facts: Mapping[str, Any]) -> None:
    path = Path(path)
    # The old sidecar goes first: an interruption between the two writes must leave an unfinished artefact,
    # never a new file beside the provenance of the old one.
    _sidecar_path(path).unlink(missing_ok=True)
    with atomic_write(path) as draft:
        write(draft)
        digest, size = sha256(draft), draft.stat().st_size
    record = {"sha256": digest, "bytes": size, "facts": dict(facts), **provenance.record()}
    write_text(_sidecar_path(path), _as_json(record))


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _sidecar_path(path: Path) -> Path:
    return Path(path).with_name(Path(path).name + ".json")


def _sidecar(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(_sidecar_path(path).read_text(encoding="utf-8"))
        size = Path(path).stat().st_size
    except FileNotFoundError:
        raise ArtefactError("the artefact is missing or unfinished", where=path, hint=MAKE) from None
    except ValueError as error:
        raise ArtefactError(f"its sidecar does not parse: {error}", where=path, hint=REMAKE) from error
    if not isinstance(record, dict) or not {"sha256", "bytes", "facts"} <= record.keys():
        raise ArtefactError("its sidecar is not one that the kit wrote", where=path, hint=REMAKE)
    if size != record["bytes"]:
        what = f"the file has {size} bytes, its sidecar says {record['bytes']}"
        raise ArtefactError(what, where=path, hint=REMAKE)
    return record
