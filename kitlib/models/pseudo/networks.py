"""Networks that impute the embeddings of hidden sequences from the visible ones.

All take Shown, reduced embeddings (B, 3, k) and which are visible (B, 3), and return guesses (B, 3, k) with a
scalar penalty. None reads what is hidden, and all start at the mean, because the last layer starts at zero.
"""

from itertools import pairwise

import torch
from torch import nn

from kitlib.nn.layers import GatedAttention, linear_from_zero
from kitlib.terms import SEQUENCES

DROPOUT = 0.1
HEADS = 4
LAYERS = 1
DIVERGENCE_WEIGHT = 0.1
"""At full weight the divergence collapses the latents before a few hundred studies can train them."""
SEQUENCE_COUNT = len(SEQUENCES)
Shown = tuple[torch.Tensor, torch.Tensor]
Guess = tuple[torch.Tensor, torch.Tensor]


class DenoisingAutoencoder(nn.Module):
    """Its noise is hiding whole sequences; with `hidden` = 512 it is 512-256-256-512, as published."""

    def __init__(self, components: int, hidden: int) -> None:
        super().__init__()
        inputs = SEQUENCE_COUNT * (components + 1)
        widths = (inputs, hidden, hidden // 2, hidden // 2, hidden)
        layers = [module for pair in pairwise(widths) for module in _layer(*pair)]
        self.layers = nn.Sequential(*layers, linear_from_zero(hidden, SEQUENCE_COUNT * components))

    def forward(self, shown: Shown) -> Guess:
        """Guesses (B, 3, k); nothing is penalised."""
        guesses = self.layers(_with_mask(shown)).reshape(shown[0].shape)
        return guesses, guesses.new_zeros(())


class VariationalCore(nn.Module):
    """A latent vector between two small layers: sampled in training, its mean at inference."""

    def __init__(self, inputs: int, components: int, hidden: int) -> None:
        super().__init__()
        latent = max(hidden // 4, 2)
        self.encode = nn.Sequential(*_layer(inputs, hidden))
        self.mean, self.log_variance = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.decode = nn.Sequential(
            *_layer(latent, hidden), linear_from_zero(hidden, SEQUENCE_COUNT * components)
        )

    def forward(self, inputs: torch.Tensor) -> Guess:
        """Guesses (B, 3, k) and a share of the latents' divergence from a standard normal."""
        hidden = self.encode(inputs)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden).clamp(-8, 8)
        noise = torch.randn_like(mean) * (log_variance / 2).exp() if self.training else 0.0
        guesses = self.decode(mean + noise).unflatten(1, (SEQUENCE_COUNT, -1))
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
        return guesses, DIVERGENCE_WEIGHT * divergence / max(guesses.numel(), 1)


class VariationalAutoencoder(nn.Module):
    """All sequences side by side, zeros for the hidden ones, with a mask."""

    def __init__(self, components: int, hidden: int) -> None:
        super().__init__()
        self.core = VariationalCore(SEQUENCE_COUNT * (components + 1), components, hidden)

    def forward(self, shown: Shown) -> Guess:
        """Guesses (B, 3, k) and the divergence."""
        return self.core(_with_mask(shown))


class AttentionAutoencoder(nn.Module):
    """Attention fuses the visible sequences into one vector, which a variational autoencoder reads."""

    def __init__(self, components: int, hidden: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(components, hidden) for _ in SEQUENCES)
        self.fuse = GatedAttention(hidden, hidden)
        self.core = VariationalCore(hidden + SEQUENCE_COUNT, components, hidden)

    def forward(self, shown: Shown) -> Guess:
        """Guesses (B, 3, k) and the divergence."""
        embeddings, visible = shown
        fused, _ = self.fuse(_projected(self.project, embeddings), visible)
        return self.core(torch.cat([fused, visible.to(fused.dtype)], dim=1))


class MaskedFusion(nn.Module):
    """A small transformer over three tokens; a learned token replaces a hidden sequence."""

    def __init__(self, components: int, hidden: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(components, hidden) for _ in SEQUENCES)
        self.missing = nn.Parameter(torch.randn(SEQUENCE_COUNT, hidden) * 0.02)
        self.sequence = nn.Parameter(torch.randn(SEQUENCE_COUNT, hidden) * 0.02)
        layer = nn.TransformerEncoderLayer(
            hidden, HEADS, 2 * hidden, DROPOUT, "gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.last = nn.ModuleList(linear_from_zero(hidden, components) for _ in SEQUENCES)

    def forward(self, shown: Shown) -> Guess:
        """Guesses (B, 3, k); nothing is penalised."""
        embeddings, visible = shown
        tokens = torch.where(visible[..., None], _projected(self.project, embeddings), self.missing)
        guesses = _projected(self.last, self.encoder(tokens + self.sequence))
        return guesses, guesses.new_zeros(())


NETWORKS: dict[str, type[nn.Module]] = {
    "dae": DenoisingAutoencoder,
    "vae": VariationalAutoencoder,
    "attention_vae": AttentionAutoencoder,
    "masked": MaskedFusion,
}


def _layer(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, outputs), nn.GELU(), nn.Dropout(DROPOUT)


def _with_mask(shown: Shown) -> torch.Tensor:
    """The visible embeddings and the mask of which are visible: (B, 3 * (k + 1))."""
    embeddings, visible = shown
    seen = torch.where(visible[..., None], embeddings, 0.0)
    return torch.cat([seen, visible[..., None].to(seen.dtype)], dim=2).flatten(1)


def _projected(layers: nn.ModuleList, tokens: torch.Tensor) -> torch.Tensor:
    """Each sequence's tokens (B, 3, inputs) through its own layer: (B, 3, outputs)."""
    return torch.stack([layer(tokens[:, sequence]) for sequence, layer in enumerate(layers)], dim=1)
