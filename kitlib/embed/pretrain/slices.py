"""Pretraining on slices: where does a slice lie, and what is narrow in it?"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kitlib.embed.pretrain.targets import AXIAL_PLACES, FINDINGS, PLACES, mirrored_findings, shown_cells
from kitlib.embed.pretrain.task import (
    Examples,
    PretrainNet,
    PretrainTask,
    accuracies,
    augmented,
    drawn_mirror,
    graded_truth,
)
from kitlib.embed.slices import build_slice_network, normalised
from kitlib.machine import device
from kitlib.mri.stack import Stack
from kitlib.nn.losses import Truth, graded_loss
from kitlib.nn.rows import shuffled_evenly
from kitlib.phantom.study import PhantomStudy
from kitlib.terms import EMPTY, SEQUENCES

# Shares used per epoch of slices without findings, with normal findings only, and with a narrow one.
EPOCH_SHARES = (0.15, 0.6, 1.0)
PLACE_WEIGHT = 0.5
finding2columns = {
    "canal": range(5),
    "foramen": range(5, 10),
    "axial canal": range(10, 11),
    "recess": range(11, 13),
}


@dataclass(frozen=True, eq=False)
class Slices(Examples):
    """Slices with FINDINGS and places."""

    places: np.ndarray  # (n,) int64, index into PLACES


class SlicePretrainNet(PretrainNet):
    """A backbone with linear heads for severities (B, 13, 3), openings (B, 13) and places (B, 10)."""

    def __init__(self, backbone: str, px: int) -> None:
        super().__init__()
        self.trunk, _ = build_slice_network(backbone)
        width = self.trunk.eval()(torch.zeros(1, 3, px, px)).shape[1]
        self.heads = nn.Linear(width, 4 * len(FINDINGS) + len(PLACES))
        self.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of severities, openings in OPENING_UNIT_MM and logits of places of images (B, 3, px, px)."""
        sizes = [3 * len(FINDINGS), len(FINDINGS), len(PLACES)]
        severities, openings, places = self.heads(self.trunk(images)).float().split(sizes, dim=1)
        return severities.reshape(-1, len(FINDINGS), 3), openings, places


class SliceTask(PretrainTask[Slices]):
    """The task of networks on slices."""

    network = SlicePretrainNet
    learning_rate = 2e-3
    batch_size = 32
    half = True

    @staticmethod
    def stack_examples(study: PhantomStudy, sequence: str, stack: Stack, images: np.ndarray) -> Slices:
        """Return every slice with its place and findings."""
        findings = np.full((len(stack), len(FINDINGS)), EMPTY)
        openings_mm = np.full(findings.shape, np.nan, np.float32)
        places = np.full(len(stack), SEQUENCES.index(sequence))
        for shown in shown_cells(study, sequence, stack):
            findings[shown.near, shown.finding] = shown.severity
            openings_mm[shown.near, shown.finding] = shown.opening_mm
            places[shown.near] = shown.place
        return Slices(images, findings, openings_mm, np.full(len(stack), study.study_id), places)

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:
        """Return batches of positions; rarer, more informative slices are sampled more often."""
        worst = self.examples.findings.max(axis=1).clip(EMPTY, 1)
        share = np.array(EPOCH_SHARES)[worst - EMPTY]
        seen = torch.rand(len(worst), generator=rng).numpy() < share
        return shuffled_evenly(np.flatnonzero(seen), self.batch_size, rng)

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[Tensor, tuple[Truth, Tensor]]:
        """Images with their findings and places; in training, half of the axial slices are mirrored."""
        examples = self.examples.take(rows)
        mirror = drawn_mirror(np.isin(examples.places, AXIAL_PLACES), rng)
        images = augmented(torch.from_numpy(examples.images)[:, None], mirror, rng)
        places = torch.from_numpy(examples.places).to(device())
        truth = graded_truth(examples, mirror, mirrored_findings)
        return normalised(images[:, 0].to(device())), (truth, places)

    @staticmethod
    def loss(output: tuple[Tensor, Tensor, Tensor], truth: tuple[Truth, Tensor]) -> Tensor:
        """Loss of severities, openings and places."""
        severities, openings, places = output
        findings, true_places = truth
        graded = graded_loss(severities, openings, findings)
        return graded + PLACE_WEIGHT * F.cross_entropy(places, true_places)

    def metrics(self, network: nn.Module) -> dict[str, float]:
        """Balanced accuracy of severities by kind of finding, and accuracy of places."""
        severities, _, places = self.outputs(network)
        right = round(float((places.argmax(axis=1) == self.examples.places).mean()), 4)
        return {"place accuracy": right} | accuracies(self.examples.findings, severities, finding2columns)
