"""The network of `vit`: slices as sequences of patches, and 25 queries over a study's patches.

A transformer turns each slice into patch tokens. Each cell's query attends to the patches of its own
sequence; attention scores sum three terms: where the slice lies in the patient (as in neural.cell_attention),
where the patch lies on the slice, and its content. The last layer starts at zero on top of the log prior.
"""

import torch
from torch import nn

from kitlib.embed.slices import build_vit, normalised
from kitlib.machine import half_precision
from kitlib.models.common.positions import LEVEL_MM, cell2condition, cell2level
from kitlib.models.neural.batches import SequenceBatch
from kitlib.models.neural.cell_attention import PlaceAttention
from kitlib.models.vit.batches import sequence2cells
from kitlib.nn.layers import linear_from_zero
from kitlib.terms import AXIAL_T2, CELLS, CONDITIONS, LEVELS, SEVERITIES, group2sequence

SLICES_AT_ONCE = 128
"""Bounds memory: this many slices pass the transformer at a time, however long a series is."""

SLICE_MM = 250.0
"""Approximate height of a sagittal slice."""
LEVEL, ASIDE = 0.1, 0.2
"""Standard deviations of where a cell lies on its slice, as fractions of the slice's side."""


def expected_on_slice(grid: int) -> torch.Tensor:
    """Initial log weights (25, grid * grid) of patches.

    Levels follow one another down a sagittal slice; graded structures lie in the middle of an axial one.
    """
    centres = (torch.arange(grid) + 0.5) / grid
    level_rows = torch.tensor(0.5 - LEVEL_MM / SLICE_MM).float()[cell2level]
    axial = torch.tensor([group2sequence[cell.group] == AXIAL_T2 for cell in CELLS])
    middle, deviation = torch.where(axial, 0.5, level_rows), torch.where(axial, ASIDE, LEVEL)
    rows = (centres - middle[:, None]) / deviation[:, None]
    columns = (centres - 0.5) / ASIDE
    return -0.5 * (rows.square()[:, :, None] + columns.square()).flatten(1)


class SliceTransformer(nn.Module):
    """Patch tokens (n, grid * grid, width) of square slices (n, px * px), from 0 (black) to 1 (white)."""

    def __init__(self, *, px: int, grid: int, width: int, depth: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.px, self.grid, self.width = px, grid, width
        self.trunk = build_vit(px=px, grid=grid, width=width, depth=depth, heads=heads, dropout=dropout)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return float32 tokens; training runs in bfloat16 if the machine supports it."""
        images = normalised(255 * pixels.reshape(-1, self.px, self.px))
        half = self.training and half_precision() is torch.bfloat16
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            parts = [self.trunk.forward_features(part) for part in images.split(SLICES_AT_ONCE)]
        return torch.cat(parts).float()


class ViTNetwork(nn.Module):
    """Logits (B, 25, 3) of a batch's sequences, whose vectors are pixels."""

    def __init__(self, transformer: SliceTransformer, *, dropout: float, log_prior: torch.Tensor) -> None:
        super().__init__()
        width = transformer.width
        self.log_prior = nn.Buffer(log_prior)  # (25, 3)
        self.transformer = transformer
        self.where = PlaceAttention()
        self.where_on_slice = nn.Parameter(expected_on_slice(transformer.grid))
        self.condition = nn.Embedding(len(CONDITIONS), width)
        self.level = nn.Embedding(len(LEVELS), width)
        self.key = nn.Linear(width, width)
        self.hidden = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)
        self.last = linear_from_zero(width, len(SEVERITIES))

    def forward(self, sequences: list[SequenceBatch]) -> torch.Tensor:
        """Logits (B, 25, 3)."""
        contexts = [self.attend(batch, index)[0] for index, batch in enumerate(sequences)]
        hidden = nn.functional.gelu(self.hidden(torch.stack(contexts).sum(0)) + self._query())
        return self.log_prior + self.last(self.drop(hidden))

    def attention(self, sequences: list[SequenceBatch]) -> list[torch.Tensor]:
        """Return, per sequence, each cell's attention over the slices: (B, 25, T)."""
        return [self.attend(batch, index)[1].sum(-1) for index, batch in enumerate(sequences)]

    def _query(self) -> torch.Tensor:
        """Return the 25 queries (25, width), one for each condition and level."""
        return self.condition.weight[cell2condition] + self.level.weight[cell2level]

    def attend(self, batch: SequenceBatch, sequence: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Each cell's context vector of one sequence (B, 25, width), and its weights (B, 25, T, patches).

        Both are zero for the cells of other sequences and for studies without a slice.
        """
        studies, longest = batch.present.shape
        patches, width = self.transformer.grid**2, self.transformer.width
        tokens = batch.positions.new_zeros(studies, longest, patches, width)
        context = tokens.new_zeros(studies, len(CELLS), width)
        weights = tokens.new_zeros(studies, len(CELLS), longest, patches)
        if not batch.present.any():
            return context, weights
        tokens[batch.present] = self.transformer(batch.vectors[batch.present])
        cells = sequence2cells[sequence]
        what = torch.einsum("cw,btpw->bctp", self._query()[cells], self.key(tokens)) / width**0.5
        where = self.where(batch, sequence)[:, cells, :, None] + self.where_on_slice[cells, None]
        scores = (what + where).masked_fill(~batch.present[:, None, :, None], -torch.inf)
        # The scores of a study without slices are all -inf, whose softmax is NaN: set its weights to zero.
        attended = scores.flatten(2).softmax(-1).nan_to_num().reshape(scores.shape)
        context[:, cells] = torch.einsum("bctp,btpw->bcw", attended, tokens)
        weights[:, cells] = attended
        return context, weights
