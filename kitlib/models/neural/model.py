"""The base class of neural models on tokens: members trained on inner splits, averaged, saved as tensors.

A subclass is a dataclass with its parameters (and its own defaults where needed) that builds one untrained
network. Everything that needs torch is in `members`, so that listing models stays fast.
"""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance
from kitlib.errors import known_name
from kitlib.inputs.bags import BagDataset
from kitlib.models.base import CURVE_COLUMNS, Model

if TYPE_CHECKING:
    import torch
    from torch import nn

    from kitlib.models.neural.batches import StudyTensors
    from kitlib.nn.projection import TokenReduction, TokenScale
    from kitlib.nn.rows import Batches

LOSS_NAMES = ("metric", "bce", "weighted_bce")
"""The names in `nn.losses`."""


@dataclass
class NetworkModel(Model):
    """An average of networks, each trained on all but one part of the studies, with early stopping on it."""

    members: int = 5
    inner_parts: int = 0  # number of parts that the studies are split into; 0: one per member
    components: int = 16  # of a PCA of the slices; 0: no PCA
    width: int = 32
    epochs: int = 120
    patience: int = 40
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    dropout: float = 0.3
    slice_dropout: float = 0.1
    view_dropout: float = 0.1  # of all slices of a sequence
    loss: str = "metric"

    def __post_init__(self) -> None:
        super().__post_init__()
        known_name(self.loss, LOSS_NAMES, f"{self.name}.loss")

    @abstractmethod
    def _network(self, inputs: int, log_prior: "torch.Tensor") -> "nn.Module":
        """Build an untrained network from a batch's sequences, vectors (B, T, inputs), to logits (B, 25, 3).

        It starts at log_prior (25, 3); torch's global generators are seeded. Its `attention(sequences)`
        returns the attention weights (B, 25, T) of each sequence.
        """

    def _fit(self, data: Any, labels: np.ndarray, seed: int) -> None:
        from kitlib.models.neural.members import Members
        from kitlib.nn.loop import IDLE, learned_nothing

        self.fitted, curves = Members.fit(self, data, labels, seed)
        idle = sum(map(learned_nothing, curves))
        rows = [{"part": str(member), **row} for member, curve in enumerate(curves) for row in curve]
        self.curve = pd.DataFrame(rows, columns=list(CURVE_COLUMNS))
        self.note(f"{idle} of {len(curves)} networks are as they began: {IDLE}" if idle else "")

    def _predict(self, data: BagDataset) -> np.ndarray:
        return self.fitted.predict(data)

    def attention(self, data: BagDataset) -> list[dict[str, np.ndarray]]:
        """Return, per study and sequence, each cell's attention over the slices: (25, slices)."""
        return self.fitted.attention(data)

    def _save(self, folder: Path, provenance: Provenance) -> None:
        self.fitted.save(folder, provenance)

    def _load(self, folder: Path) -> None:
        from kitlib.models.neural.members import Members

        self.fitted = Members.load(folder, self.build_network)

    def build_network(self, inputs: int) -> "nn.Module":
        """Build an untrained network for vectors of a given width, on the accelerator if there is one."""
        import torch

        from kitlib.machine import device

        return self._network(inputs, torch.from_numpy(np.log(self.prior)).float()).to(device())

    def fit_reduction(self, data: Any, seed: int) -> "TokenReduction | TokenScale":
        """Fit the reduction applied to tokens before the networks see them, on the training studies."""
        from kitlib.models.neural.batches import fit_reduction

        return fit_reduction(data, self.components, seed=seed)

    def batches(self, tensors: "StudyTensors", labels: np.ndarray, rows: np.ndarray) -> "Batches":
        """Return batches of the training studies `rows` for the training loop."""
        from kitlib.models.neural.batches import StudyBatches

        return StudyBatches(tensors, labels, rows, self.batch, (self.slice_dropout, self.view_dropout))
