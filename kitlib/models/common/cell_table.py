"""Cells as rows of a table: the input of classical models.

A cell's row holds, for each sequence, the average of the embeddings around the place where the cell is
expected, reduced by a PCA; its level and side; its study's metadata, imputed and one-hot encoded; and its log
prior. Everything is learned from the studies given to `fit`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self
from weakref import WeakValueDictionary

import numpy as np
import pandas as pd
from scipy.special import softmax

from kitlib.artefacts import Provenance, load_array, save_array
from kitlib.inputs.bags import embedding_width
from kitlib.inputs.slices import SliceDataset
from kitlib.models.common.positions import (
    SAGITTAL,
    X_MM,
    Z_FRACTION,
    Z_MM,
    cell2condition,
    cell2level,
    cell2side,
    expected_log_weights,
    relative_positions,
)
from kitlib.prepare.tabular import ForestImputer, OneHot
from kitlib.terms import CELLS, SEQUENCES

METADATA_FILE = "metadata.parquet"
REGIONS = 5
"""Pooled regions per sequence: one per condition on sagittal slices, one per level on axial ones."""

_tables_in_use: WeakValueDictionary[str, "StudyTable"] = WeakValueDictionary()


def cell2region(sequence: str) -> np.ndarray:
    """Return the region of a sequence in which each of the 25 cells is expected."""
    return cell2condition if sequence in SAGITTAL else cell2level


def pooled(data: SliceDataset, sequence: str, width: int) -> np.ndarray:
    """Position-aware average pooling: (n, regions, width) float32, NaN where the sequence is missing.

    Sagittal tokens are weighted by x alone and axial ones by height alone, the only coordinate in which the
    regions of that sequence differ.
    """
    columns = (X_MM,) if sequence in SAGITTAL else (Z_FRACTION, Z_MM)
    _, first_cells = np.unique(cell2region(sequence), return_index=True)
    out = np.full((len(data), REGIONS, width), np.nan, dtype=np.float32)
    for row, positions in enumerate(relative_positions(data)):
        vectors = data.tokens[sequence][row].vectors
        if len(vectors):
            logits = expected_log_weights(positions[sequence], columns)[first_cells]
            out[row] = softmax(logits, axis=-1) @ vectors
    return out


@dataclass(frozen=True, eq=False)
class Reduction:
    """A PCA of one sequence's pooled regions, each region centred on its own training mean."""

    centres: np.ndarray  # (regions, d)
    axes: np.ndarray  # (d, k), scaled so that the first component has a standard deviation of one

    @classmethod
    def fit(cls, regions: np.ndarray, components: int, seed: int) -> Self:
        """Learn from pooled regions (n, regions, d); if no two studies differ, there are no components."""
        from sklearn.decomposition import PCA  # half a second

        regions = regions[~np.isnan(regions).any(axis=(1, 2))].astype(np.float64)
        centres = regions.mean(axis=0) if len(regions) else np.zeros(regions.shape[1:])
        if np.allclose(regions, centres):
            return cls(centres, np.zeros((regions.shape[2], 0)))
        rows = (regions - centres).reshape(-1, regions.shape[2])
        pca = PCA(min(components, *rows.shape), random_state=seed).fit(rows)
        return cls(centres, pca.components_.T / np.sqrt(pca.explained_variance_[0]))

    def transform(self, regions: np.ndarray) -> np.ndarray:
        """(n, regions, k); NaN stays NaN."""
        return (regions - self.centres) @ self.axes


class StudyTable:
    """Metadata without missing values: imputed by random forests, one-hot encoded, standardised.

    Its many columns are scaled to weigh as much as a single one; otherwise they would dominate a kernel.
    Models of the same studies and seed, such as those of one fold, share one table and its forests.
    """

    def __init__(self, imputer: ForestImputer) -> None:
        self.imputer = imputer
        filled = imputer.transform(imputer.table)
        self.onehot = OneHot().fit(filled)
        encoded = self.onehot.transform(filled)
        deviation = encoded.std(axis=0) * np.sqrt(max(encoded.shape[1], 1))
        self.mean, self.deviation = encoded.mean(axis=0), np.where(deviation > 0, deviation, 1.0)

    @classmethod
    def fit(cls, metadata: pd.DataFrame, *, seed: int) -> "StudyTable":
        """Learn from the training studies' metadata."""
        return cls._shared(ForestImputer(seed=seed).fit(metadata))

    def transform(self, metadata: pd.DataFrame) -> np.ndarray:
        """(n, columns) float64 without NaN."""
        encoded = self.onehot.transform(self.imputer.transform(metadata))
        return (encoded - self.mean) / self.deviation

    def save(self, path: Path, provenance: Provenance) -> None:
        """Save the table that everything was learned from."""
        self.imputer.save(path, provenance)

    @classmethod
    def load(cls, path: Path) -> "StudyTable":
        """Load what `save` wrote."""
        return cls._shared(ForestImputer.load(path))

    @classmethod
    def _shared(cls, imputer: ForestImputer) -> "StudyTable":
        key = imputer.fingerprint
        table = _tables_in_use.get(key)
        if table is None:
            table = _tables_in_use[key] = cls(imputer)
        return table


class CellTable:
    """Turns studies into the rows of all their cells: (n, 25, columns), without NaN."""

    def fit(self, data: SliceDataset, prior: np.ndarray, *, components: int, seed: int) -> Self:
        """Learn from the training studies everything but the prior (25, 3), which is given."""
        self.width = embedding_width(data)
        self.log_prior = np.log(prior)
        self.reductions = {
            name: Reduction.fit(pooled(data, name, self.width), components, seed) for name in SEQUENCES
        }
        self.study_table = StudyTable.fit(data.metadata, seed=seed)
        return self

    def transform(self, data: SliceDataset) -> np.ndarray:
        """(n, 25, columns); a missing sequence is set to its training mean, and the metadata flag it."""
        embedding_width(data, self.width)
        seen = [
            np.nan_to_num(reduction.transform(pooled(data, name, self.width)))[:, cell2region(name)]
            for name, reduction in self.reductions.items()
        ]
        level_and_side = np.stack([cell2level / cell2level.max() * 2 - 1, cell2side], axis=1)
        study = np.repeat(self.study_table.transform(data.metadata)[:, None], len(CELLS), axis=1)
        cell = np.tile(np.concatenate([level_and_side, self.log_prior], axis=1), (len(data), 1, 1))
        return np.concatenate([*seen, study, cell], axis=2)

    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save into a model's folder."""
        for name, reduction in self.reductions.items():
            stacked = np.concatenate([reduction.centres, reduction.axes.T])
            save_array(folder / _pca_file(name), stacked, provenance)
        self.study_table.save(folder / METADATA_FILE, provenance)

    @classmethod
    def load(cls, folder: Path, prior: np.ndarray) -> Self:
        """Load what `save` wrote."""
        table = cls()
        table.log_prior = np.log(prior)
        stacked = {name: load_array(folder / _pca_file(name)) for name in SEQUENCES}
        table.reductions = {
            name: Reduction(rows[:REGIONS], rows[REGIONS:].T) for name, rows in stacked.items()
        }
        table.width = stacked[SEQUENCES[0]].shape[1]
        table.study_table = StudyTable.load(folder / METADATA_FILE)
        return table


def _pca_file(sequence: str) -> str:
    return f"pca_{sequence.lower().replace(' ', '_').replace('/', '_')}.npy"
