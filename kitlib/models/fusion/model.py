"""`fusion`: three published ways to join the sequences, and a cascade, as they are described.

- "1.1", late fusion: attention weighs the slices of each sequence, a CNN fuses the three weighted averages
  into one vector, and one network answers for all 25 cells.
- "1.2", early fusion: several learned queries pool each sequence, the CNN fuses all that they found, and
  independent networks, one a condition, answer side by side. One a condition, because the levels of a
  condition look alike and its labels are many, while conditions look different.
- "2": no CNN; one network a sequence answers from its average, and the answers are averaged.

The seed left its attention untrained and counted a missing sequence as an image of zeros; here the attention
is trained with everything else, and a missing sequence has a learned token or no say.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from kitlib.errors import known_name
from kitlib.models.neural.model import SliceAttentionModel

if TYPE_CHECKING:
    import torch

    from kitlib.models.fusion.network import IntermediateFusion, LateFusion


@dataclass
class FusionModel(SliceAttentionModel):
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

    def _network(self, inputs: int, log_prior: "torch.Tensor") -> "IntermediateFusion | LateFusion":
        from kitlib.models.fusion.network import build_fusion

        return build_fusion(
            self.architecture,
            self.head,
            inputs=inputs,
            width=self.width,
            dropout=self.dropout,
            log_prior=log_prior,
        )
