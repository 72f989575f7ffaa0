"""The crop model: what the grader sees around each place, and its fusion, fitted on the studies."""

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
    """What the crop model says of one study."""

    crops: StudyCrops
    probabilities: np.ndarray  # (25, 3)
    openings_mm: np.ndarray  # (25,) NaN where no view shows the cell
    view_probabilities: np.ndarray  # (40, 3) by each of SLOTS alone, NaN where it is absent
    slice_weights: np.ndarray  # (40, S) attention over the slices of each view


@dataclass
class CropModel(Model):
    """The network of `kitlib.grade`, which learned on phantoms, fitted to a competition's readings.

    Its fusion is trained on the studies; with `tune`, so are the layers that look at the views, on views that
    are moved and changed in their greys. `start` is `shipped`, or a file of `grader train`. Where the count
    of levels is in doubt, the prior is mixed in by the chance that it is wrong.

    >>> from kitlib.inputs.crops import CropInput
    >>> from kitlib.experiments.experiment import Experiment
    >>> Experiment("tuned_crops", CropModel(tune=True, epochs=6), CropInput()).model.start
    'shipped'
    """

    name: ClassVar[str] = "crops"
    reads: ClassVar[type[Dataset]] = CropDataset

    start: str = SHIPPED
    tune: bool = False
    inner_parts: int = 5  # one of which says when to stop
    epochs: int = 40
    patience: int = 8
    batch: int = 16
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    loss: str = "metric"
    mixup_alpha: float = 0.0  # see `kitlib.grade.mixup.mixup`; with `tune`
    noise_from: float = 0.0  # |label - out-of-fold| from which a second round leaves it out; 0: one round

    def __post_init__(self) -> None:
        super().__post_init__()
        known_name(self.loss, LOSS_NAMES, f"{self.name}.loss")
        if self.mixup_alpha < 0 or (self.mixup_alpha and not self.tune):
            what = f"mixup_alpha is {self.mixup_alpha} with tune={self.tune}"
            hint = "It is 0 or more, and needs tune=True: views are blended."
            raise UsageError(what, where=self.name, hint=hint)
        if not 0 <= self.noise_from <= 1:
            hint = "It is a difference of probabilities, such as 0.8; 0 keeps all labels."
            raise UsageError(f"noise_from is {self.noise_from}", where=self.name, hint=hint)

    @classmethod
    def shipped(cls) -> "CropModel":
        """As it learned on phantoms, a little less sure."""
        from kitlib.models.crop.network import FittedNetwork

        model = cls()
        model.fitted, model.prior = FittedNetwork.shipped()
        return model

    def pretrained_source(self) -> "WeightsSource":
        """As Model says; WeightsError where there are no such weights."""
        from kitlib.embed.weights.sources import WeightsSource
        from kitlib.grade.starts import file_of_start

        file = file_of_start(self.start)
        kind: SourceKind = "shipped" if self.start == SHIPPED else "path"
        return WeightsSource(kind, "grader", file, fingerprint_of(file))

    def make_shared(self, data: CropDataset) -> None:
        """What the views tell, where they are not trained and it is not known yet."""
        from kitlib.models.crop.network import FittedNetwork

        views = self.pretrained_source().sha256
        if not self.tune and any(views not in crops.told for crops in data.crops):
            FittedNetwork.begun(self).sight(data)

    def examine(self, data: CropDataset) -> list[Examination]:
        """All that is said of each study; ModelError as for `predict`."""
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
        """Labels (n, 25) without those that models fitted on other training studies contradict."""
        first_round = replace(self, noise_from=0.0)
        told = out_of_fold(first_round, data, labels, self.inner_parts, seed=seed)
        noise = contradicted(labels, told, self.noise_from)
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
    """Probabilities (..., 25, 3) as far as the levels are `counted` right, else the prior (25, 3)."""
    return counted * probabilities + (1 - counted) * prior
