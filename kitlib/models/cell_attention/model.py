"""`cell_attention`: attention from each of the 25 cells to the slices of all three sequences."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from kitlib.models.cell_attention.network import CellNetwork
from kitlib.models.neural.model import SliceAttentionModel


@dataclass
class CellAttentionModel(SliceAttentionModel):
    """An average of networks in which every cell asks its own question of every slice."""

    name: ClassVar[str] = "cell_attention"

    def _network(self, inputs: int, log_prior: torch.Tensor) -> CellNetwork:
        return CellNetwork(inputs=inputs, width=self.width, dropout=self.dropout, log_prior=log_prior)
