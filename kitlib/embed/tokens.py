"""Tokens: one vector per slice (3D networks: per voxel of the last feature map), with its patient position.

Pooling turns the tokens of a study into one vector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kitlib.terms import SEQUENCES


@dataclass(frozen=True, eq=False)
class Tokens:
    """All slices (or voxels) of one sequence of one study, with its series and stacks concatenated.

    `embeddings` may be memory-mapped: then thousands of studies take no memory until `vectors` is read.
    """

    embeddings: np.ndarray  # (n, d) float16, float32 or uint8, as they are stored
    positions_mm: np.ndarray  # (n, 3) float64, LPS patient position of each slice's or voxel's centre

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def vectors(self) -> np.ndarray:
        """The embeddings (n, d) as a float32 copy."""
        return np.array(self.embeddings, np.float32)

    @property
    def width(self) -> int:
        """The length d of an embedding."""
        return self.embeddings.shape[1]

    def __getitem__(self, index: Any) -> "Tokens":
        """Select some of the slices."""
        return Tokens(self.embeddings[index], self.positions_mm[index])

    @classmethod
    def none(cls, width: int) -> "Tokens":
        """Return the tokens of a missing sequence: no rows."""
        return cls(np.zeros((0, width), np.float32), np.zeros((0, 3)))

    @classmethod
    def joined(cls, parts: Sequence["Tokens"], width: int) -> "Tokens":
        """Concatenate several series; a single one is returned unchanged."""
        if len(parts) == 1:
            return parts[0]
        parts = parts or [cls.none(width)]
        return cls(
            np.concatenate([part.embeddings for part in parts]),
            np.concatenate([part.positions_mm for part in parts]),
        )


def in_half_precision(vectors: np.ndarray) -> np.ndarray:
    """Round vectors to the half precision of the store, so that streaming and the store agree."""
    finite = np.finfo(np.float16)
    return vectors.clip(finite.min, finite.max).astype(np.float16)


def average_pool(tokens: Sequence[Tokens]) -> np.ndarray:
    """Average over each study's slices: (n, d) float32, zeros for studies without slices."""
    width = tokens[0].width if tokens else 0
    means = [one.vectors.mean(axis=0) if len(one) else np.zeros(width) for one in tokens]
    return np.asarray(means, np.float32).reshape(len(tokens), width)


def pool_sequences(tokens: Mapping[str, Sequence[Tokens]]) -> np.ndarray:
    """Concatenate the averages of all sequences, in the order of SEQUENCES: (n, 3 d)."""
    return np.concatenate([average_pool(tokens[sequence]) for sequence in SEQUENCES], axis=1)
