"""The networks of the embedder: pooling over slices, a projection, and the heads that train them."""

import torch
from torch import nn

from kitlib.models.neural.batches import SequenceBatch
from kitlib.nn.attention import GatedAttention
from kitlib.terms import CELLS, SEQUENCES, SEVERITIES

ATTENTION_HIDDEN = 64
DROPOUT = 0.3


class AveragePooling(nn.Module):
    """The plain mean of a bag's slices, with nothing to learn."""

    def forward(self, vectors: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As GatedAttention: pooled (B, d) and weights (B, T), zeros for a bag without slices."""
        weights = present / present.sum(1, keepdim=True).clamp_min(1)
        return (weights[:, None] @ vectors)[:, 0], weights


class EmbeddingNetwork(nn.Module):
    """One vector a sequence from its slices of `width_in`; `width` 0 keeps that width and projects nothing.

    A projection starts as a random rotation, attention about even: untrained, it is a random projection of
    the average.
    """

    def __init__(self, width_in: int, *, pooling: str, width: int) -> None:
        super().__init__()
        self.width = width or width_in
        self.pool = nn.ModuleList(
            GatedAttention(width_in, ATTENTION_HIDDEN) if pooling == "attention" else AveragePooling()
            for _ in SEQUENCES
        )
        self.project = nn.ModuleList(
            nn.Linear(width_in, width, bias=False) if width else nn.Identity() for _ in SEQUENCES
        )
        for layer in self.project:
            if isinstance(layer, nn.Linear):
                nn.init.orthogonal_(layer.weight)

    def embed(self, sequences: list[SequenceBatch]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Vectors (B, 3, width), zeros for a missing sequence; per sequence its slices' weights (B, T)."""
        pooled = [pool(batch.vectors, batch.present) for pool, batch in zip(self.pool, sequences)]
        vectors = [project(vector) for project, (vector, _) in zip(self.project, pooled)]
        return torch.stack(vectors, 1), [weights for _, weights in pooled]


class WithHeads(nn.Module):
    """An embedding network under linear heads for the 25 cells, which start at the log prior."""

    def __init__(self, network: EmbeddingNetwork, log_prior: torch.Tensor) -> None:
        super().__init__()
        self.network = network
        self.log_prior = nn.Buffer(log_prior)  # (25, 3)
        self.drop = nn.Dropout(DROPOUT)
        self.heads = nn.Linear(len(SEQUENCES) * network.width, len(CELLS) * len(SEVERITIES))
        nn.init.zeros_(self.heads.weight)
        nn.init.zeros_(self.heads.bias)

    def forward(self, sequences: list[SequenceBatch]) -> torch.Tensor:
        """Logits (B, 25, 3)."""
        vectors, _ = self.network.embed(sequences)
        return self.log_prior + self.heads(self.drop(vectors.flatten(1))).unflatten(1, self.log_prior.shape)
