"""`cell_attention`: attention from each of the 25 cells to the slices of all three sequences."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from kitlib.models.neural.model import SliceAttentionModel

if TYPE_CHECKING:
    import torch

    from kitlib.models.cell_attention.network import CellNetwork


@dataclass
class CellAttentionModel(SliceAttentionModel):
    """An average of networks in which every cell asks its own question of every slice."""

    name: ClassVar[str] = "cell_attention"

    def _network(self, inputs: int, log_prior: "torch.Tensor") -> "CellNetwork":
        from kitlib.models.cell_attention.network import CellNetwork

        return CellNetwork(inputs=inputs, width=self.width, dropout=self.dropout, log_prior=log_prior)
