"""Bags of tokens as padded tensors: the input of neural models."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from kitlib.embed.tokens import Tokens
from kitlib.inputs.bags import BagDataset, embedding_width
from kitlib.machine import device
from kitlib.models.common.positions import relative_positions
from kitlib.nn.projection import TokenReduction, TokenScale
from kitlib.nn.rows import shuffled
from kitlib.terms import EMPTY, SEQUENCES

SLICES_OF_PCA = 20_000


@dataclass(frozen=True, eq=False)
class SequenceBatch:
    """The slices of one sequence in a batch of B studies, padded to the longest, T slices."""

    vectors: torch.Tensor  # (B, T, k)
    positions: torch.Tensor  # (B, T, 3), see models.common.positions
    present: torch.Tensor  # (B, T) bool, False where padded or dropped


def fit_reduction(data: BagDataset, components: int, *, seed: int) -> TokenReduction | TokenScale:
    """Fit a PCA with this many components on training studies; with 0, scale all dimensions by one number."""
    width = embedding_width(data)
    samples = [_sample(data.tokens[name], width, seed) for name in SEQUENCES]
    return TokenReduction.fit(samples, components, seed=seed) if components else TokenScale.fit(samples)


def _sample(studies: Sequence[Tokens], width: int, seed: int) -> np.ndarray:
    """Slices (n, width) of studies in random order, until there are SLICES_OF_PCA."""
    studies = [tokens for tokens in studies if len(tokens)]
    taken: list[np.ndarray] = []
    for study in np.random.default_rng(seed).permutation(len(studies)):
        if sum(map(len, taken)) >= SLICES_OF_PCA:
            break
        taken.append(studies[study].vectors)
    return np.concatenate(taken) if taken else np.zeros((0, width), np.float32)


class StudyTensors:
    """Reduced tokens of studies with their positions; `batch` pads the requested studies.

    A reduction that shrinks is applied once. Otherwise the tokens stay as they are stored (half precision,
    possibly on disk) and are converted batch by batch, so that memory use stays flat.
    """

    def __init__(self, data: BagDataset, reduction: TokenReduction | TokenScale) -> None:
        embedding_width(data, reduction.means.shape[1])
        positions = relative_positions(data)
        self.reduction = reduction
        self.tokens = [data.tokens[name] for name in SEQUENCES]
        self.reduced: list[list[torch.Tensor]] = []  # empty where the reduction does not shrink
        if isinstance(reduction, TokenReduction):
            rows, sequences = range(len(data)), range(len(SEQUENCES))
            self.reduced = [[self._reduce(sequence, row) for row in rows] for sequence in sequences]
        self.positions = [[torch.from_numpy(one[name]).float() for one in positions] for name in SEQUENCES]

    def _reduce(self, sequence: int, row: int) -> torch.Tensor:
        return self.reduction.transform(sequence, self.tokens[sequence][row].embeddings)

    def _vectors(self, sequence: int, row: int) -> torch.Tensor:
        return self.reduced[sequence][row] if self.reduced else self._reduce(sequence, row)

    def batch(self, rows: Sequence[int] | np.ndarray) -> list[SequenceBatch]:
        """Return a SequenceBatch for each of SEQUENCES, on the accelerator if there is one."""
        return [self._of_sequence(sequence, rows) for sequence in range(len(SEQUENCES))]

    def _of_sequence(self, sequence: int, rows: Sequence[int] | np.ndarray) -> SequenceBatch:
        vectors = [self._vectors(sequence, row) for row in rows]
        lengths = torch.tensor([len(of_study) for of_study in vectors])
        padded = pad_sequence(vectors, batch_first=True)
        positions = pad_sequence([self.positions[sequence][row] for row in rows], batch_first=True)
        present = torch.arange(padded.shape[1])[None] < lengths[:, None]
        return SequenceBatch(padded.to(device()), positions.to(device()), present.to(device()))


@dataclass(frozen=True, eq=False)
class StudyBatches:
    """Studies with their labels, in batches for `nn.loop.train`, with random slices and sequences dropped."""

    tensors: StudyTensors
    labels: np.ndarray  # (n, 25)
    rows: np.ndarray  # of the training studies
    size: int
    dropped: tuple[float, float]  # shares of single slices and of whole sequences

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:
        """All training studies in random order; batches without a label are left out."""
        parts = shuffled(self.rows, self.size, rng)
        return [part for part in parts if (self.labels[part] != EMPTY).any()]

    def batch(
        self, rows: np.ndarray, rng: torch.Generator | None
    ) -> tuple[list[SequenceBatch], torch.Tensor]:
        """The sequences and labels (B, 25) of some studies; with a generator, slices are dropped."""
        sequences = self.tensors.batch(rows)
        if rng is not None:
            sequences = [drop_slices(sequence, *self.dropped, rng) for sequence in sequences]
        return sequences, torch.from_numpy(self.labels[rows].astype(np.int64)).to(device())


def drop_slices(
    batch: SequenceBatch, slice_share: float, sequence_share: float, rng: torch.Generator
) -> SequenceBatch:
    """Drop a share of the slices, and in a share of the studies the whole sequence."""
    draws = torch.rand(batch.present.shape, generator=rng)
    whole = torch.rand((len(batch.present), 1), generator=rng)
    kept = (draws >= slice_share) & (whole >= sequence_share)
    return replace(batch, present=batch.present & kept.to(batch.present.device))
