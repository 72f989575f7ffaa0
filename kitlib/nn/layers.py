"""Layers shared by several networks: a last layer that starts at zero, and gated attention over slices.

The attention is that of Ilse et al. 2018, "Attention-based deep multiple instance learning".
"""

import torch
from torch import nn


def linear_from_zero(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear layer with weights and biases initialised to zero."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class GatedWeights(nn.Module):
    """Attention weights of a bag's slices, one set per learned query: tanh gated by a sigmoid."""

    def __init__(self, width_in: int, hidden: int, queries: int = 1) -> None:
        super().__init__()
        self.signal = nn.Linear(width_in, hidden)
        self.gate = nn.Linear(width_in, hidden)
        self.query = nn.Linear(hidden, queries, bias=False)

    def forward(self, vectors: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """(B, queries, T), rows that sum to one, from vectors (B, T, width_in) and present (B, T) bool.

        Absent slices have weight zero, as have all slices of a bag without any.
        """
        scores = self.query(torch.tanh(self.signal(vectors)) * torch.sigmoid(self.gate(vectors)))
        kept = present[:, None]  # (B, 1, T)
        # Mask with a finite value: the softmax of a row of -inf is NaN, and so are its gradients.
        scores = scores.transpose(1, 2).masked_fill(~kept, torch.finfo(scores.dtype).min)
        return scores.softmax(-1) * kept


class GatedAttention(nn.Module):
    """The average of a bag's slices, weighted by one learned query."""

    def __init__(self, width_in: int, hidden: int) -> None:
        super().__init__()
        self.weigh = GatedWeights(width_in, hidden)

    def forward(self, vectors: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return pooled vectors (B, width_in) and weights (B, T) of vectors (B, T, width_in).

        Both are zeros for a bag without slices.
        """
        weights = self.weigh(vectors, present)
        return (weights @ vectors)[:, 0], weights[:, 0]
