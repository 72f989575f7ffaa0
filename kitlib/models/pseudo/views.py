"""`pseudo_views`: the crop model with imputed features in place of missing views."""

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance
from kitlib.errors import known_name
from kitlib.inputs.base import Dataset
from kitlib.inputs.crops import CropDataset
from kitlib.models.base import CURVE_COLUMNS, Model
from kitlib.models.common.training_rows import inner_splits
from kitlib.models.crop.model import SHIPPED, CropModel, with_prior
from kitlib.models.pseudo.model import ERROR_COLUMNS, NETWORKS, build_imputer, reconstruction_errors
from kitlib.terms import LEVELS

if TYPE_CHECKING:
    from kitlib.embed.weights.sources import WeightsSource
    from kitlib.grade.fusion import Sight
    from kitlib.models.pseudo.filler import ViewFiller
    from kitlib.models.pseudo.imputers import ModalityImputer

MASKED = "none"
VIEW_FILLERS = (MASKED, "mean", "knn", "iterative", *NETWORKS)
"""MASKED leaves missing views to the fusion's mask, which ignores them, as in the crop model."""


@dataclass
class PseudoViewsModel(Model):
    """The fusion of the crop model, trained on studies whose missing views an imputer has filled in.

    The imputers are those of `pseudo`, on one row per level: its views of each sequence. The fusion is not
    told which views are imputed; it is trained on imputations from imputers that have not seen the study.
    """

    name: ClassVar[str] = "pseudo_views"
    reads: ClassVar[type[Dataset]] = CropDataset

    imputer: str = MASKED
    components: int = 32
    hidden: int = 128
    imputer_epochs: int = 40  # as many steps as `pseudo` has in 200: a study has five rows
    removed_copies: int = 2
    inner_parts: int = 3
    start: str = SHIPPED  # this and the rest as in the crop model
    epochs: int = 40
    patience: int = 8
    learning_rate: float = 5e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        known_name(self.imputer, VIEW_FILLERS, f"{self.name}.imputer")

    def pretrained_source(self) -> "WeightsSource":
        """See the crop model."""
        return self._crops().pretrained_source()

    def shared_stage(self) -> Hashable:
        """Key of the view features, which do not depend on the imputer."""
        return self.name, self.start

    def make_shared(self, data: CropDataset) -> None:
        """See the crop model."""
        self._crops().make_shared(data)

    def _crops(self) -> CropModel:
        return CropModel(
            start=self.start,
            epochs=self.epochs,
            patience=self.patience,
            learning_rate=self.learning_rate,
        )

    def _fit(self, data: CropDataset, labels: np.ndarray, seed: int) -> None:
        from kitlib.models.crop.batches import SightBatches
        from kitlib.models.crop.network import FittedNetwork
        from kitlib.nn.loop import IDLE, learned_nothing

        crops = self._crops()
        self.fitted = FittedNetwork.begun(crops)
        studies, sight = self._copies(data, labels, seed)
        self.filler = self._filler(data, seed)
        self.note(self.filler.imputer.note if self.filler else "")
        rows, held_out = (
            np.flatnonzero(np.isin(studies, part))
            for part in inner_splits(labels, crops.inner_parts, seed=seed)[0]
        )
        batches = SightBatches(data.take(studies), labels[studies], rows, crops.batch, sight)
        curve = self.fitted.learn(crops, batches, held_out, seed)
        self.curve = pd.DataFrame([{"part": "fusion", **row} for row in curve], columns=list(CURVE_COLUMNS))
        self.note(f"the network is as it began: {IDLE}" if learned_nothing(curve) else "")

    def _copies(self, data: CropDataset, labels: np.ndarray, seed: int) -> tuple[np.ndarray, "Sight"]:
        """Training studies as they are and with sequences removed, filled in by imputers of the other parts.

        Returns the study of each copy (copies,) and its view features.
        """
        import torch

        from kitlib.grade.fusion import Sight
        from kitlib.models.pseudo.learned import draw_hidden

        rng, there = torch.Generator().manual_seed(seed), torch.from_numpy(data.present)
        holes = [draw_hidden(there, rng).numpy() for _ in range(self.removed_copies)]
        studies, sights = [], []
        for train, held_out in inner_splits(labels, self.inner_parts, seed=seed):
            filler = self._filler(data.take(train), seed)
            # A single study cannot be held out: it is imputed by the imputer fitted on it.
            rows = held_out if len(held_out) else train
            for hole in (np.zeros_like(data.present), *holes):
                studies.append(rows)
                sights.append(self._sight(data.take(rows).without(hole[rows]), filler))
        return np.concatenate(studies), Sight(*(torch.cat(parts) for parts in zip(*sights)))

    def _filler(self, data: CropDataset, seed: int) -> "ViewFiller | None":
        """Fit a filler on training studies; None if nothing is imputed."""
        from kitlib.models.pseudo.filler import ViewFiller

        if self.imputer == MASKED:
            return None
        return ViewFiller.fit(self._imputer(), self.fitted.sight(data), seed)

    def _imputer(self) -> "ModalityImputer":
        return build_imputer(self.imputer, self.components, self.hidden, self.imputer_epochs)

    def _sight(self, data: CropDataset, filler: "ViewFiller | None") -> "Sight":
        sight = self.fitted.sight(data)
        return filler.filled(sight, self.fitted.network.views) if filler else sight

    def _predict(self, data: CropDataset) -> np.ndarray:
        probabilities, _ = self.fitted.cells(self._sight(data, self.filler))
        return with_prior(probabilities, self.prior, data.counted[:, None, None])

    def reconstruction(self, data: CropDataset, removed: np.ndarray) -> pd.DataFrame:
        """Measure how well views of `removed` (n, 3) sequences are imputed from the rest of complete `data`.

        One row per level and removed sequence of a study, with ERROR_COLUMNS; no rows if nothing is imputed.
        """
        from kitlib.models.pseudo.filler import present_by_level

        if self.filler is None:
            return pd.DataFrame(columns=list(ERROR_COLUMNS))
        sight, imputer = self.fitted.sight(data), self.filler.imputer
        seen, present = self.filler.seen(sight), present_by_level(data.shown)
        study_ids, gone = (np.repeat(rows, len(LEVELS), axis=0) for rows in (data.study_ids, removed))
        guesses = imputer.impute(seen, present & ~gone)
        return reconstruction_errors(study_ids, seen, guesses, imputer.reduction.means, present, gone)

    def _save(self, folder: Path, provenance: Provenance) -> None:
        self.fitted.save(folder, provenance)
        if self.filler:
            self.filler.save(folder, provenance)

    def _load(self, folder: Path) -> None:
        from kitlib.models.crop.network import FittedNetwork
        from kitlib.models.pseudo.filler import ViewFiller

        self.fitted = FittedNetwork.load(folder)
        self.filler = None if self.imputer == MASKED else ViewFiller.load(folder, self._imputer())
