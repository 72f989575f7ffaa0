"""Batches of random slices, and a small network on them."""

import torch

from kitlib.models.neural.batches import SequenceBatch
from kitlib.models.vit.network import SliceTransformer, ViTNetwork


def make_batch(studies: int = 4, slices: int = 6, px: int = 8) -> SequenceBatch:
    draws = torch.Generator().manual_seed(0)
    return SequenceBatch(
        torch.rand(studies, slices, px * px, generator=draws),
        torch.randn(studies, slices, 3, generator=draws) * torch.tensor([20.0, 0.1, 20.0]),
        torch.rand(studies, slices, generator=draws) < 0.8,
    )


def make_network(px: int = 8, grid: int = 4) -> ViTNetwork:
    transformer = SliceTransformer(px=px, grid=grid, width=8, depth=1, heads=1, dropout=0.0)
    return ViTNetwork(transformer, dropout=0.0, log_prior=torch.zeros(25, 3))
