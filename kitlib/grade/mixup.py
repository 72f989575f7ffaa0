"""Mixup: views blended in pairs, and their labels in the same shares (Zhang et al., ICLR 2018)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from kitlib.grade.network import StudyBatch, ViewBatch
from kitlib.nn.rows import Batches
from kitlib.prepare.views import SLOTS

Loss = Callable[[Any, Any], Tensor]


class Mixed(NamedTuple):
    """The labels of blended views."""

    own: Any
    other: Any
    share: float  # weight of `own`


def mixup(batches: Batches, loss: Loss, alpha: float) -> tuple[Batches, Loss]:
    """Wrap batches and loss so that views are blended in pairs; unchanged if `alpha` is 0.

    The share of a batch's own views is drawn from a beta distribution (alpha, alpha). Both labels count by
    their shares: for cross-entropy this equals a soft target; for an opening, where the loss is quadratic,
    the value in between.
    """
    return (MixedBatches(batches, alpha), mixed_loss(loss)) if alpha else (batches, loss)


@dataclass(frozen=True, eq=False)
class MixedBatches:
    """Batches of views or studies, each blended with the next in its batch."""

    batches: Batches
    alpha: float

    def epoch(self, rng: torch.Generator) -> Sequence[np.ndarray]:
        """See `batches`."""
        return self.batches.epoch(rng)

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[Any, Any]:
        """Blended views with Mixed labels; unchanged without `rng`."""
        batch, truth = self.batches.batch(rows, rng)
        if rng is None:
            return batch, truth
        draws = np.random.default_rng(int(torch.randint(2**31, (1,), generator=rng)))
        share = draws.beta(self.alpha, self.alpha)
        blend = blended_studies if isinstance(batch, StudyBatch) else blended_views
        return blend(batch, truth, share)


def mixed_loss(loss: Loss) -> Loss:
    """Turn a loss into a loss of Mixed labels."""

    def of_both(output: Any, truth: Mixed) -> Tensor:
        return truth.share * loss(output, truth.own) + (1 - truth.share) * loss(output, truth.other)

    return of_both


def blended_views(batch: ViewBatch, truth: Any, share: float) -> tuple[ViewBatch, Mixed]:
    """Blend each view with the next one of its kind; `truth.take(rows)` selects their labels."""
    others = torch.arange(len(batch.views), device=batch.views.device)
    for view in batch.views.unique():
        own = (batch.views == view).nonzero()[:, 0]
        others[own] = own.roll(1)
    both = slice(None), others
    return _blend(batch, *both, share), Mixed(truth, truth.take(others), share)


def blended_studies(batch: StudyBatch, truth: Any, share: float) -> tuple[StudyBatch, Mixed]:
    """Blend each study with the next one; slots that either of them lacks are dropped.

    Unchanged if no two neighbours share a slot. `truth.take(views, studies)` selects their labels.
    """
    studies = torch.arange(batch.size, device=batch.slots.device)
    view_at = torch.full((batch.size, len(SLOTS)), -1, device=batch.slots.device)
    view_at[batch.studies, batch.slots] = torch.arange(len(batch.slots), device=batch.slots.device)
    others = view_at[studies.roll(1)[batch.studies], batch.slots]
    own = (others >= 0).nonzero()[:, 0]
    if not len(own):
        return batch, Mixed(truth, truth, share)
    views = _blend(batch.views, own, others[own], share)
    shown = StudyBatch(views, batch.studies[own], batch.slots[own], batch.size)
    return shown, Mixed(truth.take(own, studies), truth.take(others[own], studies.roll(1)), share)


def _blend(views: ViewBatch, own: Any, other: Tensor, share: float) -> ViewBatch:
    """Blend views with others of their kind; slices that either of them lacks are masked."""
    images = share * views.images[own] + (1 - share) * views.images[other]
    return ViewBatch(images, views.present[own] & views.present[other], views.views[own])
