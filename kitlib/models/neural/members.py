"""The inside of a fitted NetworkModel: networks trained on inner splits, averaged, and saved as tensors."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import nn

from kitlib.artefacts import Provenance, facts_of, save_tensors
from kitlib.inputs.bags import BagDataset
from kitlib.models.common.training_rows import inner_splits
from kitlib.models.neural.batches import SequenceBatch, StudyTensors
from kitlib.nn.loop import Curve, Schedule, train
from kitlib.nn.losses import LOSSES, Loss, metric_loss
from kitlib.nn.projection import TokenReduction, TokenScale, reduction_of
from kitlib.nn.rows import chunks
from kitlib.nn.weights import load_weights, with_prefix
from kitlib.terms import EMPTY, SEQUENCES

if TYPE_CHECKING:
    from kitlib.models.neural.model import NetworkModel

WEIGHTS_FILE = "members.safetensors"
AVERAGE_DECAY = 0.97
"""Decay per step of the moving average of weights: about the last thirty steps."""
STUDIES_AT_ONCE = 64


class Members:
    """Networks that share one reduction of the tokens."""

    def __init__(self, networks: list[nn.Module], reduction: TokenReduction | TokenScale) -> None:
        self.networks, self.reduction = networks, reduction

    @classmethod
    def fit(cls, model: "NetworkModel", data: Any, labels: np.ndarray, seed: int) -> tuple[Self, list[Curve]]:
        """Train on studies with labels (n, 25); also returns the learning curve of each network."""
        fitted, curves = cls([], model.fit_reduction(data, seed)), []
        tensors = StudyTensors(data, fitted.reduction)
        schedule = Schedule(
            model.epochs, model.learning_rate, model.weight_decay,
            average_decay=AVERAGE_DECAY, patience=model.patience,
        )  # fmt: skip
        loss = LOSSES[model.loss]
        splits = inner_splits(labels, model.inner_parts or model.members, seed=seed)
        for member, (rows, held_out) in enumerate(splits[: model.members]):
            member_seed = int(np.random.default_rng([seed, member]).integers(2**31))
            # Dropout and initial weights draw from torch's global generators, so fork them.
            with torch.random.fork_rng():
                torch.manual_seed(member_seed)
                network = model.build_network(fitted.reduction.width)
                batches = model.batches(tensors, labels, rows)
                judge = validation(tensors, labels, held_out, loss)
                curve = train(network, batches, loss, schedule, member_seed, validate=judge)
            fitted.networks.append(network)
            curves.append(curve)
        return fitted, curves

    def predict(self, data: BagDataset) -> np.ndarray:
        """Predict probabilities (n, 25, 3), the mean over the networks."""
        tensors, rows = StudyTensors(data, self.reduction), np.arange(len(data))
        members = [predict_logits(network, tensors, rows).double().softmax(-1) for network in self.networks]
        return torch.stack(members).mean(0).numpy()

    @torch.inference_mode()
    def attention(self, data: BagDataset) -> list[dict[str, np.ndarray]]:
        """Return, per study and sequence, each cell's attention over the slices: (25, slices)."""
        tensors = StudyTensors(data, self.reduction)
        return [self._attention(tensors.batch([row])) for row in range(len(data))]

    def _attention(self, sequences: list[SequenceBatch]) -> dict[str, np.ndarray]:
        of_members = [network.attention(sequences) for network in self.networks]  # type: ignore[operator]
        means = [torch.stack(of_sequence).mean(0)[0] for of_sequence in zip(*of_members)]
        return {name: mean.cpu().numpy() for name, mean in zip(SEQUENCES, means)}

    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save into a model's folder."""
        tensors = self.reduction.tensors()
        for member, network in enumerate(self.networks):
            tensors |= {f"{member}.{name}": tensor for name, tensor in network.state_dict().items()}
        save_tensors(folder / WEIGHTS_FILE, tensors, provenance, members=len(self.networks))

    @classmethod
    def load(cls, folder: Path, build: Callable[[int], nn.Module]) -> Self:
        """Load what `save` wrote; `build` makes an untrained network for vectors of a given width."""
        tensors, count = load_weights(folder / WEIGHTS_FILE), facts_of(folder / WEIGHTS_FILE)["members"]
        fitted = cls([], reduction_of(tensors))
        for member in range(count):
            with torch.random.fork_rng():
                network = build(fitted.reduction.width)
            network.load_state_dict(with_prefix(tensors, f"{member}."))
            fitted.networks.append(network.eval())
        return fitted


@torch.inference_mode()
def predict_logits(network: nn.Module, tensors: StudyTensors, rows: np.ndarray) -> torch.Tensor:
    """Predict logits (n, 25, 3), a few studies at a time, and return them on the CPU."""
    network.eval()
    return torch.cat([network(tensors.batch(part)).cpu() for part in chunks(rows, STUDIES_AT_ONCE)])


def validation(
    tensors: StudyTensors, labels: np.ndarray, held_out: np.ndarray, loss: Loss = metric_loss
) -> Callable[[nn.Module], float] | None:
    """Return a function that computes a network's loss on the held-out studies; None if none is labelled."""
    target = torch.from_numpy(labels[held_out].astype(np.int64))
    if not (target != EMPTY).any():
        return None
    return lambda network: float(loss(predict_logits(network, tensors, held_out), target))
