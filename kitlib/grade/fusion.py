"""From the views of a study to its 25 cells, with attention across views, levels and sides."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kitlib.nn.layers import linear_from_zero
from kitlib.prepare.views import SLOTS, VIEWS, slot2cell, slot2view
from kitlib.terms import CELLS, LEVELS, SEVERITIES, Place, group2place

WIDTH, HEADS, DEPTH = 128, 4, 2
OUTPUTS = len(SEVERITIES) + 1  # outputs per view or cell: logits of severities, and the opening
PLACES: tuple[Place, ...] = ("canal", "foramen", "recess")
NEITHER, NEAR, FAR = range(3)
"""Where a view lies relative to one side: in the middle, on that side, on the other."""


class Sight(NamedTuple):
    """View features of a batch of studies, by SLOTS; zeros in slots without a view."""

    vectors: Tensor  # (B, 40, width)
    predictions: Tensor  # (B, 40, OUTPUTS) from each view alone
    shown: Tensor  # (B, 40) bool


class Fusion(nn.Module):
    """A transformer over the views of a study and a query for each place at each level.

    It runs once per side, which yields the cells of that side; the canal is the mean of both runs. So a
    mirrored patient gets mirrored grades. A cell starts from the mean of the predictions of its views alone.
    """

    slot2cell: Tensor
    slot2view: Tensor
    slot2level: Tensor
    slot2side: Tensor
    cell2side: Tensor
    cell2level: Tensor
    cell2place: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.vector = nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, WIDTH))
        self.told = nn.Linear(OUTPUTS, WIDTH)  # of predictions; the name is a key of saved weights
        self.view = nn.Embedding(len(VIEWS), WIDTH)
        self.level = nn.Embedding(len(LEVELS), WIDTH)
        self.where = nn.Embedding(3, WIDTH)
        self.asked = nn.Embedding(len(PLACES), WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 2 * WIDTH, dropout=0.1, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, DEPTH, enable_nested_tensor=False)
        self.head = linear_from_zero(WIDTH, OUTPUTS)
        self.unseen = nn.Parameter(torch.zeros(len(PLACES), len(LEVELS), OUTPUTS))
        cells = [CELLS[slot.cell] for slot in SLOTS]
        self._keep("slot2cell", slot2cell.tolist())
        self._keep("slot2view", slot2view.tolist())
        self._keep("slot2level", [LEVELS.index(cell.level) for cell in cells])
        self._keep("slot2side", [_where(cell.side) for cell in cells])
        self._keep("cell2side", [_where(cell.side) for cell in CELLS])
        self._keep("cell2level", [LEVELS.index(cell.level) for cell in CELLS])
        self._keep("cell2place", [PLACES.index(group2place[cell.group]) for cell in CELLS])

    def forward(self, sight: Sight) -> Tensor:
        """(B, 25, OUTPUTS): logits of severities and, last, openings in OPENING_UNIT_MM."""
        left, right = self._change(sight, NEAR), self._change(sight, FAR)
        side = self.cell2side[:, None]
        change = torch.where(side == NEITHER, (left + right) / 2, torch.where(side == NEAR, left, right))
        return self._alone(sight) + change

    def _alone(self, sight: Sight) -> Tensor:
        """(B, 25, OUTPUTS): the mean prediction of a cell's views; a learned default if none is shown."""
        own = sight.predictions
        total, shown = torch.zeros(2, len(own), len(CELLS), OUTPUTS, device=own.device)
        total = total.index_add(1, self.slot2cell, own.float() * sight.shown[..., None])
        shown = shown.index_add(1, self.slot2cell, sight.shown[..., None].float().expand_as(own))
        usual = self.unseen[self.cell2place, self.cell2level]
        return torch.where(shown > 0, total / shown.clamp(min=1), usual)

    def _change(self, sight: Sight, side: int) -> Tensor:
        """(B, 25, OUTPUTS) as seen from one side; not valid for cells of the other side."""
        where = _seen_from(self.slot2side, side)
        tokens = self.vector(sight.vectors) + self.told(sight.predictions)
        tokens = tokens + self.view(self.slot2view) + self.level(self.slot2level) + self.where(where)
        asked = (self.asked.weight[:, None] + self.level.weight[None]).flatten(0, 1)  # (3 places x 5 levels)
        queries = asked.expand(len(tokens), -1, -1)
        absent = torch.cat([~sight.shown, sight.shown.new_zeros(queries.shape[:2])], 1)
        encoded = self.encoder(torch.cat([tokens, queries], 1), src_key_padding_mask=absent)
        answers = self.head(encoded[:, len(SLOTS) :])
        return answers[:, len(LEVELS) * self.cell2place + self.cell2level].float()

    def _keep(self, name: str, numbers: list[int]) -> None:
        self.register_buffer(name, torch.tensor(numbers), persistent=False)


def _where(side: str | None) -> int:
    """Encode a side as seen from the left."""
    return NEITHER if side is None else NEAR if side == "left" else FAR


def _seen_from(sides: Tensor, side: int) -> Tensor:
    """Sides as seen from the left (NEAR), or from the right (FAR), which swaps NEAR and FAR."""
    return sides if side == NEAR else torch.where(sides == NEITHER, NEITHER, NEAR + FAR - sides)
