"""One small space for the three sequences' embeddings: where missing ones are filled, and cells judged."""

from pathlib import Path
from typing import Self

import numpy as np
from sklearn.decomposition import PCA

from kitlib.artefacts import Provenance, load_tensors, save_tensors
from kitlib.errors import ModelError
from kitlib.terms import SEQUENCES

REDUCTION_FILE = "reduction.safetensors"


class StudyReduction:
    """Each sequence centred on its training mean, reduced by a PCA, and scaled by one number.

    A filler learns from the 48 to 250 studies of a fold: with all of 512 or 2,048 dimensions a sequence it
    would have more unknowns in one layer than numbers to learn from, and most dimensions repeat each other.
    The mean variance of the components is one in every sequence, so that none outweighs another, while
    within a sequence large components stay large: errors here are shares of the embedding's own variance.
    """

    def __init__(self, means: np.ndarray, axes: np.ndarray, scales: np.ndarray) -> None:
        self.means = means  # (3, width)
        self.axes = axes  # (3, width, k), orthonormal columns, zeros where studies do not tell more
        self.scales = scales  # (3,)

    @classmethod
    def fit(cls, embeddings: np.ndarray, present: np.ndarray, components: int, seed: int) -> Self:
        """Learn from training studies (n, 3, width); a sequence that fewer than two have reduces to zeros."""
        width = embeddings.shape[2]
        means, axes = np.zeros((len(SEQUENCES), width)), np.zeros((len(SEQUENCES), width, components))
        scales = np.ones(len(SEQUENCES))
        for sequence in range(len(SEQUENCES)):
            rows = embeddings[present[:, sequence], sequence].astype(np.float64)
            if len(rows):
                means[sequence] = rows.mean(axis=0)
            if len(rows) > 1 and np.ptp(rows, axis=0).any():
                pca = PCA(min(components, len(rows) - 1, width), random_state=seed).fit(rows)
                axes[sequence, :, : pca.n_components_] = pca.components_.T
                scales[sequence] = np.sqrt(pca.explained_variance_.mean())
        return cls(means, axes, scales)

    @property
    def components(self) -> int:
        """The length k of a reduced embedding."""
        return self.axes.shape[2]

    def transform(self, embeddings: np.ndarray, present: np.ndarray) -> np.ndarray:
        """(n, 3, k) from (n, 3, width), zeros (the training mean) where a sequence is not present."""
        self.check(embeddings)
        centred = np.where(present[..., None], embeddings - self.means, 0.0)
        return np.einsum("nsw,swk->nsk", centred, self.axes) / self.scales[:, None]

    def check(self, embeddings: np.ndarray) -> None:
        """ModelError if these are no embeddings of the width learned from."""
        if embeddings.shape[1:] != self.means.shape:
            raise ModelError(
                f"embeddings of shape {embeddings.shape[1:]} where {self.means.shape} was expected",
                hint="Use one backbone, the one that the filler was fitted with.",
            )

    def inverse(self, reduced: np.ndarray) -> np.ndarray:
        """Embeddings (n, 3, width) of reduced ones (n, 3, k)."""
        return np.einsum("nsk,swk->nsw", reduced * self.scales[:, None], self.axes) + self.means

    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save into a folder."""
        import torch

        arrays = {"means": self.means, "axes": self.axes, "scales": self.scales}
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        save_tensors(Path(folder) / REDUCTION_FILE, tensors, provenance)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open what `save` wrote."""
        tensors = load_tensors(Path(folder) / REDUCTION_FILE)
        return cls(*(tensors[name].numpy() for name in ("means", "axes", "scales")))
