"""The network of `vit`: slices as sequences of patches, and 25 questions that look at a study's patches.

A transformer turns each slice into patch tokens. Every cell's question is answered from the patches of its
own sequence: its attention is a sum over where the slice lies in the patient (as in models.cell_network),
where the patch lies on the slice, and what it holds. The last layer starts at zero on the log prior.
"""

import torch
from torch import nn

from kitlib.embed.slices import normalised
from kitlib.embed.vit import build_vit
from kitlib.machine import half_precision
from kitlib.models.cell_attention.network import PlaceAttention
from kitlib.models.common.positions import LEVEL_MM, cell2condition, cell2level
from kitlib.models.neural.batches import View
from kitlib.models.vit.augment import distorted, mirrored, mirrored_cells, sampled
from kitlib.terms import AXIAL_T2, CELLS, CONDITIONS, LEVELS, SEQUENCES, SEVERITIES, group2sequence

SLICES_AT_ONCE = 128
"""A bound on memory: so many slices pass the transformer together, however long a series is."""

SLICE_MM = 250.0
"""Height of a sagittal slice, roughly."""
LEVEL, ASIDE = 0.1, 0.2
"""Deviations of where a cell lies on its slice, in shares of the slice's side."""

sequence2cells = [
    [row for row, cell in enumerate(CELLS) if group2sequence[cell.group] == name] for name in SEQUENCES
]
"""The cells that look at each sequence, which is the one they were graded on."""


def expected_on_slice(grid: int) -> torch.Tensor:
    """Log weights (25, grid * grid) of patches, before anything is learned.

    Levels follow one another down a sagittal slice; what is graded lies in the middle of an axial one.
    """
    centres = (torch.arange(grid) + 0.5) / grid
    level_rows = torch.tensor(0.5 - LEVEL_MM / SLICE_MM).float()[cell2level]
    axial = torch.tensor([group2sequence[cell.group] == AXIAL_T2 for cell in CELLS])
    rows = (centres - torch.where(axial, 0.5, level_rows)[:, None]) / torch.where(axial, ASIDE, LEVEL)[
        :, None
    ]
    columns = (centres - 0.5) / ASIDE
    return -0.5 * (rows.square()[:, :, None] + columns.square()).flatten(1)


class SliceTransformer(nn.Module):
    """Patch tokens (n, grid * grid, width) of square slices (n, px * px), from 0 (black) to 1 (white)."""

    def __init__(self, *, px: int, grid: int, width: int, depth: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.px, self.grid, self.width = px, grid, width
        self.trunk = build_vit(px=px, grid=grid, width=width, depth=depth, heads=heads, dropout=dropout)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """In float32; trained in bfloat16 where the machine has it."""
        images = normalised(255 * pixels.reshape(-1, self.px, self.px))
        half = self.training and half_precision() is torch.bfloat16
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            parts = [self.trunk.forward_features(part) for part in images.split(SLICES_AT_ONCE)]
        return torch.cat(parts).float()


class ViTNetwork(nn.Module):
    """Logits (B, 25, 3) of a batch's views, whose vectors are pixels.

    In training it sees `slices` slices of each sequence, drawn by place and, if they are to be augmented,
    distorted, half of the patients mirrored; in evaluation all of them, as they are.
    """

    def __init__(
        self,
        transformer: SliceTransformer,
        *,
        slices: int,
        augment: bool,
        dropout: float,
        log_prior: torch.Tensor,
    ) -> None:
        super().__init__()
        width = transformer.width
        self.log_prior = nn.Buffer(log_prior)  # (25, 3)
        self.transformer, self.slices, self.augment = transformer, slices, augment
        self.where = PlaceAttention()
        self.where_on_slice = nn.Parameter(expected_on_slice(transformer.grid))
        self.condition = nn.Embedding(len(CONDITIONS), width)
        self.level = nn.Embedding(len(LEVELS), width)
        self.key = nn.Linear(width, width)
        self.hidden = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)
        self.last = nn.Linear(width, len(SEVERITIES))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, views: list[View]) -> torch.Tensor:
        """Logits (B, 25, 3)."""
        if not self.training:
            return self._logits(views)
        seen = [self._seen(view, sequence) for sequence, view in enumerate(views)]
        if not self.augment:
            return self._logits(seen)
        mirror = torch.rand(len(views[0].present), device=self.log_prior.device) < 0.5
        named = zip(seen, SEQUENCES, strict=True)
        logits = self._logits([distorted(mirrored(view, mirror, name)) for view, name in named])
        return torch.where(mirror[:, None, None], logits[:, mirrored_cells], logits)

    def attention(self, views: list[View]) -> list[torch.Tensor]:
        """How each cell's attention is spread over the slices of each sequence: (B, 25, T)."""
        return [self.patch_attention(view, sequence).sum(-1) for sequence, view in enumerate(views)]

    def patch_attention(self, view: View, sequence: int) -> torch.Tensor:
        """How each cell's attention is spread over slices and patches of a sequence: (B, 25, T, patches)."""
        return self._attend(view, sequence)[1]

    @torch.no_grad()
    def _seen(self, view: View, sequence: int) -> View:
        log_weights = self.where(view, sequence)[:, sequence2cells[sequence]].amax(1)
        return sampled(view, log_weights, self.slices)

    def _logits(self, views: list[View]) -> torch.Tensor:
        contexts = [self._attend(view, sequence)[0] for sequence, view in enumerate(views)]
        hidden = nn.functional.gelu(self.hidden(torch.stack(contexts).sum(0)) + self._query())
        return self.log_prior + self.last(self.drop(hidden))

    def _query(self) -> torch.Tensor:
        """The 25 questions (25, width): a condition at a level."""
        return self.condition.weight[cell2condition] + self.level.weight[cell2level]

    def _attend(self, view: View, sequence: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What each cell sees of one sequence (B, 25, width), and its weights (B, 25, T, patches).

        Both are zero for the cells of other sequences and for studies without a slice.
        """
        studies, longest = view.present.shape
        patches, width = self.transformer.grid**2, self.transformer.width
        tokens = view.places.new_zeros(studies, longest, patches, width)
        context = tokens.new_zeros(studies, len(CELLS), width)
        weights = tokens.new_zeros(studies, len(CELLS), longest, patches)
        if not view.present.any():
            return context, weights
        tokens[view.present] = self.transformer(view.vectors[view.present])
        cells = sequence2cells[sequence]
        what = torch.einsum("cw,btpw->bctp", self._query()[cells], self.key(tokens)) / width**0.5
        where = self.where(view, sequence)[:, cells, :, None] + self.where_on_slice[cells, None]
        scores = (what + where).masked_fill(~view.present[:, None, :, None], -torch.inf)
        # A study without slices has only -inf, whose softmax is NaN: its weights are zero.
        attended = scores.flatten(2).softmax(-1).nan_to_num().reshape(scores.shape)
        context[:, cells] = torch.einsum("bctp,btpw->bcw", attended, tokens)
        weights[:, cells] = attended
        return context, weights
