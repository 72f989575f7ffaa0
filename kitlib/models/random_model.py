"""`random`: random predictions, the row of the seed's table that every other must leave behind."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from kitlib.artefacts import Provenance, load_json, save_json
from kitlib.inputs.base import Dataset
from kitlib.models.base import Model
from kitlib.terms import CELLS, SEVERITIES

SEED_FILE = "seed.json"


@dataclass
class RandomModel(Model):
    """Probabilities drawn evenly from all there are, by the seed, the study's id and the cell alone."""

    name: ClassVar[str] = "random"
    reads = Dataset

    def _fit(self, data: Dataset, labels: np.ndarray, seed: int) -> None:
        """Look at nothing, keep the seed."""
        del data, labels
        self.seed = seed

    def _predict(self, data: Dataset) -> np.ndarray:
        return np.stack([draw(self.seed, int(study_id)) for study_id in data.study_ids])

    def _save(self, folder: Path, provenance: Provenance) -> None:
        save_json(folder / SEED_FILE, self.seed, provenance)

    def _load(self, folder: Path) -> None:
        self.seed = load_json(folder / SEED_FILE)


def draw(seed: int, study_id: int) -> np.ndarray:
    """The random probabilities (25, 3) of a study's cells."""
    evenly = np.ones(len(SEVERITIES))
    return np.stack(
        [np.random.default_rng([seed, study_id, cell]).dirichlet(evenly) for cell in range(len(CELLS))]
    )
