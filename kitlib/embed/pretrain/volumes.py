"""Pretraining on volumes: how narrow is each of the cells that a stack shows?"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from kitlib.competition.metric import group2cells
from kitlib.embed.pretrain.targets import shown_cells
from kitlib.embed.pretrain.task import (
    Examples,
    PretrainNet,
    PretrainTask,
    accuracies,
    augmented,
    drawn_mirror,
    graded_truth,
)
from kitlib.embed.volumes import build_volume_network, volume, volume_input
from kitlib.machine import device
from kitlib.mri.stack import Stack
from kitlib.nn.losses import Truth, graded_loss
from kitlib.nn.rows import shuffled_evenly
from kitlib.phantom.study import PhantomStudy
from kitlib.terms import CELLS, EMPTY, mirrored_cells


@dataclass(frozen=True, eq=False)
class Volumes(Examples):
    """Stacks as volumes, with the 25 cells as findings."""

    sagittal: np.ndarray  # (n,) bool: left and right are the first and last slices, not columns


class VolumePretrainNet(PretrainNet):
    """A 3D backbone with one head per cell, each with its own attention over the feature map."""

    def __init__(self, backbone: str, px: int) -> None:
        super().__init__()
        self.trunk = build_volume_network(backbone)
        for block in self.trunk.modules():  # each block starts as the identity: deep networks train sooner
            if isinstance(last := getattr(block, "bn3", getattr(block, "bn2", None)), nn.BatchNorm3d):
                nn.init.zeros_(last.weight)
        self.heads = nn.LazyConv3d(len(CELLS) * 5, kernel_size=1)
        with torch.no_grad():
            self.eval()(torch.zeros(1, 1, px, px, px))  # initialises the lazy heads
        self.to(device())

    def forward(self, volumes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of severities (B, 25, 3) and openings (B, 25) of volumes (B, 1, D, H, W)."""
        places = self.heads(self.trunk(volumes)).float().flatten(2).unflatten(1, (len(CELLS), 5))
        weights = places[:, :, 4:].softmax(dim=-1)  # (B, 25, 1, places)
        pooled = (places[:, :, :4] * weights).sum(dim=-1)
        return pooled[..., :3], pooled[..., 3]


class VolumeTask(PretrainTask[Volumes]):
    """The task of networks on volumes."""

    network = VolumePretrainNet
    learning_rate = 1e-3
    batch_size = 8
    # oneDNN's bfloat16 gradients of small 3D convolutions are sometimes NaN, and an H100 was slower
    # in half precision (67 ms per step of eight volumes of 144 px, against 43).
    half = False

    @staticmethod
    def stack_examples(study: PhantomStudy, sequence: str, stack: Stack, images: np.ndarray) -> Volumes:
        """Return the stack as one volume with the cells that it shows."""
        findings = np.full((1, len(CELLS)), EMPTY)
        openings_mm = np.full(findings.shape, np.nan, np.float32)
        for shown in shown_cells(study, sequence, stack):
            findings[0, shown.cell] = shown.severity
            openings_mm[0, shown.cell] = shown.opening_mm
        studies, sagittal = np.array([study.study_id]), np.array([stack.plane == "sagittal"])
        return Volumes(volume(images)[None], findings, openings_mm, studies, sagittal)

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:
        """Return batches of positions of the volumes that show a cell."""
        telling = np.flatnonzero((self.examples.findings != EMPTY).any(axis=1))
        return shuffled_evenly(telling, self.batch_size, rng)

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[Tensor, Truth]:
        """Volumes and their findings; in training, half of them are mirrored."""
        examples = self.examples.take(rows)
        mirror = drawn_mirror(np.ones(len(examples), bool), rng)
        sagittal, volumes = torch.from_numpy(examples.sagittal), torch.from_numpy(examples.images)
        turned = torch.where((mirror & sagittal)[:, None, None, None], volumes.flip(1), volumes)
        images = augmented(turned, mirror & ~sagittal, rng)
        return volume_input(images.to(device())), graded_truth(examples, mirror, mirrored_cells)

    @staticmethod
    def loss(output: tuple[Tensor, Tensor], truth: Truth) -> Tensor:
        """Loss of severities and openings."""
        return graded_loss(*output, truth)

    def metrics(self, network: nn.Module) -> dict[str, float]:
        """Balanced accuracy of severities by group."""
        return accuracies(self.examples.findings, self.outputs(network)[0], group2cells)
