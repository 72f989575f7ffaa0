"""What a backbone learns on phantoms, said once for slices and for volumes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kitlib.machine import device, half_precision
from kitlib.phantom.study import PhantomStudy
from kitlib.prepare.rows import Rows
from kitlib.terms import EMPTY, SEVERITIES, SEVERITY_WEIGHTS

OPENING_UNIT_MM = 5.0


@dataclass(frozen=True, eq=False)
class Examples(Rows):
    """Images with what they show; `studies` tells which of them belong together."""

    images: np.ndarray  # (n, ..., px, px) uint8, slices or volumes
    findings: np.ndarray  # (n, f) int64, severity or EMPTY where the image does not show it
    openings_mm: np.ndarray  # (n, f) float32, what is open there; NaN where the image does not show it
    studies: np.ndarray  # (n,) int64


Kind = TypeVar("Kind", bound=Examples)


class PretrainNet(nn.Module):
    """A backbone, `trunk`, with heads that are thrown away after training."""

    trunk: nn.Module


class PretrainTask(ABC, Generic[Kind]):
    """One way to learn on phantoms."""

    learning_rate: float

    @abstractmethod
    def examples(self, study: PhantomStudy, px: int, field_of_view: str, longest_px: int) -> Kind:
        """All examples of a phantom, as embedding sees it."""

    @abstractmethod
    def learner(self, backbone: str, px: int) -> PretrainNet:
        """The network to train."""

    @abstractmethod
    def batches(self, examples: Kind, rng: np.random.Generator) -> list[np.ndarray]:
        """Positions of an epoch's examples, batch by batch."""

    @abstractmethod
    def loss(self, learner: nn.Module, examples: Kind, rng: np.random.Generator) -> Tensor:
        """Loss on augmented examples."""

    @abstractmethod
    def metrics(self, learner: nn.Module, examples: Kind) -> dict[str, float]:
        """What a trained network gets right, by task."""


def graded_loss(
    severities: Tensor, openings: Tensor, findings: np.ndarray, openings_mm: np.ndarray
) -> Tensor:
    """Loss a finding shown of logits (B, f, 3), weighted as in the competition, and openings (B, f)."""
    grades, widths_mm = (torch.from_numpy(values).to(device()) for values in (findings, openings_mm))
    weight = torch.tensor(SEVERITY_WEIGHTS, dtype=torch.float32, device=device())
    graded = F.cross_entropy(
        severities.flatten(0, 1), grades.flatten(), weight, ignore_index=EMPTY, reduction="sum"
    )
    measured = ~widths_mm.isnan()
    opening = F.smooth_l1_loss(openings[measured], widths_mm[measured] / OPENING_UNIT_MM, reduction="sum")
    return (graded + opening) / measured.sum().clamp(min=1)


def in_half_precision() -> torch.autocast:
    """Sixteen bits where the device is fast in them."""
    half = half_precision()
    return torch.autocast(device().type, dtype=half, enabled=half is not None)


def balanced_accuracy(truth: np.ndarray, guess: np.ndarray) -> float:
    """Mean recall of the severities that occur in `truth`; NaN where none does."""
    codes = [code for code in range(len(SEVERITIES)) if (truth == code).any()]
    recalls = [float((guess[truth == code] == code).mean()) for code in codes]
    return round(sum(recalls) / len(recalls), 4) if recalls else float("nan")


def augmented(images: np.ndarray, mirror: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Images (B, C, px, px) uint8, as grey values, turned, scaled, shifted, regreyed and noised in plane.

    The columns of those that `mirror` (B,) names are turned round.
    """
    count = len(images)
    angle, zoom = np.radians(rng.normal(0, 5, count)), np.exp(rng.normal(0, 0.08, count))
    shift, flip = rng.normal(0, 0.05, (count, 2)), np.where(mirror, -1, 1)
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    affine = np.stack([cos * flip, -sin, shift[:, 0], sin * flip, cos, shift[:, 1]], axis=1)
    grey = torch.from_numpy(images).float() / 255
    turns = torch.from_numpy(affine.reshape(-1, 2, 3)).float()
    grey = F.grid_sample(
        grey, F.affine_grid(turns, list(grey.shape), align_corners=False), align_corners=False
    )
    gamma, gain = (
        torch.from_numpy(np.exp(rng.normal(0, spread, (count, 1, 1, 1)))).float() for spread in (0.25, 0.1)
    )
    grey = grey.clamp(min=0) ** gamma * gain + rng.uniform(0, 0.04) * torch.randn(grey.shape)
    return (grey * 255).clip(0, 255)
