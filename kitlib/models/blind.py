"""Models that look at no image: `prior`, the mark that every other model has to beat, and `random`."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kitlib.inputs.base import Dataset
from kitlib.models.base import Model
from kitlib.terms import CELLS, SEVERITIES


@dataclass
class PriorModel(Model):
    """Weighted frequency of each severity per condition group and level, the same for every study."""

    name: ClassVar[str] = "prior"
    reads = Dataset

    def _fit(self, data: Dataset, labels: np.ndarray, seed: int) -> None:
        """Nothing is left to do: the base class has counted the labels."""

    def _predict(self, data: Dataset) -> np.ndarray:
        return np.tile(self.prior, (len(data), 1, 1))


@dataclass
class RandomModel(Model):
    """Probabilities drawn evenly from all there are, by the seed, the study's id and the cell alone.

    The row of the published table that every other must leave behind.
    """

    name: ClassVar[str] = "random"
    reads = Dataset

    def _fit(self, data: Dataset, labels: np.ndarray, seed: int) -> None:
        """Look at nothing, keep the seed."""
        del data, labels
        self.state = {"seed": np.array(seed)}

    def _predict(self, data: Dataset) -> np.ndarray:
        return np.stack([draw(int(self.state["seed"]), int(study_id)) for study_id in data.study_ids])


def draw(seed: int, study_id: int) -> np.ndarray:
    """The random probabilities (25, 3) of a study's cells."""
    generators = [np.random.default_rng([seed, study_id, cell]) for cell in range(len(CELLS))]
    return np.stack([random.dirichlet(np.ones(len(SEVERITIES))) for random in generators])
