"""`cell_attention`: attention from each of the 25 cells to the slices of all three sequences."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch

from kitlib.artefacts import Provenance, facts_of, load_tensors, save_tensors
from kitlib.embed.features import Features
from kitlib.machine import device
from kitlib.models.base import CURVE_COLUMNS, Model
from kitlib.models.batches import StudyTensors, TokenReduction
from kitlib.models.cell_network import CellNetwork
from kitlib.models.inner import inner_splits
from kitlib.models.loop import Schedule, predict_logits, train
from kitlib.terms import SEQUENCES

WEIGHTS_FILE = "members.safetensors"


@dataclass
class CellAttentionModel(Model):
    """An average of networks, each trained on all but one part of the studies and stopped by that part."""

    name: ClassVar[str] = "cell_attention"

    members: int = 5
    components: int = 16
    width: int = 32
    epochs: int = 120
    patience: int = 40
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    dropout: float = 0.3
    slice_dropout: float = 0.1
    view_dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.networks: list[CellNetwork] = []

    def _fit(self, features: Features, labels: np.ndarray, seed: int) -> None:
        self.reduction = TokenReduction.fit(features, self.components, seed=seed)
        tensors = StudyTensors(features, self.reduction)
        self.networks, curve = [], []
        for member, (rows, held_out) in enumerate(inner_splits(labels, self.members, seed=seed)):
            member_seed = int(np.random.default_rng([seed, member]).integers(2**31))
            # Dropout and initial weights draw from torch's global generators: fork them, and leave no trace.
            with torch.random.fork_rng():
                torch.manual_seed(member_seed)
                network = self._network()
                rows_of_curve = train(network, tensors, labels, rows, held_out, self._schedule(), member_seed)
            self.networks.append(network)
            curve += [{"part": str(member), **row} for row in rows_of_curve]
        self.curve = pd.DataFrame(curve, columns=list(CURVE_COLUMNS))

    def _predict(self, features: Features) -> np.ndarray:
        tensors = StudyTensors(features, self.reduction)
        rows = np.arange(len(features))
        members = [predict_logits(network, tensors, rows).double().softmax(-1) for network in self.networks]
        return torch.stack(members).mean(0).numpy()

    @torch.inference_mode()
    def attention(self, features: Features) -> list[dict[str, np.ndarray]]:
        """For each study and sequence, how each cell's attention is spread over the slices: (25, slices)."""
        tensors = StudyTensors(features, self.reduction)
        return [self._attention(tensors, row) for row in range(len(features))]

    def _attention(self, tensors: StudyTensors, row: int) -> dict[str, np.ndarray]:
        views = tensors.batch([row])
        weights = {}
        for sequence, name in enumerate(SEQUENCES):
            of_members = [
                network.attend(sequence, views[sequence], network.query())[1][0] for network in self.networks
            ]
            weights[name] = torch.stack(of_members).mean(0).cpu().numpy()
        return weights

    def _schedule(self) -> Schedule:
        names = (
            "epochs",
            "batch",
            "learning_rate",
            "weight_decay",
            "slice_dropout",
            "view_dropout",
            "patience",
        )
        return Schedule(**{name: getattr(self, name) for name in names})

    def _network(self) -> CellNetwork:
        log_prior = torch.from_numpy(np.log(self.prior)).float()
        return CellNetwork(
            inputs=self.components, width=self.width, dropout=self.dropout, log_prior=log_prior
        ).to(device())

    def _save(self, folder: Path, provenance: Provenance) -> None:
        tensors = {"means": self.reduction.means, "axes": self.reduction.axes}
        for member, network in enumerate(self.networks):
            tensors |= {f"{member}.{name}": tensor for name, tensor in network.state_dict().items()}
        save_tensors(folder / WEIGHTS_FILE, tensors, provenance, members=len(self.networks))

    def _load(self, folder: Path) -> None:
        tensors = load_tensors(folder / WEIGHTS_FILE)
        self.reduction = TokenReduction(tensors["means"], tensors["axes"])
        members = facts_of(folder / WEIGHTS_FILE)["members"]
        self.networks = [self._member(tensors, f"{member}.") for member in range(members)]

    def _member(self, tensors: dict[str, torch.Tensor], prefix: str) -> CellNetwork:
        state = {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
        network = self._network()
        network.load_state_dict(state)
        return network.eval()
