"""The base of neural models on tokens: members trained on inner splits, averaged, saved as tensors.

A subclass is a dataclass with its parameters (and other defaults where it needs them) that builds one
untrained network; everything else is here.
"""

from abc import abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from kitlib.artefacts import Provenance, facts_of, load_tensors, save_tensors
from kitlib.errors import known_name
from kitlib.inputs.bags import BagDataset
from kitlib.machine import device
from kitlib.models.base import CURVE_COLUMNS, Model
from kitlib.models.common.cv import inner_splits
from kitlib.models.neural.batches import StudyTensors, TokenReduction, TokenScale, fit_reduction, reduction_of
from kitlib.models.neural.loop import IDLE, Schedule, learned_nothing, predict_logits, train
from kitlib.models.neural.losses import LOSSES
from kitlib.terms import SEQUENCES

WEIGHTS_FILE = "members.safetensors"


@dataclass
class NetworkModel(Model):
    """An average of networks, each trained on all but one part of the studies and stopped by that part."""

    members: int = 5
    inner_parts: int = 0  # that the studies are split into; 0: one for each member
    components: int = 16  # of a PCA of the slices; 0: none
    width: int = 32
    epochs: int = 120
    patience: int = 40
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    dropout: float = 0.3
    slice_dropout: float = 0.1
    view_dropout: float = 0.1
    loss: str = "metric"

    def __post_init__(self) -> None:
        super().__post_init__()
        known_name(self.loss, LOSSES, f"{self.name}.loss")
        self.networks: list[nn.Module] = []

    @abstractmethod
    def _network(self, inputs: int, log_prior: torch.Tensor) -> nn.Module:
        """An untrained network from a batch's views of vectors (B, T, inputs) to logits (B, 25, 3).

        It starts at log_prior (25, 3); torch's global generators are seeded.
        """

    def _fit(self, data: Any, labels: np.ndarray, seed: int) -> None:
        self.reduction = self._reduction(data, seed)
        tensors = self._tensors(data)
        splits = inner_splits(labels, self.inner_parts or self.members, seed=seed)
        self.networks, curve, idle = [], [], 0
        for member, (rows, held_out) in enumerate(splits[: self.members]):
            member_seed = int(np.random.default_rng([seed, member]).integers(2**31))
            # Dropout and initial weights draw from torch's global generators: fork them, and leave no trace.
            with torch.random.fork_rng():
                torch.manual_seed(member_seed)
                network = self._member()
                rows_of_curve = train(
                    network, tensors, labels, rows, held_out, self._schedule(), member_seed, LOSSES[self.loss]
                )
            self.networks.append(network)
            idle += learned_nothing(rows_of_curve)
            curve += [{"part": str(member), **row} for row in rows_of_curve]
        self.curve = pd.DataFrame(curve, columns=list(CURVE_COLUMNS))
        self.note(f"{idle} of {len(self.networks)} networks are as they began: {IDLE}" if idle else "")

    def _predict(self, data: BagDataset) -> np.ndarray:
        tensors = self._tensors(data)
        rows = np.arange(len(data))
        members = [predict_logits(network, tensors, rows).double().softmax(-1) for network in self.networks]
        return torch.stack(members).mean(0).numpy()

    def _reduction(self, data: Any, seed: int) -> TokenReduction | TokenScale:
        """What is done to the tokens before the networks see them, learned from the training studies."""
        return fit_reduction(data, self.components, seed=seed)

    def _tensors(self, data: BagDataset) -> StudyTensors:
        return StudyTensors(data, self.reduction)

    def _schedule(self) -> Schedule:
        return Schedule(**{field.name: getattr(self, field.name) for field in fields(Schedule)})

    def _member(self) -> nn.Module:
        log_prior = torch.from_numpy(np.log(self.prior)).float()
        return self._network(self.reduction.width, log_prior).to(device())

    def _save(self, folder: Path, provenance: Provenance) -> None:
        tensors = self.reduction.tensors()
        for member, network in enumerate(self.networks):
            tensors |= {f"{member}.{name}": tensor for name, tensor in network.state_dict().items()}
        save_tensors(folder / WEIGHTS_FILE, tensors, provenance, members=len(self.networks))

    def _load(self, folder: Path) -> None:
        tensors = load_tensors(folder / WEIGHTS_FILE)
        self.reduction = reduction_of(tensors)
        members = facts_of(folder / WEIGHTS_FILE)["members"]
        self.networks = [self._loaded(tensors, f"{member}.") for member in range(members)]

    def _loaded(self, tensors: dict[str, torch.Tensor], prefix: str) -> nn.Module:
        state = {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
        with torch.random.fork_rng():
            network = self._member()
        network.load_state_dict(state)
        return network.eval()


@dataclass
class SliceAttentionModel(NetworkModel):
    """A network model whose networks tell where they look, by `attention(views)`: each cell's (B, 25, T)."""

    @torch.inference_mode()
    def attention(self, data: BagDataset) -> list[dict[str, np.ndarray]]:
        """For each study and sequence, how each cell's attention is spread over the slices: (25, slices)."""
        tensors = self._tensors(data)
        return [self._attention(tensors, row) for row in range(len(data))]

    def _attention(self, tensors: StudyTensors, row: int) -> dict[str, np.ndarray]:
        views = tensors.batch([row])
        of_members = [network.attention(views) for network in self.networks]  # type: ignore[operator]
        means = [torch.stack(of_sequence).mean(0)[0] for of_sequence in zip(*of_members)]
        return {name: mean.cpu().numpy() for name, mean in zip(SEQUENCES, means)}
