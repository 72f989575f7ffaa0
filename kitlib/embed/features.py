"""What models eat: per study and sequence one vector a slice or cell, with its place in the patient."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kitlib.embed.base import Backbone
from kitlib.mri.stack import Stack


@dataclass(frozen=True, eq=False)
class Tokens:
    """All slices (of a 3D backbone: cells) of one sequence of one study: its series and stacks end to end.

    `kept` may be memory-mapped: then thousands of studies cost no memory until somebody asks for `vectors`.
    """

    kept: np.ndarray  # (n, d) float16 or float32
    places_mm: np.ndarray  # (n, 3) float64, LPS patient position of each slice's or cell's centre

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def vectors(self) -> np.ndarray:
        """The embeddings (n, d) as a float32 copy."""
        return np.array(self.kept, np.float32)

    @property
    def width(self) -> int:
        """The length d of an embedding."""
        return self.kept.shape[1]

    @classmethod
    def none(cls, width: int) -> "Tokens":
        """The tokens of a missing sequence: no rows."""
        return cls(np.zeros((0, width), np.float32), np.zeros((0, 3)))

    @classmethod
    def joined(cls, parts: Sequence["Tokens"], width: int) -> "Tokens":
        """Several series as one; a single one stays as it is."""
        if len(parts) == 1:
            return parts[0]
        parts = [cls.none(width), *parts]
        return cls(
            np.concatenate([part.vectors for part in parts]),
            np.concatenate([part.places_mm for part in parts]),
        )


@dataclass(frozen=True, eq=False)
class Features:
    """The studies as models see them; `metadata` may hold NaN, which models impute inside their own fit."""

    study_ids: np.ndarray  # (n,) int64
    tokens: Mapping[str, list[Tokens]]  # per sequence, n entries; a missing sequence has 0 rows
    metadata: pd.DataFrame  # index study_id, n rows in the order of study_ids

    def __len__(self) -> int:
        return len(self.study_ids)

    def take(self, index: Any) -> "Features":
        """The studies at these positions (integers, a slice or a mask), in that order."""
        rows = np.arange(len(self))[index]
        return Features(
            self.study_ids[rows],
            {name: [tokens[row] for row in rows] for name, tokens in self.tokens.items()},
            self.metadata.iloc[rows],
        )

    def digest(self) -> str:
        """A sha256 that changes when a slice's embedding or place, or a study's metadata, does."""
        digest = hashlib.sha256(self.metadata.to_json().encode())
        digest.update(self.study_ids.tobytes())
        for name, studies in sorted(self.tokens.items()):
            for tokens in studies:
                digest.update(f"{name} {tokens.kept.shape} {tokens.kept.dtype}".encode())
                digest.update(tokens.kept.tobytes())
                digest.update(tokens.places_mm.tobytes())
        return digest.hexdigest()


def study_tokens(backbone: Backbone, stacks: Sequence[Stack], *, grey: str = "greyscale") -> Tokens:
    """Tokens of prepared stacks of one sequence, as `embed_series` stores them: what streaming uses."""
    vectors = [backbone.embed(backbone.inputs(stack, grey)) for stack in stacks]
    parts = [Tokens(stored(one), backbone.places_mm(stack)) for one, stack in zip(vectors, stacks)]
    return Tokens.joined(parts, backbone.width)


def stored(vectors: np.ndarray) -> np.ndarray:
    """Vectors rounded to the half precision of the store, so that streaming and the store agree."""
    finite = np.finfo(np.float16)
    return vectors.clip(finite.min, finite.max).astype(np.float16)
