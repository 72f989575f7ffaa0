"""The model that looks at no image: the mark that every other model has to beat."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kitlib.inputs.base import Dataset
from kitlib.models.base import Model


@dataclass
class PriorModel(Model):
    """Weighted frequency of each severity per condition group and level, the same for every study."""

    name: ClassVar[str] = "prior"
    reads = Dataset

    def _fit(self, data: Dataset, labels: np.ndarray, seed: int) -> None:
        """Nothing is left to do: the base class has counted the labels."""

    def _predict(self, data: Dataset) -> np.ndarray:
        return np.tile(self.prior, (len(data), 1, 1))
