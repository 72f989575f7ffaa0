"""25 independent networks, one per cell, trained side by side with binary cross-entropy per severity."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from kitlib.artefacts import Provenance, facts_of, save_tensors
from kitlib.models.common.training_rows import SAMPLERS
from kitlib.models.pooled.classifiers import CellClassifiers
from kitlib.nn.loop import Curve, Schedule, train
from kitlib.nn.weights import load_weights
from kitlib.terms import EMPTY, SEVERITIES, SEVERITY_WEIGHTS

NETWORKS_FILE = "networks.safetensors"
HIDDEN = 16
DROPOUT = 0.5
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.1
EPOCHS = 80
PATIENCE = 15
LEAST_CHANCE = 1e-3


class NetworkBlock(nn.Module):
    """Networks of one hidden layer that share no weights and start at the given probabilities."""

    def __init__(self, columns: int, chances: torch.Tensor) -> None:
        super().__init__()
        cells, severities = chances.shape
        self.first = nn.Parameter(torch.randn(cells, columns, HIDDEN) * columns**-0.5)
        self.first_bias = nn.Parameter(torch.zeros(cells, 1, HIDDEN))
        self.last = nn.Parameter(torch.zeros(cells, HIDDEN, severities))
        self.last_bias = nn.Parameter(torch.logit(chances, LEAST_CHANCE)[:, None])
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Logits (25, n, 3), one per severity, of rows (25 or 1, n, columns)."""
        hidden = torch.relu(rows @ self.first + self.first_bias)
        return self.drop(hidden) @ self.last + self.last_bias


@dataclass(frozen=True, eq=False)
class CellExamples:
    """The training data of the networks: one batch."""

    rows: torch.Tensor  # (25, n, columns), or (1, n, columns) if all cells share them
    severities: torch.Tensor  # (25, n) int64
    weights: torch.Tensor  # (25, n), 0 where a cell has no label

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:  # noqa: ARG002  # one batch has one order
        """All rows as one batch."""
        return [np.arange(self.rows.shape[1])]

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[torch.Tensor, None]:  # noqa: ARG002
        """All rows; the loss knows their targets."""
        return self.rows, None

    @torch.inference_mode()
    def judge(self, block: nn.Module) -> float:
        """Return the loss of the networks on these rows."""
        return float(self.loss(block(self.rows)))

    def loss(self, logits: torch.Tensor, _: None = None) -> torch.Tensor:
        """Binary cross-entropy of logits (25, n, 3), averaged over each cell's rows and over the cells."""
        truth = nn.functional.one_hot(self.severities, len(SEVERITIES)).float()
        losses = nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        total = (losses.sum(-1) * self.weights).sum(1)
        known = self.weights.sum(1)
        return (total / known.clamp_min(1e-9))[known > 0].mean()


class NetworkClassifiers(CellClassifiers):
    """Networks trained on all studies for the number of epochs that was best on the held-out studies."""

    def fit(self, rows: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> Self:
        """See the base class."""
        self.learned = np.array([len(np.unique(column[column != EMPTY])) > 1 for column in labels.T])
        first = np.delete(np.arange(len(rows)), held_out)
        judged = self._shared(rows[held_out], labels[held_out])
        with torch.random.fork_rng():
            self.curve = self._train(self._examples(rows[first], labels[first]), EPOCHS, judged)
            # At least one epoch: a network at the prior would ignore its input.
            self._train(self._examples(rows, labels), max(best_epoch(self.curve), 1))
        return self

    @torch.inference_mode()
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """See the base class."""
        logits = self.block(torch.from_numpy(rows).float()[None])
        chances = logits.double().sigmoid().clamp_min(LEAST_CHANCE).transpose(0, 1).numpy()
        chances[:, ~self.learned] = self.prior[~self.learned]
        return chances / chances.sum(axis=-1, keepdims=True)

    def save(self, folder: Path, provenance: Provenance) -> None:
        """See the base class."""
        learned = self.learned.tolist()
        save_tensors(folder / NETWORKS_FILE, self.block.state_dict(), provenance, learned=learned)

    def load(self, folder: Path) -> Self:
        """See the base class."""
        state = load_weights(folder / NETWORKS_FILE)
        self.learned = np.array(facts_of(folder / NETWORKS_FILE)["learned"])
        with torch.random.fork_rng():
            self.block = self._block(state["first"].shape[1])
        self.block.load_state_dict(state)
        return self

    def _block(self, columns: int) -> NetworkBlock:
        """Build a block at the prior; its 1/2/4 weighting is undone for unweighted networks."""
        chances = self.prior if self.settings.weighted else self.prior / np.array(SEVERITY_WEIGHTS)
        chances = chances / chances.sum(axis=1, keepdims=True)
        return NetworkBlock(columns, torch.from_numpy(chances).float()).eval()

    def _train(self, examples: CellExamples, epochs: int, judged: CellExamples | None = None) -> Curve:
        """Train a new block on whole batches; return the curve, one row per epoch, with epoch 0 untrained."""
        torch.manual_seed(self.seed)
        self.block = self._block(examples.rows.shape[2])
        schedule = Schedule(epochs, LEARNING_RATE, weight_decay=WEIGHT_DECAY, patience=PATIENCE)
        judge = judged.judge if judged else None
        return train(self.block, examples, examples.loss, schedule, 0, validate=judge)

    def _examples(self, rows: np.ndarray, labels: np.ndarray) -> CellExamples:
        """Resample each cell's labelled rows, padded to the longest sample with rows of zero weight."""
        if not SAMPLERS[self.settings.sampling]:
            return self._shared(rows, labels)
        self.sampler_notes = []
        samples = [self._sampled(rows, column) for column in labels.T]
        padded = pad_sequence([torch.from_numpy(rows).float() for rows, _ in samples], batch_first=True)
        codes = [torch.from_numpy(codes.astype(np.int64)) for _, codes in samples]
        severities = pad_sequence(codes, batch_first=True, padding_value=EMPTY)
        return CellExamples(padded, severities.clamp_min(0), self._weights(severities))

    def _shared(self, rows: np.ndarray, labels: np.ndarray) -> CellExamples:
        """All rows for every cell; rows without a label of the cell have zero weight."""
        codes = torch.from_numpy(labels.T.astype(np.int64))
        return CellExamples(torch.from_numpy(rows).float()[None], codes.clamp_min(0), self._weights(codes))

    def _weights(self, severities: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self.counted).float()[severities.clamp_min(0)] * (severities != EMPTY)


def best_epoch(curve: Curve) -> int:
    """Return the epoch of the lowest validation loss, or the last epoch if there is no validation loss."""
    losses = np.array([row["valid_loss"] for row in curve])
    return len(curve) - 1 if np.isnan(losses).any() else int(losses.argmin())
