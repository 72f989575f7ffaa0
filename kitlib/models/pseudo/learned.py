"""Fillers that are networks: trained by hiding sequences that are there, stopped by studies kept aside."""

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from kitlib.artefacts import Provenance, load_tensors, save_tensors
from kitlib.models.neural.loop import IDLE, chunks
from kitlib.models.pseudo.imputers import Filler

NETWORK_FILE = "filler_network.safetensors"
HELD_OUT_SHARE = 0.2
BATCH = 16
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.05
PATIENCE = 30
SEEN_WEIGHT = 0.2
"""Of giving back what was visible, beside 1 for what was hidden: the latter is what a filler is for."""


class NetworkFiller(Filler):
    """A small network that stays at the mean where nothing better was found on studies kept aside.

    All but those studies train it: a fold has a few hundred at most, and `hidden` has to be small as well.
    """

    def __init__(self, kind: type[nn.Module], components: int, *, hidden: int, epochs: int) -> None:
        super().__init__(components)
        self.kind, self.hidden, self.epochs = kind, hidden, epochs

    def _network(self) -> nn.Module:
        return self.kind(self.reduction.components, self.hidden)

    def _fit(self, reduced: np.ndarray, present: np.ndarray, seed: int) -> None:
        embeddings, there = torch.from_numpy(reduced).float(), torch.from_numpy(present)
        # A study with one sequence cannot hide it and still show something.
        order = np.random.default_rng(seed).permutation(np.flatnonzero(present.sum(axis=1) > 1))
        held_out = order[: round(HELD_OUT_SHARE * len(order))]
        # Initial weights and dropout draw from torch's global generator: fork it, and leave no trace.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._network()
            is_better = len(held_out) > 0 and _train(
                network, embeddings, there, order[len(held_out) :], held_out, self.epochs, seed
            )
        self.note = "" if is_better else f"the filler is as it began, at the mean: {IDLE}"
        # In double precision a study's guess is the same alone and among others.
        self.network = network.double().eval()

    @torch.inference_mode()
    def _fill(self, reduced: np.ndarray, present: np.ndarray) -> np.ndarray:
        return self.network(torch.from_numpy(reduced), torch.from_numpy(present))[0].numpy()

    def _save(self, folder: Path, provenance: Provenance) -> None:
        save_tensors(folder / NETWORK_FILE, self.network.state_dict(), provenance)

    def _load(self, folder: Path) -> None:
        with torch.random.fork_rng(devices=[]):
            network = self._network().double()
        network.load_state_dict(load_tensors(folder / NETWORK_FILE))
        self.network = network.eval()


def _train(
    network: nn.Module,
    embeddings: torch.Tensor,
    there: torch.Tensor,
    rows: np.ndarray,
    held_out: np.ndarray,
    epochs: int,
    seed: int,
) -> bool:
    """Leave the network as it guessed best on `held_out`, each of whose sequences is hidden in turn.

    False where that is as it was given.
    """
    random = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
    )
    best, best_loss, best_epoch = copy.deepcopy(network.state_dict()), np.inf, 0
    for epoch in range(epochs + 1):
        if epoch:
            network.train()
            for part in chunks(rows[torch.randperm(len(rows), generator=random).numpy()], BATCH):
                hidden = draw_hidden(there[part], random)
                error, penalty = _error(network, embeddings[part], there[part], hidden, SEEN_WEIGHT)
                optimiser.zero_grad()
                (error + penalty).backward()
                optimiser.step()
        loss = _held_out_error(network, embeddings[held_out], there[held_out])
        if loss < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(network.state_dict()), loss, epoch
        elif epoch - best_epoch >= PATIENCE:
            break
    network.load_state_dict(best)
    return best_epoch > 0


def _error(
    network: nn.Module,
    embeddings: torch.Tensor,
    there: torch.Tensor,
    hidden: torch.Tensor,
    seen_weight: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean squared error of what was hidden, with some of what was seen, and the network's own penalty."""
    guesses, penalty = network(embeddings, there & ~hidden)
    weights = there * torch.where(hidden, 1.0, seen_weight)
    errors = (guesses - embeddings).square().mean(-1)
    return (errors * weights).sum() / weights.sum(), penalty


@torch.inference_mode()
def _held_out_error(network: nn.Module, embeddings: torch.Tensor, there: torch.Tensor) -> float:
    network.eval()
    one_each = list(_hidden_in_turn(there))
    everything = torch.cat([embeddings] * len(one_each)), torch.cat([there] * len(one_each))
    return float(_error(network, *everything, torch.cat(one_each), 0.0)[0])


def _hidden_in_turn(there: torch.Tensor) -> Iterator[torch.Tensor]:
    for sequence in range(there.shape[1]):
        hidden = torch.zeros_like(there)
        hidden[:, sequence] = there[:, sequence]
        yield hidden


def draw_hidden(there: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Which of the sequences that are there (n, 3) to hide: at least one of two, and never all."""
    draws = torch.rand(there.shape, generator=random)
    lowest = draws.masked_fill(~there, 2.0).amin(1, keepdim=True)
    highest = draws.masked_fill(~there, -1.0).amax(1, keepdim=True)
    return there & ((draws < 0.5) | (draws == lowest)) & (draws < highest)
