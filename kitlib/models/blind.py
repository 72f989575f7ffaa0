"""Models that use no image: `prior`, the baseline that every other model has to beat, and `random`."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kitlib.inputs.base import Dataset
from kitlib.models.base import Model
from kitlib.terms import CELLS, SEVERITIES


@dataclass
class PriorModel(Model):
    """Predicts the weighted frequency of each severity per condition group and level for every study."""

    name: ClassVar[str] = "prior"
    reads = Dataset

    def _fit(self, data: Dataset, labels: np.ndarray, seed: int) -> None:
        """Do nothing: the base class has already fitted the prior."""

    def _predict(self, data: Dataset) -> np.ndarray:
        return np.tile(self.prior, (len(data), 1, 1))


@dataclass
class RandomModel(Model):
    """Uniformly random probabilities that depend only on the seed, the study's id and the cell.

    The row of the published table that every other row has to beat.
    """

    name: ClassVar[str] = "random"
    reads = Dataset

    def _fit(self, data: Dataset, labels: np.ndarray, seed: int) -> None:
        """Keep the seed and ignore the data."""
        del data, labels
        self.state = {"seed": np.array(seed)}

    def _predict(self, data: Dataset) -> np.ndarray:
        return np.stack([draw(int(self.state["seed"]), int(study_id)) for study_id in data.study_ids])


def draw(seed: int, study_id: int) -> np.ndarray:
    """Draw the random probabilities (25, 3) of a study's cells."""
    generators = [np.random.default_rng([seed, study_id, cell]) for cell in range(len(CELLS))]
    return np.stack([rng.dirichlet(np.ones(len(SEVERITIES))) for rng in generators])
