"""Training samples as arrays, read row by row or in batches."""

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
"""Number of batches that a thread prepares ahead during a training step."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Rows:
    """Base of dataclasses whose fields are arrays of equal length: row k of each belongs to sample k."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self, index: np.ndarray) -> Self:
        """Select rows by positions or a mask."""
        return type(self)(*(array[index] for array in self.arrays().values()))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Concatenate several sets."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, as the constructor takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def save(self, path: Path, provenance: Provenance, **facts: Any) -> None:
        """Save the arrays as safetensors, with `facts` in the sidecar."""
        tensors = {name: torch.from_numpy(array) for name, array in self.arrays().items()}
        save_tensors(path, tensors, provenance, **facts)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load the arrays of a file. Raises ArtefactError if it is missing or broken."""
        return cls(**{name: tensor.numpy() for name, tensor in load_tensors(path).items()})


class Batches(Protocol):
    """Training data that a training loop reads."""

    def epoch(self, rng: torch.Generator) -> Sequence[np.ndarray]:
        """Return the rows of each batch of an epoch, in random order."""
        ...

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[Any, Any]:
        """Return the network's input and the target of its output; augmented if `rng` is given."""
        ...


def shuffled(rows: np.ndarray, size: int, rng: torch.Generator) -> list[np.ndarray]:
    """Split the rows, in random order, into batches of `size`."""
    return list(chunks(_in_random_order(rows, rng), size))


def shuffled_evenly(rows: np.ndarray, size: int, rng: torch.Generator) -> list[np.ndarray]:
    """Split the rows, in random order, into batches of nearly equal length, `size` or somewhat more."""
    return np.array_split(_in_random_order(rows, rng), max(1, len(rows) // size))


def chunks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Split the rows, in order, into batches of `size`."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _in_random_order(rows: np.ndarray, rng: torch.Generator) -> np.ndarray:
    return rows[torch.randperm(len(rows), generator=rng).numpy()]


def prefetched(load: Callable[[Task], Result], tasks: Iterable[Task], ahead: int = AHEAD) -> Iterator[Result]:
    """Yield results in task order; a single thread loads up to `ahead`, so random draws keep their order."""
    with ThreadPoolExecutor(1) as pool:
        loading: deque[Future[Result]] = deque()
        for task in tasks:
            loading.append(pool.submit(load, task))
            if len(loading) > ahead:
                yield loading.popleft().result()
        yield from (future.result() for future in loading)
