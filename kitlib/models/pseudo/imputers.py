"""Imputers of missing sequences: a study's embedding of one sequence from those of the sequences it has.

All impute in one small space for the three sequences' embeddings, in which cells are judged as well.
"""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes IterativeImputer importable
from sklearn.impute import IterativeImputer, KNNImputer

from kitlib.artefacts import Provenance, load_array, load_tensors, save_array, save_tensors
from kitlib.errors import ModelError
from kitlib.nn.projection import principal_axes
from kitlib.terms import SEQUENCES

REDUCTION_FILE = "reduction.safetensors"
TABLE_FILE = "imputer_table.npy"
NEIGHBOURS = 5
ITERATIVE_COMPONENTS = 12
"""Of a sequence: with 32 its regressions took 20 times as long, on 40 studies, and guessed worse."""
ROUNDS = 5


@dataclass(frozen=True, eq=False)
class StudyReduction:
    """Each sequence centred on its training mean, reduced by a PCA, and scaled by one number.

    An imputer learns from the 48 to 250 studies of a fold: with all of 512 or 2,048 dimensions a sequence it
    would have more unknowns in one layer than numbers to learn from, and most dimensions repeat each other.
    The mean variance of the components is one in every sequence, so that none outweighs another, while
    within a sequence large components stay large: errors here are shares of the embedding's own variance.
    """

    means: np.ndarray  # (3, width)
    axes: np.ndarray  # (3, width, k), orthonormal columns, zeros where studies do not tell more
    scales: np.ndarray  # (3,)

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
        tensors = {name: torch.from_numpy(array) for name, array in vars(self).items()}
        save_tensors(Path(folder) / REDUCTION_FILE, tensors, provenance)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open what `save` wrote."""
        tensors = load_tensors(Path(folder) / REDUCTION_FILE)
        return cls(**{name: tensor.numpy() for name, tensor in tensors.items()})


class ModalityImputer:
    """Fitted on training studies; imputes what is missing in any and leaves what is real as it is.

    This one imputes the training studies' mean embedding of the sequence: what all others have to beat.
    """

    def __init__(self, components: int) -> None:
        self.components = components
        self.note = ""
        """What a user should know of the fit."""

    def fit(self, embeddings: np.ndarray, present: np.ndarray, seed: int) -> Self:
        """Learn from embeddings (n, 3, width) of training studies; `present` (n, 3) tells which are real."""
        self.reduction = StudyReduction.fit(embeddings, present, self.components, seed)
        self._fit(self.reduction.transform(embeddings, present), present, seed)
        return self

    def impute(self, embeddings: np.ndarray, present: np.ndarray) -> np.ndarray:
        """(n, 3, width): the real embeddings, and guesses in the place of all others."""
        if not len(embeddings):
            return np.array(embeddings)
        guesses = self._impute(self.reduction.transform(embeddings, present), present)
        return np.where(present[..., None], embeddings, self.reduction.inverse(guesses))

    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save what was learned into a folder."""
        self.reduction.save(folder, provenance)

    def load(self, folder: Path) -> Self:
        """Become what was saved by an imputer built with the same parameters."""
        self.reduction = StudyReduction.load(folder)
        return self

    def _fit(self, reduced: np.ndarray, present: np.ndarray, seed: int) -> None:
        """Learn from reduced embeddings (n, 3, k), zeros where missing: zeros are the mean."""

    def _impute(self, reduced: np.ndarray, present: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """Reduced guesses (n, 3, k); what they are where a sequence is present does not matter."""
        return reduced


class ZerosImputer(ModalityImputer):
    """Zeros; that they mean nothing, the mask tells whoever reads them."""

    def impute(self, embeddings: np.ndarray, present: np.ndarray) -> np.ndarray:
        """(n, 3, width): the real embeddings, and zeros."""
        self.reduction.check(embeddings)
        return np.where(present[..., None], embeddings, 0.0)


class TableImputer(ModalityImputer, ABC):
    """An imputer of scikit-learn on a table of components; kept as its training table, and fitted again."""

    leading: int | None = None
    """How many components of each sequence are guessed, where not all are; the rest stay at the mean."""

    def _fit(self, reduced: np.ndarray, present: np.ndarray, seed: int) -> None:  # noqa: ARG002 - no dice
        self._learn(_with_holes(reduced[..., : self.leading], present))

    def _learn(self, table: np.ndarray) -> None:
        self.table = table  # (n, 3 k) with NaN where a sequence is missing
        # A column that nobody knows cannot be learned, and stays at the mean.
        self.known = ~np.isnan(table).all(axis=0)
        self.imputer = self._imputer()
        if self.known.any():
            with warnings.catch_warnings():
                # All rounds are wanted: ending them early is what the imputer would not warn of.
                warnings.simplefilter("ignore", ConvergenceWarning)
                self.imputer.fit(table[:, self.known])

    def _impute(self, reduced: np.ndarray, present: np.ndarray) -> np.ndarray:
        table = _with_holes(reduced[..., : self.leading], present)
        # A study with nothing to go by keeps the mean: the iterative imputer treats it otherwise when alone.
        some = ~np.isnan(table[:, self.known]).all(axis=1)
        guessed = np.zeros_like(table)
        if some.any():
            guessed[np.ix_(some, self.known)] = self.imputer.transform(table[np.ix_(some, self.known)])
        imputed = np.zeros_like(reduced)
        imputed[..., : self.leading] = guessed.reshape(len(reduced), len(SEQUENCES), -1)
        return imputed

    @abstractmethod
    def _imputer(self) -> Any:
        """An unfitted imputer, which draws nothing at random."""

    def save(self, folder: Path, provenance: Provenance) -> None:
        """As the base says, with the table."""
        super().save(folder, provenance)
        save_array(folder / TABLE_FILE, self.table, provenance)

    def load(self, folder: Path) -> Self:
        """As the base says."""
        self._learn(load_array(folder / TABLE_FILE))
        return super().load(folder)


class NeighboursImputer(TableImputer):
    """The average of the nearest training studies, near in the sequences that both have."""

    def _imputer(self) -> KNNImputer:
        return KNNImputer(n_neighbors=NEIGHBOURS, weights="distance")


class RegressionImputer(TableImputer):
    """Bayesian ridge regressions of each component on all others, asked in turn, several rounds.

    Within a sequence other components are guesses as well; only rounds bring them to where they agree, so
    none is saved by a tolerance.
    """

    leading = ITERATIVE_COMPONENTS

    def _imputer(self) -> IterativeImputer:
        return IterativeImputer(max_iter=ROUNDS, tol=0.0, random_state=0)


PLAIN_IMPUTERS: dict[str, type[ModalityImputer]] = {
    "zeros": ZerosImputer,
    "mean": ModalityImputer,
    "knn": NeighboursImputer,
    "iterative": RegressionImputer,
}


def _with_holes(reduced: np.ndarray, present: np.ndarray) -> np.ndarray:
    return np.where(present[..., None], reduced, np.nan).reshape(len(reduced), -1)
