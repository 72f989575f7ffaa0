"""Models whose networks attend to slices: `cell_attention` and `fusion`.

`fusion` implements three published ways to join the sequences, and a cascade, as they are described.

- "1.1", late fusion: attention weighs the slices of each sequence, a CNN fuses the three weighted averages
  into one vector, and one network predicts all 25 cells.
- "1.2", early fusion: several learned queries pool each sequence, the CNN fuses all the results, and
  independent networks, one per condition, predict side by side: the levels of a condition look alike and
  have many labels between them, while conditions look different.
- "2": no CNN; one network per sequence predicts from its average, and the predictions are averaged.

The seed project left its attention untrained and treated a missing sequence as an image of zeros; here the
attention is trained with everything else, and a missing sequence has a learned token or no weight.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from kitlib.errors import known_name
from kitlib.models.neural.model import NetworkModel
from kitlib.terms import CONDITIONS

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass
class CellAttentionModel(NetworkModel):
    """An average of networks in which each of the 25 cells attends to the slices with its own query."""

    name: ClassVar[str] = "cell_attention"

    def _network(self, inputs: int, log_prior: "torch.Tensor") -> "nn.Module":
        from kitlib.models.neural.cell_attention import CellNetwork

        return CellNetwork(inputs=inputs, width=self.width, dropout=self.dropout, log_prior=log_prior)


@dataclass
class FusionModel(NetworkModel):
    """An average of networks that embed each sequence by trained attention and join the three."""

    name: ClassVar[str] = "fusion"

    architecture: str = "1.1"
    head: str = "softmax"
    members: int = 3
    inner_parts: int = 5
    components: int = 0
    width: int = 512
    epochs: int = 30
    patience: int = 12
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        known_name(self.architecture, ("1.1", "1.2", "2"), f"{self.name}.architecture")
        known_name(self.head, ("softmax", "cascade"), f"{self.name}.head")

    def _network(self, inputs: int, log_prior: "torch.Tensor") -> "nn.Module":
        from kitlib.models.neural import fusion

        head = fusion.CascadeHead(log_prior) if self.head == "cascade" else fusion.SoftmaxHead(log_prior)
        if self.architecture == "2":
            return fusion.LateFusion(inputs, self.width, self.dropout, head)
        queries, networks = (1, 1) if self.architecture == "1.1" else (fusion.QUERIES, len(CONDITIONS))
        return fusion.IntermediateFusion(inputs, self.width, self.dropout, head, queries, networks)
