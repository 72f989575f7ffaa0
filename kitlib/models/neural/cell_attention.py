"""The network of `cell_attention`: 25 queries, one per cell, over the slices of three sequences.

For every cell and sequence, attention over slices is the sum of two terms: where (a Gaussian around a place
in the patient, learned from an anatomical start, mirrored for left and right) and what (the slice's content).
The last layer starts at zero on top of the log prior, so an untrained network predicts the prior.
"""

import torch
from torch import nn

from kitlib.models.common.positions import (
    DEVIATIONS,
    LATERAL_MM,
    LEVEL_FRACTION,
    LEVEL_MM,
    cell2condition,
    cell2group,
    cell2level,
    cell2side,
)
from kitlib.models.neural.batches import SequenceBatch
from kitlib.nn.layers import linear_from_zero
from kitlib.terms import CONDITIONS, GROUPS, LEVELS, SEQUENCES, SEVERITIES

INPUT_DROPOUT = 0.1


class PlaceAttention(nn.Module):
    """Log weights of slices for each cell by position, with learned centres and widths in the patient."""

    def __init__(self) -> None:
        super().__init__()
        lateral, fraction, level = DEVIATIONS
        lateral_mm = torch.tensor([LATERAL_MM[group] for group in GROUPS])
        self.lateral_mm = nn.Parameter(lateral_mm[:, None].repeat(1, len(SEQUENCES)) / lateral)
        self.fraction = nn.Parameter(torch.tensor(LEVEL_FRACTION / fraction).float())
        self.level_mm = nn.Parameter(torch.tensor(LEVEL_MM / level).float())
        self.log_sharpness = nn.Parameter(torch.zeros(3))

    def forward(self, batch: SequenceBatch, sequence: int) -> torch.Tensor:
        """(B, 25, T) for one sequence."""
        side = torch.as_tensor(cell2side, device=batch.positions.device)
        lateral_mm = self.lateral_mm[cell2group, sequence] * side
        centres = torch.stack([lateral_mm, self.fraction[cell2level], self.level_mm[cell2level]])
        positions = batch.positions / batch.positions.new_tensor(DEVIATIONS)
        offsets = positions[:, None] - centres.T[None, :, None]  # (B, 25, T, 3)
        return -0.5 * (offsets * self.log_sharpness.exp()).square().sum(-1)


class CellNetwork(nn.Module):
    """Logits (B, 25, 3) of a batch's sequences."""

    def __init__(self, *, inputs: int, width: int, dropout: float, log_prior: torch.Tensor) -> None:
        super().__init__()
        self.log_prior = nn.Buffer(log_prior)  # (25, 3)
        self.project = nn.ModuleList(nn.Linear(inputs, width) for _ in SEQUENCES)
        self.where = PlaceAttention()
        self.condition = nn.Embedding(len(CONDITIONS), width)
        self.level = nn.Embedding(len(LEVELS), width)
        self.absent = nn.Parameter(torch.zeros(len(SEQUENCES), width))
        self.key = nn.Linear(width, width)
        self.gate = nn.Linear(width, len(SEQUENCES) * width)
        self.hidden = nn.Linear(len(SEQUENCES) * width, width)
        self.drop_input = nn.Dropout(INPUT_DROPOUT)
        self.drop = nn.Dropout(dropout)
        self.last = linear_from_zero(width, len(SEVERITIES))

    def forward(self, sequences: list[SequenceBatch]) -> torch.Tensor:
        """Logits (B, 25, 3)."""
        query = self.query()
        contexts = [self.attend(index, batch, query)[0] for index, batch in enumerate(sequences)]
        seen = torch.cat(contexts, dim=-1) * (1 + self.gate(query))
        hidden = nn.functional.gelu(self.hidden(seen) + query)
        return self.log_prior + self.last(self.drop(hidden))

    def attention(self, sequences: list[SequenceBatch]) -> list[torch.Tensor]:
        """Return, per sequence, each cell's weights over slices (B, 25, T)."""
        return [self.attend(index, batch, self.query())[1] for index, batch in enumerate(sequences)]

    def query(self) -> torch.Tensor:
        """Return the 25 queries (25, width), one for each condition and level."""
        return self.condition.weight[cell2condition] + self.level.weight[cell2level]

    def attend(
        self, sequence: int, batch: SequenceBatch, query: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Each cell's context vector of one sequence (B, 25, width), and its slice weights (B, 25, T)."""
        slices = self.project[sequence](self.drop_input(batch.vectors))
        what = torch.einsum("cw,btw->bct", query, self.key(slices)) / query.shape[-1] ** 0.5
        scores = self.where(batch, sequence) + what
        scores = scores.masked_fill(~batch.present[:, None], -torch.inf)
        # The scores of a sequence without slices are all -inf, whose softmax is NaN: set its weights to zero.
        weights = torch.nan_to_num(scores.softmax(-1)) if scores.shape[-1] else scores
        context = torch.einsum("bct,btw->bcw", weights, slices)
        absent = ~batch.present.any(-1)[:, None, None]
        return torch.where(absent, self.absent[sequence], context), weights
