"""Read weights from PyTorch's .pth files without running code.

Such files are pickles: opened as usual, they run whatever code they hold. This reader knows the few names
that tensors are made of, replaces them by inert stand-ins, and refuses every other name. It reads the zip
format of torch 1.6 and later, and the one before it, in which MedicalNet is published.
"""

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch

from kitlib.artefacts import Provenance, save_tensors, sha256
from kitlib.errors import WeightsError

LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGE2DTYPE = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class Storage(NamedTuple):
    """A block of numbers elsewhere in the file."""

    key: str
    dtype: torch.dtype
    length: int

    @property
    def size_bytes(self) -> int:
        """Size in the file."""
        return self.length * self.dtype.itemsize


class StorageView(NamedTuple):
    """A tensor whose values are not read yet."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def tensor(self, numbers: bytes) -> torch.Tensor:
        """Build the tensor. Raises ValueError if it reaches beyond its storage."""
        if 0 in self.size:
            return torch.zeros(self.size, dtype=self.storage.dtype)
        last = self.offset + sum((length - 1) * step for length, step in zip(self.size, self.stride))
        if last >= self.storage.length:
            raise ValueError("a tensor reaches beyond its storage")
        block = torch.frombuffer(bytearray(numbers), dtype=self.storage.dtype)
        return block.as_strided(self.size, self.stride, self.offset).clone()


class RebuildTensor(NamedTuple):
    """Stands in for torch._utils._rebuild_tensor_v2."""

    def __call__(
        self, storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ) -> StorageView:
        """Record how the tensor is laid out in its storage."""
        if not isinstance(storage, Storage):
            raise ValueError("a tensor without a storage")
        return StorageView(storage, int(offset), tuple(map(int, size)), tuple(map(int, stride)))


class RebuildParameter(NamedTuple):
    """Stands in for torch._utils._rebuild_parameter."""

    def __call__(self, data: Any, *_: Any) -> Any:
        """Return the parameter's tensor."""
        return data


# Tuples and dtypes instead of functions: a pickle can set attributes of objects, and these allow none.
ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): RebuildParameter(),
    **{("torch", name): dtype for name, dtype in STORAGE2DTYPE.items()},
}


class InertUnpickler(pickle.Unpickler):
    """Unpickles the parts of tensors and refuses everything else."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name. Raises WeightsError for any name that weights do not need."""
        if (module, name) not in ALLOWED:
            raise WeightsError(
                f"the file asks for {module}.{name}, which no weights need: it was not opened",
                hint="Nothing of it has run. Take weights from their publisher only.",
            )
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        """Return the storage described by `pid`."""
        kind, dtype, key, _, length, *view = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or view not in ([], [None]):
            raise ValueError("unknown kind of storage")
        storage = Storage(str(key), dtype, int(length))
        return self.storages.setdefault(storage.key, storage)


def read_checkpoint(file: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a .pth file by name, unwrapped from a `state_dict` entry.

    Raises WeightsError if the file is missing, truncated or altered, or refers to anything but tensors.
    """
    try:
        with open(file, "rb") as opened:
            content, numbers_of = _read_zip(opened) if zipfile.is_zipfile(opened) else _read_legacy(opened)
            tensors = {name: view.tensor(numbers_of(view.storage)) for name, view in _views(content).items()}
    except WeightsError as error:
        raise WeightsError(error.what, where=file, hint=error.hint) from None
    except FileNotFoundError:
        raise WeightsError("the weights file is missing", where=file, hint="Check the path.") from None
    except Exception as error:  # a broken pickle can fail in any way
        raise WeightsError(
            f"the file is cut short, altered or no PyTorch file: {error or type(error).__name__}",
            where=file,
            hint="Fetch it again.",
        ) from None
    return tensors


def convert(file: Path, out: Path) -> dict[str, torch.Tensor]:
    """Convert a .pth file to safetensors, whose sidecar names the source file; returns the tensors."""
    safetensors_path(out)
    tensors = read_checkpoint(file)
    save_tensors(out, tensors, Provenance(inputs={Path(file).name: sha256(file)}))
    return tensors


def safetensors_path(out: Path) -> Path:
    """Return the path. Raises WeightsError if it is not a .safetensors file."""
    if Path(out).suffix != ".safetensors":
        raise WeightsError("the file to write is no .safetensors file", where=out, hint="Name it so.")
    return Path(out)


def _views(content: Any) -> dict[str, StorageView]:
    nested = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(nested, dict) or not nested:
        raise WeightsError("the file holds no dictionary of tensors", hint="Save model.state_dict().")
    others = sum(type(name) is not str or not isinstance(view, StorageView) for name, view in nested.items())
    if others:
        what = f"{others} of its {len(nested)} entries are no tensors"
        raise WeightsError(what, hint="Save state_dict().")
    return nested


def _read_zip(opened: IO[bytes]) -> tuple[Any, Callable[[Storage], bytes]]:
    archive = zipfile.ZipFile(opened)
    (index,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
    folder = index.removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("its numbers are not little-endian")

    def numbers_of(storage: Storage) -> bytes:
        entry = archive.getinfo(f"{folder}data/{storage.key}")
        # torch never compresses: a compressed entry may be a zip bomb.
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != storage.size_bytes:
            raise ValueError(f"storage {storage.key} has another size")
        return archive.read(entry)

    with archive.open(index) as pickled:
        return InertUnpickler(pickled).load(), numbers_of


def _read_legacy(opened: IO[bytes]) -> tuple[Any, Callable[[Storage], bytes]]:
    """Read four pickles, the keys of the storages, then each storage preceded by its length."""
    opened.seek(0)
    magic, protocol, system = (InertUnpickler(opened).load() for _ in range(3))
    if (magic, protocol) != (LEGACY_MAGIC, LEGACY_PROTOCOL) or not system.get("little_endian"):
        raise ValueError("it does not begin as PyTorch files do")
    unpickler = InertUnpickler(opened)
    content, keys = unpickler.load(), InertUnpickler(opened).load()
    key2numbers = {}
    for key in keys:
        storage = unpickler.storages[key]
        (length,) = struct.unpack("<q", opened.read(8))
        key2numbers[key] = opened.read(storage.size_bytes)
        if length != storage.length or len(key2numbers[key]) != storage.size_bytes:
            raise ValueError(f"storage {key} has another size")
    if opened.read(1):
        raise ValueError("something follows the last storage")
    return content, lambda storage: key2numbers[storage.key]
