"""Losses of neural models: from logits (B, 25, 3) and labels (B, 25), EMPTY where unknown, to a scalar.

Also the loss of networks that are trained on severities and openings of phantoms.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from kitlib.competition.metric import group2cells
from kitlib.terms import EMPTY, SEVERITY_WEIGHTS

SEVERE = len(SEVERITY_WEIGHTS) - 1
ALMOST_ONE = 1 - 1e-6
"""Upper bound of probabilities: for one that rounds to 1, log(1 - p) is infinite."""

OPENING_UNIT_MM = 5.0

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def metric_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute the competition metric of a batch.

    The mean of the weighted log losses of the three condition groups and of any_severe_spinal, skipping terms
    without a label in the batch.
    """
    labelled = labels != EMPTY
    target = labels.clamp_min(0).long()
    weights = logits.new_tensor(SEVERITY_WEIGHTS)[target] * labelled
    log_probabilities = logits.log_softmax(-1)
    losses = -log_probabilities.gather(-1, target[..., None])[..., 0] * weights
    terms = [(losses[:, cells].sum(), weights[:, cells].sum()) for cells in group2cells.values()]

    spinal = group2cells["spinal"]
    severe = log_probabilities[:, spinal, SEVERE].masked_fill(~labelled[:, spinal], -30.0).amax(-1)
    benign = torch.log1p(-severe.exp().clamp_max(ALMOST_ONE))
    any_severe = (labels[:, spinal] == SEVERE).any(-1)
    study_weights = weights[:, spinal].amax(-1)
    terms.append((-(torch.where(any_severe, severe, benign) * study_weights).sum(), study_weights.sum()))
    return torch.stack([loss / weight for loss, weight in terms if weight > 0]).mean()


def binary_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy of each class against the other two, over the labelled cells."""
    return _mean(_binary_losses(logits, labels), labels != EMPTY)


def weighted_binary_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute `binary_loss` with the cells weighted 1/2/4 by their true severity."""
    weights = logits.new_tensor(SEVERITY_WEIGHTS)[labels.clamp_min(0).long()]
    return _mean(_binary_losses(logits, labels), weights * (labels != EMPTY))


LOSSES: dict[str, Loss] = {"metric": metric_loss, "bce": binary_loss, "weighted_bce": weighted_binary_loss}


def _binary_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of the softmax probabilities, summed over the three classes: (B, 25)."""
    log_probabilities = logits.log_softmax(-1)
    others = torch.log1p(-log_probabilities.exp().clamp_max(ALMOST_ONE))
    is_class = torch.nn.functional.one_hot(labels.clamp_min(0).long(), len(SEVERITY_WEIGHTS)).bool()
    return -torch.where(is_class, log_probabilities, others).sum(-1)


def _mean(losses: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (losses * weights).sum() / weights.sum()


@dataclass(frozen=True)
class Truth:
    """True findings (B, f) of images: severities, and openings in mm."""

    severities: torch.Tensor  # int64, EMPTY where the image does not show it
    openings_mm: torch.Tensor  # NaN where the image does not show it

    def take(self, rows: torch.Tensor) -> "Truth":
        """Select these images."""
        return Truth(self.severities[rows], self.openings_mm[rows])


def graded_loss(severities: torch.Tensor, openings: torch.Tensor, truth: Truth) -> torch.Tensor:
    """Mean loss per known finding of logits (B, f, 3), weighted as in the metric, and openings (B, f)."""
    weight = torch.tensor(SEVERITY_WEIGHTS, dtype=torch.float32, device=severities.device)
    graded = torch.nn.functional.cross_entropy(
        severities.flatten(0, 1), truth.severities.flatten(), weight, ignore_index=EMPTY, reduction="sum"
    )
    known, measured = truth.severities != EMPTY, ~truth.openings_mm.isnan()
    expected = truth.openings_mm[measured] / OPENING_UNIT_MM
    opening = torch.nn.functional.smooth_l1_loss(openings[measured], expected, reduction="sum")
    return graded / known.sum().clamp(min=1) + opening / measured.sum().clamp(min=1)
