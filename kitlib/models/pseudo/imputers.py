"""Imputers of missing sequences: a study's embedding of one sequence from those of the sequences it has.

All work in one small reduced space of the three sequences' embeddings, which the classifier reads as well.
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
"""Per sequence: with 32 the regressions took 20 times as long, on 40 studies, and imputed worse."""
ROUNDS = 5


@dataclass(frozen=True, eq=False)
class StudyReduction:
    """Each sequence centred on its training mean, reduced by a PCA, and scaled by one number.

    An imputer learns from the 48 to 250 studies of a fold: with all 512 or 2,048 dimensions per sequence, one
    layer would have more unknowns than there are numbers to learn from, and most dimensions are redundant.
    The mean variance of the components is one in every sequence, so that none outweighs another, while
    within a sequence large components stay large: errors here are shares of the embedding's own variance.
    """

    means: np.ndarray  # (3, width)
    axes: np.ndarray  # (3, width, k), orthonormal columns, zeros beyond the rank of the training studies
    scales: np.ndarray  # (3,)

    @classmethod
    def fit(cls, embeddings: np.ndarray, present: np.ndarray, components: int, seed: int) -> Self:
        """Fit on training studies (n, 3, width); a sequence that fewer than two have reduces to zeros."""
        fitted = [
            principal_axes(embeddings[real, sequence].astype(np.float64), components, seed=seed)
            for sequence, real in enumerate(present.T)
        ]
        means, axes = (np.stack(arrays) for arrays in list(zip(*fitted))[:2])
        scales = np.array(
            [np.sqrt(variances.mean()) if len(variances) else 1.0 for _, _, variances in fitted]
        )
        return cls(means, axes, scales)

    def transform(self, embeddings: np.ndarray, present: np.ndarray) -> np.ndarray:
        """(n, 3, k) from (n, 3, width), zeros (the training mean) where a sequence is not present."""
        self.check(embeddings)
        centred = np.where(present[..., None], embeddings - self.means, 0.0)
        return np.einsum("nsw,swk->nsk", centred, self.axes) / self.scales[:, None]

    def check(self, embeddings: np.ndarray) -> None:
        """Raise ModelError unless the embeddings have the width of the training studies."""
        if embeddings.shape[1:] != self.means.shape:
            raise ModelError(
                f"embeddings of shape {embeddings.shape[1:]} where {self.means.shape} was expected",
                hint="Use one backbone, the one that the imputer was fitted with.",
            )

    def inverse(self, reduced: np.ndarray) -> np.ndarray:
        """Reconstruct embeddings (n, 3, width) from reduced ones (n, 3, k)."""
        return np.einsum("nsk,swk->nsw", reduced * self.scales[:, None], self.axes) + self.means

    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save into a folder."""
        tensors = {name: torch.from_numpy(array) for name, array in vars(self).items()}
        save_tensors(Path(folder) / REDUCTION_FILE, tensors, provenance)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote."""
        tensors = load_tensors(Path(folder) / REDUCTION_FILE)
        return cls(**{name: tensor.numpy() for name, tensor in tensors.items()})


class ModalityImputer:
    """Fitted on training studies; imputes what is missing in any study and leaves real embeddings unchanged.

    This class imputes the training mean of the sequence: the baseline that all others have to beat.
    """

    def __init__(self, components: int) -> None:
        self.components = components
        self.note = ""
        """What a user should know about the fit."""

    def fit(self, embeddings: np.ndarray, present: np.ndarray, seed: int) -> Self:
        """Fit on embeddings (n, 3, width) of training studies; `present` (n, 3) marks which are real."""
        self.reduction = StudyReduction.fit(embeddings, present, self.components, seed)
        self._fit(self.reduction.transform(embeddings, present), present, seed)
        return self

    def impute(self, embeddings: np.ndarray, present: np.ndarray) -> np.ndarray:
        """(n, 3, width): the real embeddings, with the others imputed."""
        if not len(embeddings):
            return np.array(embeddings)
        guesses = self._impute(self.reduction.transform(embeddings, present), present)
        return np.where(present[..., None], embeddings, self.reduction.inverse(guesses))

    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save what was learned into a folder."""
        self.reduction.save(folder, provenance)

    def load(self, folder: Path) -> Self:
        """Restore what an imputer built with the same parameters has saved."""
        self.reduction = StudyReduction.load(folder)
        return self

    def _fit(self, reduced: np.ndarray, present: np.ndarray, seed: int) -> None:
        """Fit on reduced embeddings (n, 3, k), zeros (the mean) where missing."""

    def _impute(self, reduced: np.ndarray, present: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """Reduced imputed embeddings (n, 3, k); values for sequences that are present are ignored."""
        return reduced


class ZerosImputer(ModalityImputer):
    """Imputes zeros; the mask tells the reader to ignore them."""

    def impute(self, embeddings: np.ndarray, present: np.ndarray) -> np.ndarray:
        """(n, 3, width): the real embeddings, and zeros."""
        self.reduction.check(embeddings)
        return np.where(present[..., None], embeddings, 0.0)


class TableImputer(ModalityImputer, ABC):
    """A scikit-learn imputer on a table of components; saved as its training table, and refitted on load."""

    leading: int | None = None
    """Number of leading components of each sequence to impute; the rest stay at the mean. None: all."""

    def _fit(self, reduced: np.ndarray, present: np.ndarray, seed: int) -> None:  # noqa: ARG002 - no dice
        self._learn(_with_holes(reduced[..., : self.leading], present))

    def _learn(self, table: np.ndarray) -> None:
        self.table = table  # (n, 3 k) with NaN where a sequence is missing
        # A column without any value cannot be learned, and stays at the mean.
        self.known = ~np.isnan(table).all(axis=0)
        self.imputer = self._imputer()
        if self.known.any():
            with warnings.catch_warnings():
                # The fixed number of rounds is intended, so not converging is no problem.
                warnings.simplefilter("ignore", ConvergenceWarning)
                self.imputer.fit(table[:, self.known])

    def _impute(self, reduced: np.ndarray, present: np.ndarray) -> np.ndarray:
        table = _with_holes(reduced[..., : self.leading], present)
        # A study without any value keeps the mean: the iterative imputer treats it differently when alone.
        some = ~np.isnan(table[:, self.known]).all(axis=1)
        guessed = np.zeros_like(table)
        if some.any():
            guessed[np.ix_(some, self.known)] = self.imputer.transform(table[np.ix_(some, self.known)])
        imputed = np.zeros_like(reduced)
        imputed[..., : self.leading] = guessed.reshape(len(reduced), len(SEQUENCES), -1)
        return imputed

    @abstractmethod
    def _imputer(self) -> Any:
        """Build an unfitted imputer, which must be deterministic."""

    def save(self, folder: Path, provenance: Provenance) -> None:
        """See the base class; also saves the table."""
        super().save(folder, provenance)
        save_array(folder / TABLE_FILE, self.table, provenance)

    def load(self, folder: Path) -> Self:
        """See the base class."""
        self._learn(load_array(folder / TABLE_FILE))
        return super().load(folder)


class NeighboursImputer(TableImputer):
    """The weighted average of the nearest training studies, by the sequences that both have."""

    def _imputer(self) -> KNNImputer:
        return KNNImputer(n_neighbors=NEIGHBOURS, weights="distance")


class RegressionImputer(TableImputer):
    """Bayesian ridge regression of each component on all others, in turn, for several rounds.

    Within a missing sequence the other components are imputed as well, and only repeated rounds make them
    consistent, so no tolerance ends them early.
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
