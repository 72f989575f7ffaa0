"""Datasets of bags: per study and sequence, any number of tokens, each with its patient position."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from kitlib.embed.tokens import Tokens
from kitlib.errors import ModelError
from kitlib.inputs.base import Dataset
from kitlib.terms import SEQUENCES


@dataclass(frozen=True, eq=False)
class BagDataset(Dataset):
    """A bag of tokens for each study and sequence; a missing sequence is an empty bag."""

    study_ids: np.ndarray  # (n,) int64
    tokens: Mapping[str, list[Tokens]]  # per sequence, n entries

    @property
    def present(self) -> np.ndarray:
        """Mask (n, 3) of the SEQUENCES of which each study has an image."""
        return np.array([[len(bag) > 0 for bag in self.tokens[name]] for name in SEQUENCES], bool).T

    def take(self, index: Any) -> Self:
        """Select studies by position (integers, a slice or a mask), in that order."""
        rows = np.arange(len(self))[index]
        return self._with(rows, {name: [bags[row] for row in rows] for name, bags in self.tokens.items()})

    def without(self, removed: np.ndarray) -> Self:
        """The studies as if the sequences `removed` (n, 3) had not been acquired."""
        tokens = {
            name: [bag[:0] if gone else bag for bag, gone in zip(self.tokens[name], removed[:, column])]
            for column, name in enumerate(SEQUENCES)
        }
        return replace(self, tokens=tokens)._trusted_as(self)

    def parts(self, count: int) -> Self:
        """Split each study into `count` rows, each with every `count`-th slice of every sequence."""
        tokens = {
            name: [bag[part::count] for bag in bags for part in range(count)]
            for name, bags in self.tokens.items()
        }
        return self._with(np.repeat(np.arange(len(self)), count), tokens)

    def renumbered(self, study_ids: np.ndarray) -> Self:
        """The same rows under other ids (n,)."""
        return replace(self, study_ids=study_ids)._trusted_as(self)

    def _with(self, rows: np.ndarray, tokens: Mapping[str, list[Tokens]]) -> Self:
        """Select studies by row, with these tokens."""
        return replace(self, study_ids=self.study_ids[rows], tokens=tokens)._trusted_as(self)

    def _digest(self) -> str:
        digest = hashlib.sha256(self.study_ids.tobytes())
        for name, bags in sorted(self.tokens.items()):
            for bag in bags:
                digest.update(f"{name} {bag.embeddings.shape} {bag.embeddings.dtype}".encode())
                digest.update(bag.embeddings.tobytes())
                digest.update(bag.positions_mm.tobytes())
        return digest.hexdigest()

    def _check(self) -> None:
        for sequence, bags in self.tokens.items():
            for study_id, bag in zip(self.study_ids, bags):
                if not np.isfinite(bag.embeddings).all():
                    raise ModelError(
                        f"embeddings of study {study_id}, {sequence}, are not finite",
                        hint="Embed the study again, or leave it out.",
                    )


def embedding_width(data: BagDataset, expected: int | None = None) -> int:
    """The width of the embeddings, 1 if no study has a slice; raises ModelError if it is not as expected."""
    widths = {bag.width for bags in data.tokens.values() for bag in bags if len(bag)}
    if len(widths | {expected or width for width in widths}) > 1:
        raise ModelError(
            f"embeddings of width {sorted(widths)}" + (f" where {expected} was expected" if expected else ""),
            hint="Use one backbone, the one that the model was fitted with.",
        )
    return expected or (widths.pop() if widths else 1)
