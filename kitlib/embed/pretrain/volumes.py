"""Learning volumes: how narrow is each of the cells that a stack shows?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kitlib.embed.field_of_view import stack_images
from kitlib.embed.pretrain.targets import shown
from kitlib.embed.pretrain.task import (
    Examples,
    PretrainNet,
    PretrainTask,
    Truth,
    augmented,
    balanced_accuracy,
    drawn_mirror,
    graded_loss,
    graded_truth,
)
from kitlib.embed.volumes import build_volume_network, volume, volume_input
from kitlib.machine import device
from kitlib.mri.stack import Stack
from kitlib.nn.rows import shuffled_evenly
from kitlib.phantom.study import PhantomStudy
from kitlib.prepare.volumes import prepare
from kitlib.terms import CELLS, EMPTY, GROUPS, Cell, mirrored_cells

BATCH = 8


@dataclass(frozen=True, eq=False)
class Volumes(Examples):
    """Stacks as volumes, with the 25 cells as findings."""

    sagittal: np.ndarray  # (n,) bool: left and right are first and last slices, not columns


class VolumePretrainNet(PretrainNet):
    """A 3D backbone whose heads, a cell, attend to the places of the feature map that tell of it."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.trunk = build_volume_network(backbone)
        for block in self.trunk.modules():  # each block starts as the identity: deep networks learn sooner so
            if isinstance(last := getattr(block, "bn3", getattr(block, "bn2", None)), nn.BatchNorm3d):
                nn.init.zeros_(last.weight)
        self.heads = nn.LazyConv3d(len(CELLS) * 5, kernel_size=1)

    def forward(self, volumes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of severities (B, 25, 3) and openings (B, 25) of volumes (B, 1, D, H, W)."""
        places = self.heads(self.trunk(volumes)).float().flatten(2).unflatten(1, (len(CELLS), 5))
        weights = places[:, :, 4:].softmax(dim=-1)  # (B, 25, 1, places)
        pooled = (places[:, :, :4] * weights).sum(dim=-1)
        return pooled[..., :3], pooled[..., 3]


class VolumeTask(PretrainTask[Volumes]):
    """The task of networks of volumes."""

    learning_rate = 1e-3
    # oneDNN's bfloat16 gradients of small 3D convolutions are NaN now and then, and an H100 was slower
    # in half (67 ms a step of eight volumes of 144 px, against 43).
    half = False

    @staticmethod
    def examples_of(study: PhantomStudy, px: int, field_of_view: str, longest_px: int) -> Volumes:
        """Every stack with the cells that it shows."""
        marks = {Cell(row["condition"], row["level"]): row for row in study.landmarks.to_dict("records")}
        return Volumes.joined(
            [
                stack_volume(stack, series.sequence, marks, study, px, field_of_view)
                for series in study.series
                for stack in prepare(list(series.stacks), longest_px)
            ]
        )

    @staticmethod
    def network(backbone: str, px: int) -> PretrainNet:
        """The backbone with attending heads."""
        network = VolumePretrainNet(backbone)
        with torch.no_grad():
            network.eval()(torch.zeros(1, 1, px, px, px))  # gives the heads their width
        return network.to(device())

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:
        """Batches of positions of the volumes that show a cell."""
        return shuffled_evenly(np.flatnonzero((self.examples.findings != EMPTY).any(axis=1)), BATCH, rng)

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[Tensor, Truth]:
        """Volumes and their findings; half of the patients are mirrored."""
        examples = self.examples.take(rows)
        mirror = drawn_mirror(np.ones(len(examples), bool), rng)
        sagittal, volumes = torch.from_numpy(examples.sagittal), torch.from_numpy(examples.images)
        turned = torch.where((mirror & sagittal)[:, None, None, None], volumes.flip(1), volumes)
        images = augmented(turned, mirror & ~sagittal, rng)
        return volume_input(images.to(device())), graded_truth(examples, mirror, mirrored_cells)

    @staticmethod
    def loss(output: tuple[Tensor, Tensor], truth: Truth) -> Tensor:
        """Of severities and openings."""
        return graded_loss(*output, truth)

    @torch.inference_mode()
    def metrics(self, network: nn.Module) -> dict[str, float]:
        """Balanced accuracy of severities by group."""
        examples, guesses = self.examples, []
        for first in range(0, len(examples), BATCH):
            images = torch.from_numpy(examples.images[first : first + BATCH]).to(device())
            guesses.append(network(volume_input(images))[0].argmax(-1).cpu().numpy())
        guess = np.concatenate(guesses)
        columns = {group: [cell.group == group for cell in CELLS] for group in GROUPS}
        return {
            group: balanced_accuracy(examples.findings[:, of_group], guess[:, of_group])
            for group, of_group in columns.items()
        }


def stack_volume(
    stack: Stack,
    sequence: str,
    marks: Mapping[Cell, Mapping[Any, Any]],
    study: PhantomStudy,
    px: int,
    field_of_view: str,
) -> Volumes:
    """A stack of a phantom as one volume, with the landmarks that a slice of it passes through."""
    findings = np.full((1, len(CELLS)), EMPTY)
    openings_mm = np.full(findings.shape, np.nan, np.float32)
    for index, cell in enumerate(CELLS):
        finding, _, reach_mm = shown(cell, sequence)
        if finding is not None and cell in marks:
            point = np.array([marks[cell][axis] for axis in ("x_mm", "y_mm", "z_mm")])
            if np.abs(stack.positions_mm - point @ stack.normal).min() <= reach_mm:
                findings[0, index] = study.severities[index]
                openings_mm[0, index] = marks[cell]["opening_mm"]
    return Volumes(
        volume(stack_images(stack, px, field_of_view=field_of_view))[None],
        findings,
        openings_mm,
        np.array([study.study_id]),
        np.array([stack.plane == "sagittal"]),
    )
