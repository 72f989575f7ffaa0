"""`pseudo`: pseudo-modality learning. An imputer fills in missing sequences; a classifier reads the result.

The classifier is the same for every imputer and is told which sequences are real. It learns from every study
as it is and again with sequences removed. Their replacements come from an imputer that was not fitted on that
study, as they will for new studies.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance
from kitlib.embed.tokens import Tokens
from kitlib.errors import known_name
from kitlib.inputs.bags import BagDataset
from kitlib.inputs.slices import SliceDataset
from kitlib.models.base import Model
from kitlib.models.common.positions import cell2level, cell2side
from kitlib.models.common.softmax import SoftmaxRegressions
from kitlib.models.common.training_rows import inner_splits
from kitlib.terms import CELLS, LEVELS, SEQUENCES

if TYPE_CHECKING:
    from kitlib.models.pooled.embedder import StudyEmbedder
    from kitlib.models.pseudo.imputers import ModalityImputer

NETWORKS = ("dae", "vae", "attention_vae", "masked")
IMPUTERS = ("zeros", "mean", "knn", "iterative", *NETWORKS)
CLASSIFIER_FILE = "classifier.json"
CELL_CODES = np.column_stack([np.ones(len(CELLS)), np.eye(len(LEVELS))[cell2level], cell2side])  # (25, 7)
"""The cells that a coefficient applies to: a whole condition group, one level, or left against right."""
ERROR_COLUMNS = ("study_id", "sequence", "error", "mean_error", "variation", "cosine", "mean_cosine")
"""Squared errors of the imputation and of the training mean; squared distance to these studies' mean."""


def build_imputer(name: str, components: int, hidden: int, epochs: int) -> "ModalityImputer":
    """Build an unfitted imputer, one of IMPUTERS; `hidden` and `epochs` are for those that are networks."""
    from kitlib.models.pseudo import imputers, learned, networks

    if name not in NETWORKS:
        return imputers.PLAIN_IMPUTERS[name](components)
    return learned.NetworkImputer(networks.NETWORKS[name], components, hidden=hidden, epochs=epochs)


class ImputedClassifier(SoftmaxRegressions):
    """The classifier used with every imputer: reads a row per study and is fitted exactly, in seconds."""

    @staticmethod
    def _of_cells(rows: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Each study's row (n, columns) times each code of each cell: (n, cells, 7 * columns)."""
        coded = CELL_CODES[cells][None, :, :, None] * rows[:, None, None, :]
        return coded.reshape(len(rows), len(cells), -1)


@dataclass
class PseudoModel(Model):
    """Slices averaged per sequence, an imputer of missing averages, and a softmax regression on the result.

    The average is not learned: an embedding fitted to a study's labels would be a different thing to impute.
    """

    name: ClassVar[str] = "pseudo"

    imputer: str = "masked"
    components: int = 32
    hidden: int = 128
    imputer_epochs: int = 200
    removed_copies: int = 2
    inner_parts: int = 3
    penalty: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        known_name(self.imputer, IMPUTERS, f"{self.name}.imputer")

    def _imputer(self) -> "ModalityImputer":
        return build_imputer(self.imputer, self.components, self.hidden, self.imputer_epochs)

    def _fit(self, data: SliceDataset, labels: np.ndarray, seed: int) -> None:
        from kitlib.models.pooled.embedder import fit_embedder

        self.embedder = fit_embedder(data, labels, self.prior, "average", width=0, epochs=0, seed=seed)
        embeddings, present = self._embeddings(data)
        self.fitted = self._imputer().fit(embeddings, present, seed)
        self.note(self.fitted.note)
        kept = self._kept(present, seed)
        imputed = self._cross_imputed(embeddings, kept, labels, seed)
        rows = np.concatenate([self._rows(copy, real) for copy, real in zip(imputed, kept)])
        copies = np.tile(labels, (len(kept), 1))
        self.classifier = ImputedClassifier.fit(rows, copies, self.prior, penalty=self.penalty * len(kept))

    def _embeddings(self, data: SliceDataset) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (n, 3, width), relative to the backbone's own zero, and which are present (n, 3)."""
        embeddings, present = self.embedder.transform(data)
        return (embeddings - _origin(self.embedder)) * present[..., None], present

    def _kept(self, present: np.ndarray, seed: int) -> list[np.ndarray]:
        """The sequences kept in each copy of the training studies: first all, then random subsets."""
        import torch

        from kitlib.models.pseudo.learned import draw_hidden

        rng = torch.Generator().manual_seed(seed)
        there = torch.from_numpy(present)
        hidden = [draw_hidden(there, rng).numpy() for _ in range(self.removed_copies)]
        return [present, *(present & ~gone for gone in hidden)]

    def _cross_imputed(
        self, embeddings: np.ndarray, kept: list[np.ndarray], labels: np.ndarray, seed: int
    ) -> list[np.ndarray]:
        """Impute each copy (n, 3, width), part by part, with imputers fitted on the other parts."""
        imputed = [embeddings.astype(np.float64) for _ in kept]
        for train, held_out in inner_splits(labels, self.inner_parts, seed=seed):
            imputer = self._imputer().fit(embeddings[train], kept[0][train], seed)
            # A single study cannot be held out: it is imputed by the imputer fitted on it.
            rows = held_out if len(held_out) else train
            for copy, real in zip(imputed, kept):
                copy[rows] = imputer.impute(embeddings[rows], real[rows])
        return imputed

    def _rows(self, imputed: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Rows for the classifier (n, 3 * components + 3); the last columns mark which sequences are real."""
        everything = np.ones_like(present)
        reduced = self.fitted.reduction.transform(imputed, everything).reshape(len(imputed), -1)
        return np.concatenate([reduced, present], axis=1)

    def _predict(self, data: SliceDataset) -> np.ndarray:
        embeddings, present = self._embeddings(data)
        return self.classifier.predict(self._rows(self.fitted.impute(embeddings, present), present))

    def reconstruction(self, data: SliceDataset, removed: np.ndarray) -> pd.DataFrame:
        """Measure how well `removed` (n, 3) sequences are imputed from the others of complete `data`.

        One row for each removed sequence that a study has; the columns are ERROR_COLUMNS.
        """
        embeddings, present = self._embeddings(data)
        guesses = self.fitted.impute(embeddings, present & ~removed)
        means = self.fitted.reduction.means
        return reconstruction_errors(data.study_ids, embeddings, guesses, means, present, removed)

    def _save(self, folder: Path, provenance: Provenance) -> None:
        self.embedder.save(folder, provenance)
        self.fitted.save(folder, provenance)
        self.classifier.save(folder / CLASSIFIER_FILE, provenance)

    def _load(self, folder: Path) -> None:
        from kitlib.models.pooled.embedder import StudyEmbedder

        self.embedder = StudyEmbedder.load(folder)
        self.fitted = self._imputer().load(folder)
        self.classifier = ImputedClassifier.load(folder / CLASSIFIER_FILE, self.prior)


def _origin(embedder: "StudyEmbedder") -> np.ndarray:
    """The embedding (3, width) of slices of zeros; the embedder's own zero is the training mean."""
    slices = Tokens(np.zeros((1, embedder.scale.width), np.float32), np.zeros((1, 3)))
    blank = BagDataset(np.zeros(1, np.int64), {name: [slices] for name in SEQUENCES})
    return embedder.transform(blank)[0][0]


def reconstruction_errors(
    study_ids: np.ndarray,
    embeddings: np.ndarray,
    guesses: np.ndarray,
    means: np.ndarray,
    present: np.ndarray,
    removed: np.ndarray,
) -> pd.DataFrame:
    """Compute ERROR_COLUMNS for each sequence that is present and was removed (n, 3).

    Embeddings and guesses are (n, 3, width); `means`, of the training studies, is (3, width).
    """
    tables = []
    for sequence, name in enumerate(SEQUENCES):
        known = embeddings[present[:, sequence], sequence].astype(np.float64)
        rows = np.flatnonzero(present[:, sequence] & removed[:, sequence])
        truth = embeddings[rows, sequence].astype(np.float64)
        guess, mean = guesses[rows, sequence], np.broadcast_to(means[sequence], truth.shape)
        own_mean = known.mean(axis=0) if len(known) else 0.0
        columns = {
            "study_id": study_ids[rows],
            "sequence": name,
            "error": _squares(truth - guess),
            "mean_error": _squares(truth - mean),
            "variation": _squares(truth - own_mean),
            "cosine": _cosine(truth, guess),
            "mean_cosine": _cosine(truth, mean),
        }
        tables.append(pd.DataFrame(columns, columns=list(ERROR_COLUMNS)))
    return pd.concat(tables, ignore_index=True)


def _squares(vectors: np.ndarray) -> np.ndarray:
    return np.square(vectors).sum(axis=1)


def _cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine similarities of rows; 0 for a row of zeros."""
    lengths = np.sqrt(_squares(first) * _squares(second))
    return (first * second).sum(axis=1) / np.where(lengths > 0, lengths, 1.0)
