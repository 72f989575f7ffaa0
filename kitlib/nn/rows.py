"""Samples as arrays that are read row by row, and in batches: what networks learn from."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import torch

from kitlib.artefacts import Provenance, load_tensors, save_tensors

AHEAD = 2
"""Batches that a thread prepares while one is learned from."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Rows:
    """A base for dataclasses whose fields are arrays of one length: row k of each is about sample k."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self, index: np.ndarray) -> Self:
        """These rows (positions or a mask)."""
        return type(self)(*(array[index] for array in self.arrays().values()))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several sets as one."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, as the constructor takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def save(self, path: Path, provenance: Provenance, **facts: Any) -> None:
        """Save the arrays as safetensors; `facts` stand in the sidecar."""
        tensors = {name: torch.from_numpy(array) for name, array in self.arrays().items()}
        save_tensors(path, tensors, provenance, **facts)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Those of a file; ArtefactError where it is missing or broken."""
        return cls(**{name: tensor.numpy() for name, tensor in load_tensors(path).items()})


class Batches(Protocol):
    """What is learned from."""

    def epoch(self, rng: torch.Generator) -> Sequence[np.ndarray]:
        """The rows of an epoch's batches, in random order."""
        ...

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[Any, Any]:
        """What the network reads, and what its output is compared with; augmented where `rng` is given."""
        ...


def shuffled(rows: np.ndarray, size: int, rng: torch.Generator) -> list[np.ndarray]:
    """The rows in random order, `size` at a time."""
    return list(chunks(_in_random_order(rows, rng), size))


def shuffled_evenly(rows: np.ndarray, size: int, rng: torch.Generator) -> list[np.ndarray]:
    """The rows in random order, `size` or a few more at a time: no batch is a small rest."""
    return np.array_split(_in_random_order(rows, rng), max(1, len(rows) // size))


def chunks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """The rows in order, `size` at a time."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _in_random_order(rows: np.ndarray, rng: torch.Generator) -> np.ndarray:
    return rows[torch.randperm(len(rows), generator=rng).numpy()]


def prefetched(load: Callable[[Task], Result], tasks: Iterable[Task], ahead: int = AHEAD) -> Iterator[Result]:
    """Results in the order of the tasks; one thread loads `ahead` of them, so that draws keep their order."""
    with ThreadPoolExecutor(1) as pool:
        loading: deque[Future[Result]] = deque()
        for task in tasks:
            loading.append(pool.submit(load, task))
            if len(loading) > ahead:
                yield loading.popleft().result()
        yield from (future.result() for future in loading)
