"""Imputers that are networks, trained by hiding present sequences; held-out studies stop the training."""

from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import nn

from kitlib.artefacts import Provenance, save_tensors
from kitlib.models.pseudo.imputers import ModalityImputer
from kitlib.models.pseudo.networks import Guess, Shown
from kitlib.nn.loop import IDLE, Schedule, learned_nothing, train
from kitlib.nn.rows import shuffled
from kitlib.nn.weights import load_weights
from kitlib.terms import SEQUENCES

NETWORK_FILE = "imputer_network.safetensors"
HELD_OUT_SHARE = 0.2
BATCH = 16
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.05
PATIENCE = 30
SEEN_WEIGHT = 0.2
"""Loss weight of reconstructing visible sequences; hidden ones, the imputer's task, have 1."""

Truth = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Embeddings (B, 3, k), which are present and which of these are hidden (B, 3)."""


class NetworkImputer(ModalityImputer):
    """A small network that stays at the mean if training finds nothing better on held-out studies.

    It is trained on all other studies: a fold has a few hundred at most, so `hidden` has to be small.
    """

    def __init__(self, kind: type[nn.Module], components: int, *, hidden: int, epochs: int) -> None:
        super().__init__(components)
        self.kind, self.hidden, self.epochs = kind, hidden, epochs

    def _network(self) -> nn.Module:
        return self.kind(self.components, self.hidden)

    def _fit(self, reduced: np.ndarray, present: np.ndarray, seed: int) -> None:
        embeddings, there = torch.from_numpy(reduced).float(), torch.from_numpy(present)
        # A study with a single sequence would have nothing visible if it were hidden.
        order = np.random.default_rng(seed).permutation(np.flatnonzero(present.sum(axis=1) > 1))
        count = round(HELD_OUT_SHARE * len(order))
        held_out, rows = order[:count], order[count:]
        epochs = self.epochs if count else 0
        schedule = Schedule(epochs, LEARNING_RATE, WEIGHT_DECAY, patience=PATIENCE, fused=True)
        batches = HidingBatches(embeddings, there, rows)
        judge = partial(_held_out_error, embeddings=embeddings[held_out], there=there[held_out])
        # Initial weights and dropout draw from torch's global generator, so fork it.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._network()
            curve = train(network, batches, hiding_loss, schedule, seed, validate=judge)
        is_better = len(curve) > 1 and not learned_nothing(curve)
        self.note = "" if is_better else f"the imputer is as it began, at the mean: {IDLE}"
        # In double precision a study's imputation is the same alone and in a batch.
        self.network = network.double().eval()

    @torch.inference_mode()
    def _impute(self, reduced: np.ndarray, present: np.ndarray) -> np.ndarray:
        return self.network((torch.from_numpy(reduced), torch.from_numpy(present)))[0].numpy()

    def save(self, folder: Path, provenance: Provenance) -> None:
        """See the base class; also saves the network."""
        super().save(folder, provenance)
        save_tensors(folder / NETWORK_FILE, self.network.state_dict(), provenance)

    def load(self, folder: Path) -> Self:
        """See the base class."""
        super().load(folder)
        with torch.random.fork_rng(devices=[]):
            network = self._network().double()
        network.load_state_dict(load_weights(folder / NETWORK_FILE))
        self.network = network.eval()
        return self


class HidingBatches:
    """Batches of embeddings (n, 3, k) of which some that are present (n, 3) are hidden at random."""

    def __init__(self, embeddings: torch.Tensor, there: torch.Tensor, rows: np.ndarray) -> None:
        self.embeddings, self.there, self.rows = embeddings, there, rows

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:
        """All training studies in random order."""
        return shuffled(self.rows, BATCH, rng)

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[Shown, Truth]:
        """The visible embeddings of some studies, and the truth."""
        embeddings, there = self.embeddings[rows], self.there[rows]
        hidden = torch.zeros_like(there) if rng is None else draw_hidden(there, rng)
        return (embeddings, there & ~hidden), (embeddings, there, hidden)


def hiding_loss(output: Guess, truth: Truth) -> torch.Tensor:
    """Mean squared error of hidden embeddings, a share of that of visible ones, and the network's penalty."""
    guesses, penalty = output
    return _error(guesses, truth, SEEN_WEIGHT) + penalty


def _error(guesses: torch.Tensor, truth: Truth, seen_weight: float) -> torch.Tensor:
    embeddings, there, hidden = truth
    weights = there * torch.where(hidden, 1.0, seen_weight)
    return ((guesses - embeddings).square().mean(-1) * weights).sum() / weights.sum()


@torch.inference_mode()
def _held_out_error(network: nn.Module, embeddings: torch.Tensor, there: torch.Tensor) -> float:
    """Mean squared error of studies with each of their sequences hidden in turn; NaN without studies."""
    copies = len(SEQUENCES)
    in_turn = (torch.eye(copies, dtype=torch.bool)[:, None] & there).flatten(0, 1)  # (copies n, copies)
    embeddings, there = embeddings.repeat(copies, 1, 1), there.repeat(copies, 1)
    guesses, _ = network((embeddings, there & ~in_turn))
    return float(_error(guesses, (embeddings, there, in_turn), 0.0))


def draw_hidden(there: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Draw which of the present sequences (n, 3) to hide: at least one if there are two, and never all."""
    draws = torch.rand(there.shape, generator=random)
    lowest = draws.masked_fill(~there, 2.0).amin(1, keepdim=True)
    highest = draws.masked_fill(~there, -1.0).amax(1, keepdim=True)
    return there & ((draws < 0.5) | (draws == lowest)) & (draws < highest)
