"""Samples of many persons: drawn in worker processes into resumable shards, and split by person."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from joblib import delayed
from tqdm.auto import tqdm

from kitlib.artefacts import Provenance, facts_of, is_complete
from kitlib.errors import ModelError
from kitlib.machine import in_processes, torch_threads
from kitlib.nn.rows import Rows

Sample = TypeVar("Sample", bound=Rows)


def drawn_in_shards(
    sample: type[Sample],
    draw: Callable[[int], Sample],
    folder: Path,
    name: str,
    *,
    count: int,
    shard: int,
    unit: str,
    provenance: Provenance,
    workers: int = 1,
) -> Sample:
    """Join the results of `draw` for the numbers below `count`, saved in files of `shard` numbers each.

    Files whose sidecar lists the same numbers under `unit` (anatomies, persons) are not drawn again; `name`
    must change with whatever `draw` depends on.
    """
    shards = {
        Path(folder) / f"{name}_{first:05}.safetensors": range(first, min(first + shard, count))
        for first in range(0, count, shard)
    }
    todo = {
        path: numbers
        for path, numbers in shards.items()
        if not (is_complete(path) and facts_of(path)[unit] == list(numbers))
    }

    def write(path: Path, numbers: range) -> None:
        with torch_threads(1):
            drawn = sample.joined([draw(number) for number in numbers])
        drawn.save(path, provenance, **{unit: list(numbers)})

    made = in_processes((delayed(write)(*one) for one in todo.items()), workers, ordered=False)
    title, done = f"{name.partition('_')[0]} {unit}", len(shards) - len(todo)
    for _ in tqdm(made, title, len(shards), initial=done, mininterval=1):
        pass
    return sample.joined([sample.load(path) for path in shards])


def held_out(persons: np.ndarray, share: float) -> np.ndarray:
    """Mask the samples (n,) of the last persons, a share of all. Raises ModelError if there are too few."""
    known = np.unique(persons)
    if len(known) < 2:
        raise ModelError("one person cannot be both trained on and held out", hint="Draw more anatomies.")
    return np.isin(persons, known[-max(1, round(share * len(known))) :])
