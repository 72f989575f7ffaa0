"""Crops of studies as batches: as precomputed view features, or as images to train on."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kitlib.grade.augment import changed
from kitlib.grade.fusion import Sight
from kitlib.grade.network import StudyBatch, StudyOutput, ViewBatch, prediction_loss, with_views_dropped
from kitlib.inputs.crops import CropDataset
from kitlib.machine import device
from kitlib.nn.losses import Loss, Truth
from kitlib.nn.rows import shuffled
from kitlib.prepare.views import slot2cell, slot2view
from kitlib.terms import EMPTY


class Readings(NamedTuple):
    """Severities as they were read; EMPTY where there is no reading."""

    cells: Tensor  # (B, 25)
    views: Tensor  # (N, 1) of the cell that each view shows

    def take(self, views: Tensor, studies: Tensor) -> "Readings":
        """Select these views and studies."""
        return Readings(self.cells[studies], self.views[views])


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labelled studies to train on."""

    data: CropDataset
    labels: np.ndarray  # (n, 25)
    rows: np.ndarray  # of the training studies
    size: int  # of a batch

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:
        """All training studies in random order; batches without a label are left out."""
        parts = shuffled(self.rows, self.size, rng)
        return [part for part in parts if (self.labels[part] != EMPTY).any()]

    def readings(self, rows: np.ndarray) -> Readings:
        """The readings of studies, and of each of their views."""
        labels = self.labels[rows].astype(np.int64)
        of_views = labels[:, slot2cell][self.data.shown[rows]][:, None]
        return Readings(torch.from_numpy(labels).to(device()), torch.from_numpy(of_views).to(device()))


@dataclass(frozen=True, eq=False)
class SightBatches(Labelled):
    """Batches for training the fusion alone, on fixed view features."""

    sight: Sight

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[Sight, Readings]:
        """The view features of studies; with a generator, some views are dropped."""
        sight = Sight(*(part[rows].to(device()) for part in self.sight))
        if rng is not None:
            sight = sight._replace(shown=with_views_dropped(sight.shown, rng))
        return sight, self.readings(rows)


@dataclass(frozen=True, eq=False)
class ImageBatches(Labelled):
    """Batches of images, for training the whole network."""

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[StudyBatch, Readings]:
        """The views of studies; augmented if there is a generator."""
        return study_batch(self.data.take(rows), rng), self.readings(rows)


def study_batch(data: CropDataset, rng: torch.Generator | None = None) -> StudyBatch:
    """The views that studies show, cropped to their size without the margin; augmented if `rng` is given."""
    studies, slots = (torch.from_numpy(found) for found in np.nonzero(data.shown))
    both = list(zip(data.crops, data.shown))
    images = torch.from_numpy(np.concatenate([crops.images[shown] for crops, shown in both]))
    present = torch.from_numpy(np.concatenate([crops.present[shown] for crops, shown in both]))
    views = torch.from_numpy(slot2view)[slots]
    seen = changed(images.to(device()).float() / 255, views, rng)
    batch = ViewBatch(seen, present.to(device()), views.to(device()))
    return StudyBatch(batch, studies.to(device()), slots.to(device()), len(data))


def reading_loss(loss: Loss, output: Tensor | StudyOutput, readings: Readings) -> Tensor:
    """A loss of `nn.losses` on the cells and, if views are trained, on the prediction of each view alone."""
    if isinstance(output, Tensor):
        return loss(output[..., :-1], readings.cells)
    nobody_knows = torch.full(readings.views.shape, torch.nan, device=readings.views.device)
    alone = prediction_loss(output.views.predictions[:, None], Truth(readings.views, nobody_knows))
    return loss(output.cells[..., :-1], readings.cells) + alone
