"""Pooling: from any number of slices to one vector a study."""

from collections.abc import Mapping, Sequence

import numpy as np

from kitlib.embed.tokens import Tokens
from kitlib.terms import SEQUENCES


def average_pool(tokens: Sequence[Tokens]) -> np.ndarray:
    """Mean over each study's slices: (n, d) float32, zeros where there are none."""
    width = tokens[0].width if tokens else 0
    means = [one.vectors.mean(axis=0) if len(one) else np.zeros(width) for one in tokens]
    return np.asarray(means, np.float32).reshape(len(tokens), width)


def pool_sequences(tokens: Mapping[str, Sequence[Tokens]]) -> np.ndarray:
    """The averages of all sequences side by side, in the order of SEQUENCES: (n, 3 d)."""
    return np.concatenate([average_pool(tokens[sequence]) for sequence in SEQUENCES], axis=1)
