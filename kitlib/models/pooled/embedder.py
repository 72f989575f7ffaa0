"""From slices to one vector per sequence: average pooling or trained attention, optionally projected.

Training goes through linear heads for the 25 cells, which are then discarded. A vector fitted on a study's
own labels shows them more clearly than a new study's vector will. So a quarter of the training studies
(`stopping_split`) are held out: they stop the training, and a classifier on top must be stopped or calibrated
on them, never on the others. Cross-fitting with several embedders is no alternative: each embedder has its
own space, and a classifier needs one. With this, on 200 synthetic studies of 2,048-wide slices, trained
averages did new studies no harm compared with untrained ones: an SVC on them scored .92 against .92, networks
.92 against .95, the prior 1.01.
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from kitlib.artefacts import Provenance, facts_of, fingerprint, save_tensors
from kitlib.errors import known_name
from kitlib.inputs.bags import BagDataset
from kitlib.machine import device
from kitlib.models.base import CURVE_COLUMNS
from kitlib.models.common.training_rows import inner_splits
from kitlib.models.neural.batches import SequenceBatch, StudyBatches, StudyTensors, fit_reduction
from kitlib.models.neural.members import AVERAGE_DECAY, validation
from kitlib.models.pooled.model import POOLINGS
from kitlib.nn.layers import GatedAttention, linear_from_zero
from kitlib.nn.loop import IDLE, Schedule, learned_nothing, train
from kitlib.nn.losses import metric_loss
from kitlib.nn.projection import reduction_of
from kitlib.nn.weights import load_weights, with_prefix
from kitlib.terms import CELLS, SEQUENCES, SEVERITIES

ATTENTION_HIDDEN = 64
DROPOUT = 0.3
EMBEDDER_FILE = "embedder.safetensors"
STOPPING_PARTS = 4
KEPT_EMBEDDERS = 4
LEAST_SPREAD = 0.05
_embedders: "OrderedDict[str, StudyEmbedder]" = OrderedDict()


def stopping_split(labels: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the studies to train on, and of the quarter for stopping and calibration."""
    return inner_splits(labels, STOPPING_PARTS, seed=seed)[0]


def fit_embedder(
    data: BagDataset, labels: np.ndarray, prior: np.ndarray, pooling: str, width: int, epochs: int, seed: int
) -> "StudyEmbedder":
    """Fit an embedder on these training studies, or return the one that this process has fitted before.

    Several classifiers on one fold share it. `pooling` is one of POOLINGS; `width` 0 keeps the backbone's.
    """
    known_name(pooling, POOLINGS, "pooling")
    key = fingerprint(data.fingerprint, labels.tolist(), prior.tolist(), pooling, width, epochs, seed)
    if key not in _embedders:
        embedder = StudyEmbedder(pooling=pooling, width=width)
        _embedders[key] = embedder.fit(data, labels, prior, epochs=epochs, seed=seed)
        if len(_embedders) > KEPT_EMBEDDERS:
            _embedders.popitem(last=False)
    _embedders.move_to_end(key)
    return _embedders[key]


class AveragePooling(nn.Module):
    """The mean of a bag's slices, without parameters."""

    def forward(self, vectors: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As GatedAttention: pooled (B, d) and weights (B, T), zeros for a bag without slices."""
        weights = present / present.sum(1, keepdim=True).clamp_min(1)
        return (weights[:, None] @ vectors)[:, 0], weights


class EmbeddingNetwork(nn.Module):
    """One vector per sequence from its slices of `width_in`; `width` 0 keeps that width without projection.

    The projection starts orthogonal and the attention nearly uniform: untrained, it is a random projection of
    the average.
    """

    def __init__(self, width_in: int, *, pooling: str, width: int) -> None:
        super().__init__()
        self.width = width or width_in
        self.pool = nn.ModuleList(
            GatedAttention(width_in, ATTENTION_HIDDEN) if pooling == "attention" else AveragePooling()
            for _ in SEQUENCES
        )
        self.project = nn.ModuleList(
            nn.Linear(width_in, width, bias=False) if width else nn.Identity() for _ in SEQUENCES
        )
        for layer in self.project:
            if isinstance(layer, nn.Linear):
                nn.init.orthogonal_(layer.weight)

    def embed(self, sequences: list[SequenceBatch]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Vectors (B, 3, width), zeros for a missing sequence, and per sequence the slice weights (B, T)."""
        pooled = [pool(batch.vectors, batch.present) for pool, batch in zip(self.pool, sequences)]
        vectors = [project(vector) for project, (vector, _) in zip(self.project, pooled)]
        return torch.stack(vectors, 1), [weights for _, weights in pooled]


class WithHeads(nn.Module):
    """An embedding network under linear heads for the 25 cells, which start at the log prior."""

    def __init__(self, network: EmbeddingNetwork, log_prior: torch.Tensor) -> None:
        super().__init__()
        self.network = network
        self.log_prior = nn.Buffer(log_prior)  # (25, 3)
        self.drop = nn.Dropout(DROPOUT)
        self.heads = linear_from_zero(len(SEQUENCES) * network.width, len(CELLS) * len(SEVERITIES))

    def forward(self, sequences: list[SequenceBatch]) -> torch.Tensor:
        """Logits (B, 25, 3)."""
        vectors, _ = self.network.embed(sequences)
        return self.log_prior + self.heads(self.drop(vectors.flatten(1))).unflatten(1, self.log_prior.shape)


class StudyEmbedder:
    """One standardised vector for each sequence of a study."""

    def __init__(self, *, pooling: str, width: int) -> None:
        self.pooling, self.width = pooling, width
        self.curve = pd.DataFrame(columns=list(CURVE_COLUMNS))
        self.note = ""

    def fit(
        self, data: BagDataset, labels: np.ndarray, prior: np.ndarray, *, epochs: int, seed: int
    ) -> "StudyEmbedder":
        """Learn from training studies with labels (n, 25) and their prior (25, 3)."""
        self.scale = fit_reduction(data, 0, seed=seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = self._network()
            if list(self.network.parameters()):
                self._train(data, labels, prior, epochs, seed)
        vectors, present = self._pooled(data)
        self.mean, self.deviation = _moments(vectors, present)
        return self

    def transform(self, data: BagDataset) -> tuple[np.ndarray, np.ndarray]:
        """Vectors (n, 3, width) float32, zeros for a missing sequence, and which are present (n, 3) bool.

        Present vectors are standardised to mean 0 and deviation 1 over the training studies.
        """
        vectors, present = self._pooled(data)
        return ((vectors - self.mean) / self.deviation) * present[..., None], present

    def attention(self, data: BagDataset) -> list[dict[str, np.ndarray]]:
        """Return, per study and sequence, the pooling weights (slices,), which sum to one."""
        return [
            {name: of_sequence[0].cpu().numpy() for name, of_sequence in zip(SEQUENCES, weights)}
            for _, weights in self._embedded(data)
        ]

    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save into a model's folder, as tensors."""
        tensors = {"mean": torch.from_numpy(self.mean), "deviation": torch.from_numpy(self.deviation)}
        tensors |= {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"scale.{name}": tensor for name, tensor in self.scale.tensors().items()}
        save_tensors(folder / EMBEDDER_FILE, tensors, provenance, pooling=self.pooling, width=self.width)

    @classmethod
    def load(cls, folder: Path) -> "StudyEmbedder":
        """Load what `save` wrote."""
        tensors, facts = load_weights(folder / EMBEDDER_FILE), facts_of(folder / EMBEDDER_FILE)
        embedder = cls(pooling=facts["pooling"], width=facts["width"])
        embedder.mean, embedder.deviation = tensors["mean"].numpy(), tensors["deviation"].numpy()
        embedder.scale = reduction_of(with_prefix(tensors, "scale."))
        with torch.random.fork_rng():
            embedder.network = embedder._network()
        embedder.network.load_state_dict(with_prefix(tensors, "network."))
        return embedder

    def _network(self) -> EmbeddingNetwork:
        return EmbeddingNetwork(self.scale.width, pooling=self.pooling, width=self.width).to(device()).eval()

    def _train(self, data: BagDataset, labels: np.ndarray, prior: np.ndarray, epochs: int, seed: int) -> None:
        network = WithHeads(self.network, torch.from_numpy(np.log(prior)).float()).to(device())
        rows, held_out = stopping_split(labels, seed=seed)
        tensors = StudyTensors(data, self.scale)
        batches = StudyBatches(tensors, labels, rows, size=16, dropped=(0.5, 0.1))
        schedule = Schedule(epochs, 3e-4, weight_decay=0.1, average_decay=AVERAGE_DECAY, patience=4)
        judge = validation(tensors, labels, held_out)
        curve = train(network, batches, metric_loss, schedule, seed, validate=judge)
        self.note = f"the embedder is as it began: {IDLE}" if learned_nothing(curve) else ""
        self.curve = pd.DataFrame(curve).assign(part="embedder")[list(CURVE_COLUMNS)]

    @torch.inference_mode()
    def _embedded(self, data: BagDataset) -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
        """Embed studies one by one: in a batch, rounding depends on the others, and could change a tree."""
        tensors = StudyTensors(data, self.scale)
        return [self.network.embed(tensors.batch([row])) for row in range(len(data))]

    def _pooled(self, data: BagDataset) -> tuple[np.ndarray, np.ndarray]:
        vectors = [of_study[0].cpu().numpy() for of_study, _ in self._embedded(data)]
        return np.reshape(vectors, (len(data), len(SEQUENCES), self.network.width)), data.present


def _moments(vectors: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (3, width) of the present vectors; the deviation is 1 where nothing varies.

    A column that varies far less than most is scaled by LEAST_SPREAD times the median deviation: scaled by
    its own, a small change of scanner would amount to hundreds of deviations.
    """
    mean = np.zeros(vectors.shape[1:], np.float32)
    deviation = np.ones_like(mean)
    for sequence in range(len(SEQUENCES)):
        seen = vectors[present[:, sequence], sequence]
        if len(seen):
            mean[sequence] = seen.mean(axis=0)
            spread = seen.std(axis=0)
            spread = np.maximum(spread, LEAST_SPREAD * np.median(spread))
            deviation[sequence] = np.where(spread > 1e-6, spread, 1.0)
    return mean, deviation
