"""Augmentation of slices: mirrored patients, and each slice shifted, scaled and changed in intensity."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from kitlib.machine import device
from kitlib.models.common.positions import X_MM
from kitlib.models.neural.batches import SequenceBatch
from kitlib.models.neural.cell_attention import PlaceAttention
from kitlib.nn.augment import Greys, Moves, moved
from kitlib.nn.rows import Batches
from kitlib.terms import AXIAL_T2, CELLS, SEQUENCES, group2sequence, mirrored_cells

MOVES, GREYS = Moves(log_scale=0.14, shift=0.05), Greys(log_gain=0.2, offset=0.02)
sequence2cells = [
    [row for row, cell in enumerate(CELLS) if group2sequence[cell.group] == name] for name in SEQUENCES
]
"""The cells that attend to each sequence, which is the one they were graded on."""


class PixelBatches:
    """Batches with a few slices per sequence in each training step, sampled near where cells are expected.

    With `augment` the slices are distorted, and half of the patients mirrored along with their labels.
    """

    def __init__(self, studies: Batches, *, slices: int, augment: bool) -> None:
        self.studies, self.slices, self.augment = studies, slices, augment
        self.expected = PlaceAttention().to(device())

    def epoch(self, rng: torch.Generator) -> Sequence[np.ndarray]:
        """See `studies`."""
        return self.studies.epoch(rng)

    def batch(
        self, rows: np.ndarray, rng: torch.Generator | None
    ) -> tuple[list[SequenceBatch], torch.Tensor]:
        """The sequences of some studies, and their labels (B, 25), mirrored where the patient is."""
        sequences, labels = self.studies.batch(rows, rng)
        if rng is None:
            return sequences, labels
        seen = [self._few(index, batch, rng) for index, batch in enumerate(sequences)]
        if not self.augment:
            return seen, labels
        chosen = (torch.rand(len(labels), generator=rng) < 0.5).to(labels.device)
        named = zip(seen, SEQUENCES, strict=True)
        others = [distorted(mirrored_patients(batch, chosen, name), rng) for batch, name in named]
        return others, torch.where(chosen[:, None], labels[:, mirrored_cells], labels)

    @torch.no_grad()
    def _few(self, index: int, batch: SequenceBatch, rng: torch.Generator) -> SequenceBatch:
        log_weights = self.expected(batch, index)[:, sequence2cells[index]].amax(1)
        return sampled(batch, log_weights, self.slices, rng)


def mirrored_patients(batch: SequenceBatch, chosen: torch.Tensor, sequence: str) -> SequenceBatch:
    """Mirror the chosen (B,) patients: slices change sides, and axial ones are also flipped.

    Sagittal slices are the same in a mirrored patient, but in the opposite order.
    """
    positions = batch.positions.clone()
    positions[..., X_MM] *= torch.where(chosen, -1.0, 1.0)[:, None]
    vectors = batch.vectors
    if sequence == AXIAL_T2:
        px = round(vectors.shape[-1] ** 0.5)
        flipped = vectors.unflatten(-1, (px, px)).flip(-1).flatten(-2)
        vectors = torch.where(chosen[:, None, None], flipped, vectors)
    return SequenceBatch(vectors, positions, batch.present)


def sampled(
    batch: SequenceBatch, log_weights: torch.Tensor, most: int, rng: torch.Generator
) -> SequenceBatch:
    """Keep at most `most` slices of each study, drawn without replacement by log weights (B, T)."""
    # The Gumbel top-k trick: the largest log weights plus Gumbel noise are such a draw.
    noise = -torch.empty(log_weights.shape).exponential_(generator=rng).log().to(log_weights.device)
    scores = (log_weights + noise).masked_fill(~batch.present, -torch.inf)
    drawn = scores.topk(min(most, scores.shape[1])).indices
    present = torch.zeros_like(batch.present).scatter(1, drawn, True) & batch.present
    return replace(batch, present=present)


def distorted(batch: SequenceBatch, rng: torch.Generator) -> SequenceBatch:
    """Shift, scale, and brighten or darken each slice of the batch."""
    slices = batch.vectors[batch.present]
    if not len(slices):
        return batch
    px = round(slices.shape[-1] ** 0.5)
    images = moved(slices.reshape(-1, 1, px, px), MOVES.draw(len(slices), rng), padding="border")
    vectors = batch.vectors.clone()
    vectors[batch.present] = GREYS.change(images, rng).flatten(1)
    return replace(batch, vectors=vectors)
