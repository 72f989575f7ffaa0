"""One small space for the three sequences' embeddings: where missing ones are imputed, and cells judged."""

from pathlib import Path
from typing import Self

import numpy as np

from kitlib.artefacts import Provenance, load_tensors, save_tensors
from kitlib.errors import ModelError
from kitlib.nn.projection import principal_axes

REDUCTION_FILE = "reduction.safetensors"


class StudyReduction:
    """Each sequence centred on its training mean, reduced by a PCA, and scaled by one number.

    An imputer learns from the 48 to 250 studies of a fold: with all of 512 or 2,048 dimensions a sequence it
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
        fitted = [
            principal_axes(embeddings[real, sequence].astype(np.float64), components, seed=seed)
            for sequence, real in enumerate(present.T)
        ]
        means, axes = (np.stack(arrays) for arrays in list(zip(*fitted))[:2])
        scales = np.array([np.sqrt(told.mean()) if len(told) else 1.0 for _, _, told in fitted])
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
                hint="Use one backbone, the one that the imputer was fitted with.",
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
