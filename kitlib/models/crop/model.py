"""The crop model: the grader's views of each place, and its fusion, fitted on the studies."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance, fingerprint_of
from kitlib.errors import UsageError, known_name
from kitlib.inputs.base import Dataset
from kitlib.inputs.crops import CropDataset, StudyCrops
from kitlib.models.base import CURVE_COLUMNS, Model
from kitlib.models.crop.label_noise import contradicted, out_of_fold
from kitlib.models.neural.model import LOSS_NAMES
from kitlib.terms import EMPTY

if TYPE_CHECKING:
    from kitlib.embed.weights.sources import SourceKind, WeightsSource

SHIPPED = "shipped"


@dataclass(frozen=True, eq=False)
class Examination:
    """The crop model's findings on one study."""

    crops: StudyCrops
    probabilities: np.ndarray  # (25, 3)
    openings_mm: np.ndarray  # (25,) NaN where no view shows the cell
    view_probabilities: np.ndarray  # (40, 3) from each of SLOTS alone, NaN where it is absent
    slice_weights: np.ndarray  # (40, S) attention over the slices of each view


@dataclass
class CropModel(Model):
    """The network of `kitlib.grade`, pretrained on phantoms, fitted to a competition's readings.

    Its fusion is trained on the studies; with `tune`, so are the layers that read the views, with spatial and
    intensity augmentation. `start` is `shipped`, or a file from `grader train`. Where the count of levels is
    uncertain, the prior is mixed in with the probability that it is wrong.

    >>> from kitlib.inputs.crops import CropInput
    >>> from kitlib.experiments.experiment import Experiment
    >>> Experiment("tuned_crops", CropModel(tune=True, epochs=6), CropInput()).model.start
    'shipped'
    """

    name: ClassVar[str] = "crops"
    reads: ClassVar[type[Dataset]] = CropDataset

    start: str = SHIPPED
    tune: bool = False
    inner_parts: int = 5  # one of which is held out for early stopping
    epochs: int = 40
    patience: int = 8
    batch: int = 16
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    loss: str = "metric"
    mixup_alpha: float = 0.0  # see `kitlib.grade.mixup.mixup`; with `tune`
    noise_from: float = 0.0  # |label - out-of-fold| from which a second round drops a label; 0: one round

    def __post_init__(self) -> None:
        super().__post_init__()
        known_name(self.loss, LOSS_NAMES, f"{self.name}.loss")
        if self.mixup_alpha < 0 or (self.mixup_alpha and not self.tune):
            what = f"mixup_alpha is {self.mixup_alpha} with tune={self.tune}"
            hint = "It must be 0 or more, and needs tune=True: it blends views."
            raise UsageError(what, where=self.name, hint=hint)
        if not 0 <= self.noise_from <= 1:
            hint = "It must be a difference of probabilities, such as 0.8; 0 keeps all labels."
            raise UsageError(f"noise_from is {self.noise_from}", where=self.name, hint=hint)

    @classmethod
    def shipped(cls) -> "CropModel":
        """Return the model as trained on phantoms, with its confidence tempered."""
        from kitlib.models.crop.network import FittedNetwork

        model = cls()
        model.fitted, model.prior = FittedNetwork.shipped()
        return model

    def pretrained_source(self) -> "WeightsSource":
        """See Model. Raises WeightsError if there are no such weights."""
        from kitlib.embed.weights.sources import WeightsSource
        from kitlib.grade.starts import file_of_start

        file = file_of_start(self.start)
        kind: SourceKind = "shipped" if self.start == SHIPPED else "path"
        return WeightsSource(kind, "grader", file, fingerprint_of(file))

    def make_shared(self, data: CropDataset) -> None:
        """Compute the view features, unless views are trained or the features are known already."""
        from kitlib.models.crop.network import FittedNetwork

        views = self.pretrained_source().sha256
        if not self.tune and any(views not in crops.view_outputs for crops in data.crops):
            FittedNetwork.begun(self).sight(data)

    def examine(self, data: CropDataset) -> list[Examination]:
        """Return all findings on each study. Raises ModelError as `predict` does."""
        self._check_fitted()
        self._check(data)
        return [
            replace(one, probabilities=with_prior(one.probabilities, self.prior, one.crops.counted))
            for one in self.fitted.examine(data)
        ]

    def _fit(self, data: CropDataset, labels: np.ndarray, seed: int) -> None:
        from kitlib.models.crop.network import FittedNetwork
        from kitlib.nn.loop import IDLE, learned_nothing

        if self.noise_from:
            labels = self._without_noise(data, labels, seed)
        self.fitted, curve = FittedNetwork.fit(self, data, labels, seed)
        rows = [{"part": "fusion", **row} for row in curve]
        self.curve = pd.DataFrame(rows, columns=list(CURVE_COLUMNS))
        self.note(f"the network is as it began: {IDLE}" if learned_nothing(curve) else "")

    def _without_noise(self, data: CropDataset, labels: np.ndarray, seed: int) -> np.ndarray:
        """Drop labels (n, 25) that are contradicted by models fitted on other training studies."""
        first_round = replace(self, noise_from=0.0)
        predictions = out_of_fold(first_round, data, labels, self.inner_parts, seed=seed)
        noise = contradicted(labels, predictions, self.noise_from)
        self.note(f"{noise.sum()} of {(labels != EMPTY).sum()} labels left out in the second round")
        return np.where(noise, EMPTY, labels)

    def _predict(self, data: CropDataset) -> np.ndarray:
        return with_prior(self.fitted.predict(data), self.prior, data.counted[:, None, None])

    def _save(self, folder: Path, provenance: Provenance) -> None:
        self.fitted.save(folder, provenance)

    def _load(self, folder: Path) -> None:
        from kitlib.models.crop.network import FittedNetwork

        self.fitted = FittedNetwork.load(folder)


def with_prior(probabilities: np.ndarray, prior: np.ndarray, counted: float | np.ndarray) -> np.ndarray:
    """Mix probabilities (..., 25, 3), weighted by `counted`, with the prior (25, 3).

    `counted` is the probability that the levels are counted right.
    """
    return counted * probabilities + (1 - counted) * prior
