"""Artefacts: files written whole or not at all, with their provenance, that open without running code.

An artefact `x.npy` has a sidecar `x.npy.json` with its sha256, what made it and from what. The sidecar is
written last: a file without one is unfinished work and counts as absent.
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
"""What `atomic_write` calls a file that is not whole yet, with the process that writes it."""
MAKE = "Run the step that makes it."
REMAKE = "Delete it and run the step that makes it again."


@dataclass(frozen=True)
class Provenance:
    """What made an artefact: parameters, the fingerprints of its inputs, a seed, and when the work began."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    started_s: float = field(default_factory=time.time)

    def record(self) -> dict[str, Any]:
        """The provenance as JSON, with wall time and peak memory so far, and versions."""
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
    """Versions of the kit, of Python and of the packages whose results depend on them; read once."""
    found = {"kitlib": __version__, "python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path` at once, else it is removed.

    What a link leads to is replaced, and a device or a pipe, such as /dev/null, is written into. An OSError,
    such as that of a full disk, names `path`.
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
    """The drafts of a file that lie beside it."""
    return (draft for draft in path.parent.glob(".*.draft") if draft.name.startswith(f".{path.name}."))


def sweep(paths: Iterable[Path]) -> None:
    """Take away, of these files, those that processes that are no more have left half-written."""
    for path in paths:
        drafted = DRAFT.fullmatch(path.name)
        if drafted and not psutil.pid_exists(int(drafted[1])):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path, draft: Path | None = None) -> Iterator[None]:
    """An OSError that names no file, or the draft of this one, names this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename) == str(draft):
            error.filename, error.filename2 = str(path), None
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, without a sidecar: for pages and tables that people read."""
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_csv(path: Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write a table whole as CSV, without its index and a sidecar."""
    write_text(path, table.to_csv(index=False, lineterminator="\n", float_format=float_format))


def save_array(path: Path, array: np.ndarray, provenance: Provenance, **facts: Any) -> None:
    """Save an array as npy; `facts` are kept in the sidecar and come back from `facts_of`."""

    def write(draft: Path) -> None:
        with open(draft, "wb") as file:
            # Not the file itself: numpy would pass it by and not say why it cannot be written.
            writer: Any = SimpleNamespace(write=file.write)
            np.save(writer, array, allow_pickle=False)

    _save(path, write, provenance, facts)


def save_table(path: Path, table: pd.DataFrame, provenance: Provenance, **facts: Any) -> None:
    """Save a table as parquet."""
    # Not by the name of the draft: pyarrow opens only names that are text.
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
    """Open an array that `save_array` wrote; memory-mapped (and then only its size is checked) on request."""
    if not mmap:
        return opened(verified(path), lambda file: np.load(file, allow_pickle=False))
    _sidecar(path)
    return opened(path, lambda file: np.load(file, mmap_mode="r", allow_pickle=False))


def load_table(path: Path) -> pd.DataFrame:
    """Open a table that `save_table` wrote."""
    return opened(verified(path), lambda file: pd.read_parquet(io.BytesIO(file.read_bytes())))


def load_json(path: Path) -> Any:
    """Open values that `save_json` wrote."""
    return opened(verified(path), lambda file: json.loads(file.read_text(encoding="utf-8")))


def load_text(path: Path) -> str:
    """Open a text that `save_text` wrote."""
    return opened(verified(path), lambda file: file.read_text(encoding="utf-8"))


def load_tensors(path: Path) -> "dict[str, torch.Tensor]":
    """Open tensors that `save_tensors` wrote, on the CPU."""
    from safetensors.torch import load

    return opened(verified(path), lambda file: load(file.read_bytes()))


def opened(path: Path, read: Callable[[Path], Opened]) -> Opened:
    """What is read of an artefact, or of a folder; ArtefactError where it is what was saved, but broken."""
    try:
        return read(path)
    except (KitError, MemoryError, FileNotFoundError):
        raise
    except Exception as error:  # a broken file can fail in any way
        what = f"this is what was saved, but broken: {type(error).__name__}"
        raise ArtefactError(what, where=path, hint=REMAKE) from error


def discard(path: Path) -> None:
    """Take an artefact away, if there is one; its sidecar first, so that a kill leaves nothing to be used."""
    for one in (_sidecar_path(path), Path(path)):
        one.unlink(missing_ok=True)


def move(path: Path, target: Path) -> None:
    """Put an artefact in the place of another, on the same disk; its sidecar last, as where it is saved."""
    discard(target)
    for one, other in ((path, target), (_sidecar_path(path), _sidecar_path(target))):
        one.replace(other)


def facts_of(path: Path) -> dict[str, Any]:
    """The facts kept beside an artefact."""
    return dict(_sidecar(path)["facts"])


def parameters_of(path: Path) -> dict[str, Any]:
    """The parameters with which an artefact was made."""
    return dict(_sidecar(path).get("parameters", {}))


def fingerprint_of(path: Path) -> str:
    """The sha256 that the sidecar records, without reading the artefact again."""
    return str(_sidecar(path)["sha256"])


def is_complete(path: Path) -> bool:
    """Whether the artefact and its sidecar are there and agree on the size."""
    with contextlib.suppress(ArtefactError):
        return bool(_sidecar(path))
    return False


def verified(path: Path) -> Path:
    """The path itself, once the file's content agrees with its sidecar; ArtefactError if not."""
    if sha256(path) != _sidecar(path)["sha256"]:
        raise ArtefactError("the file is not what was saved: its sha256 differs", where=path, hint=REMAKE)
    return Path(path)


def sha256(path: Path) -> str:
    """The sha256 of a file; ArtefactError if there is none."""
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
    # The old sidecar goes first: a kill between the two writes must leave an unfinished artefact, never a
    # new file that stands beside the provenance of the old one.
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
