"""Imputers of missing sequences: a study's embedding of one sequence from those of the sequences it has."""

import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes IterativeImputer importable
from sklearn.impute import IterativeImputer, KNNImputer

from kitlib.artefacts import Provenance, load_array, save_array
from kitlib.models.pseudo.reduction import StudyReduction
from kitlib.terms import SEQUENCES

TABLE_FILE = "imputer_table.npy"
NEIGHBOURS = 5
ITERATIVE_COMPONENTS = 12
"""Of a sequence: with 32 its regressions took 20 times as long, on 40 studies, and guessed worse."""
ROUNDS = 5


class ModalityImputer(ABC):
    """Fitted on training studies; imputes what is missing in any and leaves what is real as it is."""

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
        self._save(Path(folder), provenance)

    def load(self, folder: Path) -> Self:
        """Become what was saved by an imputer built with the same parameters."""
        self.reduction = StudyReduction.load(folder)
        self._load(Path(folder))
        return self

    @abstractmethod
    def _fit(self, reduced: np.ndarray, present: np.ndarray, seed: int) -> None:
        """Learn from reduced embeddings (n, 3, k), zeros where missing."""

    @abstractmethod
    def _impute(self, reduced: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Reduced guesses (n, 3, k); what they are where a sequence is present does not matter."""

    @abstractmethod
    def _save(self, folder: Path, provenance: Provenance) -> None: ...

    @abstractmethod
    def _load(self, folder: Path) -> None: ...


class MeanImputer(ModalityImputer):
    """The training studies' mean embedding of the sequence: what every other imputer has to beat."""

    def _fit(self, reduced: np.ndarray, present: np.ndarray, seed: int) -> None:
        """The mean is known to the reduction, whose zero it is."""

    def _impute(self, reduced: np.ndarray, present: np.ndarray) -> np.ndarray:
        return np.where(present[..., None], reduced, 0.0)

    def _save(self, folder: Path, provenance: Provenance) -> None: ...

    def _load(self, folder: Path) -> None: ...


class ZerosImputer(MeanImputer):
    """Zeros; that they mean nothing, the mask tells whoever reads them."""

    def impute(self, embeddings: np.ndarray, present: np.ndarray) -> np.ndarray:
        """(n, 3, width): the real embeddings, and zeros."""
        self.reduction.check(embeddings)
        return np.where(present[..., None], embeddings, 0.0)


class TableImputer(ModalityImputer):
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

    def _save(self, folder: Path, provenance: Provenance) -> None:
        save_array(folder / TABLE_FILE, self.table, provenance)

    def _load(self, folder: Path) -> None:
        self._learn(load_array(folder / TABLE_FILE))


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
    "mean": MeanImputer,
    "knn": NeighboursImputer,
    "iterative": RegressionImputer,
}


def _with_holes(reduced: np.ndarray, present: np.ndarray) -> np.ndarray:
    return np.where(present[..., None], reduced, np.nan).reshape(len(reduced), -1)
