"""The networks of `fusion`: gated attention pools each sequence's slices, then the sequences are joined.

Slices are pooled before they are projected: both are linear in the slices, so three vectors per study pass
through the wide projection instead of sixty-five. Last layers start at zero on top of the prior.
"""

import torch
from torch import nn

from kitlib.models.neural.batches import SequenceBatch
from kitlib.nn.layers import GatedWeights, linear_from_zero
from kitlib.terms import CELLS, SEQUENCES, SEVERITIES

QUERIES = 4
"""Learned queries of architecture 1.2, for each sequence."""
GATE_WIDTH = 64
HIDDEN = 64
POSITIONS = 16
"""Places along the embedding axis that the fusing CNN pools to."""


class SequenceEmbedding(nn.Module):
    """One vector per learned query from one sequence's slices; a learned token where it is missing."""

    def __init__(self, inputs: int, width: int, queries: int) -> None:
        super().__init__()
        self.weigh = GatedWeights(inputs, GATE_WIDTH, queries)
        self.project = nn.Linear(inputs, width)
        self.absent = nn.Parameter(torch.randn(queries, width) * 0.1)

    def forward(self, batch: SequenceBatch) -> torch.Tensor:
        """(B, queries, width)."""
        pooled = self.weigh(batch.vectors, batch.present) @ batch.vectors
        absent = ~batch.present.any(-1)[:, None, None]
        return torch.where(absent, self.absent, self.project(pooled))


class EmbeddingCNN(nn.Module):
    """One vector from the embeddings of all sequences: convolutions over the embedding axis, then pooling."""

    width = 32 * POSITIONS

    def __init__(self, embeddings: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(embeddings, 16, kernel_size=7, padding=3),
            nn.GELU(),
            nn.MaxPool1d(2, ceil_mode=True),
            nn.Conv1d(16, 32, kernel_size=5, padding=2),
            nn.GELU(),
            nn.AdaptiveAvgPool1d(POSITIONS),
            nn.Flatten(),
            nn.LayerNorm(self.width),
        )

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(B, 32 * POSITIONS) from (B, embeddings, width)."""
        return self.layers(embeddings)


class SoftmaxHead(nn.Module):
    """Three logits per cell."""

    n_logits = len(SEVERITIES)

    def __init__(self, log_prior: torch.Tensor) -> None:
        super().__init__()
        self.start = nn.Buffer(log_prior)  # (25, 3)

    def forward(self, changes: torch.Tensor) -> torch.Tensor:
        """Logits (B, 25, 3)."""
        return self.start + changes


class CascadeHead(nn.Module):
    """Two logits per cell: is it degenerated (moderate or severe) and, if so, is it severe?

    The log loss of the three probabilities is that of the first logit plus, where there is degeneration,
    that of the second: any loss weighted 1/2/4 trains both with these weights.
    """

    n_logits = 2

    def __init__(self, log_prior: torch.Tensor) -> None:
        super().__init__()
        normal, moderate, severe = log_prior.unbind(-1)
        degenerated = torch.logaddexp(moderate, severe)
        self.start = nn.Buffer(torch.stack([degenerated - normal, severe - moderate], dim=-1))  # (25, 2)

    def forward(self, changes: torch.Tensor) -> torch.Tensor:
        """Log probabilities (B, 25, 3): 1 - d, d (1 - s) and d s."""
        yes = nn.functional.logsigmoid(self.start + changes)
        no = nn.functional.logsigmoid(-self.start - changes)
        return torch.stack([no[..., 0], yes[..., 0] + no[..., 1], yes.sum(-1)], dim=-1)


Head = SoftmaxHead | CascadeHead


class _Attentive(nn.Module):
    """Base of both networks: an embedding of each sequence, and its attention weights."""

    def __init__(self, inputs: int, width: int, queries: int) -> None:
        super().__init__()
        self.sequences = nn.ModuleList(SequenceEmbedding(inputs, width, queries) for _ in SEQUENCES)

    def embed(self, sequences: list[SequenceBatch]) -> torch.Tensor:
        """(B, sequences, queries, width)."""
        return torch.stack([embed(batch) for embed, batch in zip(self.sequences, sequences)], dim=1)

    def attention(self, sequences: list[SequenceBatch]) -> list[torch.Tensor]:
        """Return, per sequence, the queries' mean weights over slices (B, 25, T), equal for every cell."""
        pairs = zip(self.sequences, sequences)
        weights = [embed.weigh(batch.vectors, batch.present) for embed, batch in pairs]  # type: ignore[operator]
        return [of_queries.mean(1, keepdim=True).expand(-1, len(CELLS), -1) for of_queries in weights]


class IntermediateFusion(_Attentive):
    """Fuse the sequences into one vector, from which one network, or several side by side, predict."""

    def __init__(
        self, inputs: int, width: int, dropout: float, head: Head, queries: int, networks: int
    ) -> None:
        super().__init__(inputs, width, queries)
        self.fuse = EmbeddingCNN(len(SEQUENCES) * queries)
        outputs = len(CELLS) // networks * head.n_logits
        self.networks = nn.ModuleList(_network(self.fuse.width, outputs, dropout) for _ in range(networks))
        self.head = head

    def forward(self, sequences: list[SequenceBatch]) -> torch.Tensor:
        """Logits (B, 25, 3)."""
        fused = self.fuse(self.embed(sequences).flatten(1, 2))
        changes = torch.cat([network(fused) for network in self.networks], dim=1)
        return self.head(changes.unflatten(1, (len(CELLS), -1)))


class LateFusion(_Attentive):
    """One network per sequence, joined at the output by an average over the sequences present.

    The weight of a sequence is learned for each cell; a missing one has no weight.
    """

    def __init__(self, inputs: int, width: int, dropout: float, head: Head) -> None:
        super().__init__(inputs, width, queries=1)
        outputs = len(CELLS) * head.n_logits
        self.networks = nn.ModuleList(_network(width, outputs, dropout) for _ in SEQUENCES)
        self.trust = nn.Parameter(torch.zeros(len(SEQUENCES), len(CELLS)))
        self.head = head

    def forward(self, sequences: list[SequenceBatch]) -> torch.Tensor:
        """Logits (B, 25, 3)."""
        embeddings = self.embed(sequences)[:, :, 0].unbind(1)
        changes = torch.stack([network(vector) for network, vector in zip(self.networks, embeddings)], dim=1)
        present = torch.stack([batch.present.any(-1, keepdim=True) for batch in sequences], dim=1)
        trust = self.trust.masked_fill(~present, torch.finfo(changes.dtype).min).softmax(1) * present
        joined = (changes.unflatten(2, (len(CELLS), -1)) * trust[..., None]).sum(1)
        return self.head(joined)


def _network(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    last = linear_from_zero(HIDDEN, outputs)
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, HIDDEN), nn.GELU(), nn.Dropout(dropout), last)
