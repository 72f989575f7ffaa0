"""Embed many series: inputs are batched across series, and loaded while the network runs."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from tqdm.auto import tqdm

from kitlib.embed.slices import Backbone
from kitlib.embed.store import TokenStore
from kitlib.embed.tokens import Tokens, in_half_precision
from kitlib.mri.stack import Stack
from kitlib.nn.rows import prefetched
from kitlib.prepare.volumes import VolumeCache

LOADED_AHEAD = 8  # series; bounds memory use


@dataclass
class Job:
    """One series on its way to the store."""

    key: tuple[int, int]  # study_id, series_id
    volume: str  # fingerprint of the prepared volume
    inputs: list[np.ndarray]  # n slices or volumes
    positions_mm: np.ndarray  # (n t, 3), t tokens per input
    vectors: list[np.ndarray] = field(default_factory=list)  # so far, (t, d) each


def study_tokens(backbone: Backbone, stacks: Sequence[Stack], *, grey: str = "greyscale") -> Tokens:
    """Embed prepared stacks of one sequence in memory, with the same tokens as `embed_series` stores."""
    vectors = (backbone.embed(backbone.inputs(stack, grey)) for stack in stacks)
    parts = [
        Tokens(in_half_precision(of_stack), backbone.positions_mm(stack))
        for of_stack, stack in zip(vectors, stacks)
    ]
    return Tokens.joined(parts, backbone.width)


def embed_series(
    store: TokenStore,
    backbone: Backbone,
    volumes: VolumeCache,
    keys: Sequence[tuple[int, int]],
    *,
    grey: str = "greyscale",
    batch: int = 64,
    progress: bool = True,
) -> None:
    """Embed each series (study_id, series_id) that the store lacks or has from an older volume."""
    todo = store.outdated(volumes, keys)

    def load(key: tuple[int, int]) -> Job:
        stacks = volumes.stacks(*key)
        inputs = [one for stack in stacks for one in backbone.inputs(stack, grey)]
        positions_mm = np.concatenate([np.zeros((0, 3)), *map(backbone.positions_mm, stacks)])
        return Job(key, volumes.fingerprint(*key), inputs, positions_mm)

    done = len(keys) - len(todo)
    with tqdm(total=len(keys), initial=done, desc="embeddings", mininterval=1, disable=not progress) as bar:
        for job in embedded(backbone, prefetched(load, todo, LOADED_AHEAD), batch):
            vectors = np.concatenate([np.zeros((0, backbone.width), np.float32), *job.vectors])
            store.add(*job.key, Tokens(in_half_precision(vectors), job.positions_mm), job.volume)
            bar.update()


def embedded(backbone: Backbone, jobs: Iterable[Job], batch: int) -> Iterator[Job]:
    """Yield jobs once their vectors are complete; batches are filled across series."""
    waiting: deque[Job] = deque()

    def inputs() -> Iterator[tuple[Job, np.ndarray]]:
        for job in jobs:
            waiting.append(job)
            yield from ((job, one) for one in job.inputs)

    stream = inputs()
    while group := list(islice(stream, batch)):
        tokens = backbone.embed(np.stack([one for _, one in group])).reshape(len(group), -1, backbone.width)
        for (job, _), vectors in zip(group, tokens):
            job.vectors.append(vectors)
        while waiting and len(waiting[0].vectors) == len(waiting[0].inputs):
            yield waiting.popleft()
    yield from waiting
