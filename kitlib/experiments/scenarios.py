"""Scenarios of missing sequences: what a study would look like had fewer of its sequences been acquired.

A sequence is removed with all its slices, and with what the metadata tell of it. What is removed depends on
the study, the removal and the seed alone, so every fold and every model sees a study with the same holes.

`random_80` takes each sequence of each study away by a draw of its own, so some studies lose all of theirs:
with at least one kept in each, a share of two uniform is the most there is. The same draws serve all shares:
what is gone at 10 % is gone at 80 %. `half` is the seed's own test: of every study half of what it has,
rounded up or down by chance, and never all.
"""

from collections.abc import Iterator
from itertools import chain, combinations

import numpy as np

from kitlib.embed.tokens import Tokens
from kitlib.errors import known_name
from kitlib.inputs.slices import SliceDataset
from kitlib.prepare.tabular import sequence2prefix
from kitlib.terms import SEQUENCES

SHARES = (0.1, 0.3, 0.5, 0.8)
NOTHING, HALF = "nothing", "half"
COUNTS = ("present", "series", "stacks", "slices")
"""Facts in a study's metadata that are 0 where a sequence was not acquired."""


def _fixed_removals() -> Iterator[tuple[str, tuple[bool, ...]]]:
    """Every sequence and every two, and which columns they are."""
    for gone in chain(combinations(SEQUENCES, 1), combinations(SEQUENCES, 2)):
        name = "without_" + "_".join(sequence2prefix[one] for one in gone)
        yield name, tuple(one in gone for one in SEQUENCES)


_removal2sequences = dict(_fixed_removals())
removal2share = {f"random_{share * 100:.0f}": share for share in SHARES}
REMOVALS = (*_removal2sequences, *removal2share, HALF)
"""`without_t1` to `without_t2_axial`, `random_10` to `random_80`, and `half`."""


def remove(features: SliceDataset, removal: str, seed: int) -> tuple[SliceDataset, np.ndarray]:
    """The studies without what a removal takes away, and which sequences (n, 3) that was of those they had.

    UsageError on an unknown removal.
    """
    known_name(removal, REMOVALS, "removal")
    present = np.array([[len(one) > 0 for one in features.tokens[name]] for name in SEQUENCES], bool).T
    removed = np.zeros_like(present)
    for row, study_id in enumerate(features.study_ids):
        draws = np.random.default_rng([seed, int(study_id)]).random(len(SEQUENCES) + 1)
        removed[row] = present[row] & _taken(removal, present[row], draws)
    return _without(features, removed), removed


def _taken(removal: str, present: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """What a removal takes (3,) from a study that has `present` (3,), by its draws (4,)."""
    if removal in _removal2sequences:
        return np.array(_removal2sequences[removal])
    if removal in removal2share:
        return draws[:-1] < removal2share[removal]
    count = int(present.sum() / 2 + draws[-1])  # half of three is one or two, by chance
    lowest_first = np.argsort(np.where(present, draws[:-1], 2.0))
    taken = np.zeros_like(present)
    taken[lowest_first[: min(count, max(present.sum() - 1, 0))]] = True
    return taken


def _without(features: SliceDataset, removed: np.ndarray) -> SliceDataset:
    tokens = {
        name: [
            Tokens(one.embeddings[:0], one.positions_mm[:0]) if gone else one
            for one, gone in zip(features.tokens[name], removed[:, column])
        ]
        for column, name in enumerate(SEQUENCES)
    }
    metadata = features.metadata.copy()
    for column, sequence in enumerate(SEQUENCES):
        prefix = f"{sequence2prefix[sequence]}_"
        for name in [name for name in metadata if str(name).startswith(prefix)]:
            absent = _absent_fact(str(name).removeprefix(prefix))
            metadata[name] = metadata[name].mask(removed[:, column], absent)
    if "sequences" in metadata:
        metadata["sequences"] = metadata["sequences"].mask(removed.any(axis=1), _acquired(tokens))
    return SliceDataset(features.study_ids, tokens, metadata)


def _absent_fact(fact: str) -> object:
    """What `prepare.tabular.study_metadata` writes of a sequence that was not acquired."""
    if fact in COUNTS:
        return 0
    return "0" if fact == "series_kind" else np.nan


def _acquired(tokens: dict[str, list[Tokens]]) -> list[str]:
    """Each study's sequences in the words of `prepare.tabular.study_metadata`."""
    present = [
        [prefix for one, prefix in zip(studies, sequence2prefix.values()) if len(one)]
        for studies in zip(*tokens.values())
    ]
    return ["+".join(prefixes) or "none" for prefixes in present]
