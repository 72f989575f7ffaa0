"""The pretraining task on phantoms, shared by slices and volumes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from kitlib.embed.field_of_view import stack_images
from kitlib.machine import device
from kitlib.mri.stack import Stack
from kitlib.nn.augment import Greys, Moves, moved
from kitlib.nn.losses import Truth
from kitlib.nn.rows import Rows, chunks
from kitlib.phantom.study import PhantomStudy
from kitlib.prepare.volumes import prepare
from kitlib.terms import SEVERITIES

MOVES = Moves(turn_deg=5.0, log_scale=0.14, shift=0.05)
GREYS = Greys(log_gamma=0.25, log_gain=0.1, noise=0.02)


@dataclass(frozen=True, eq=False)
class Examples(Rows):
    """Images with their findings; `studies` groups them by study."""

    images: np.ndarray  # (n, ..., px, px) uint8, slices or volumes
    findings: np.ndarray  # (n, f) int64, severity, or EMPTY if the image does not show it
    openings_mm: np.ndarray  # (n, f) float32, or NaN if the image does not show it
    studies: np.ndarray  # (n,) int64


Held = TypeVar("Held", bound=Examples)


class PretrainNet(nn.Module):
    """A backbone, `trunk`, with heads that are discarded after training."""

    trunk: nn.Module


class PretrainTask(ABC, Generic[Held]):
    """A pretraining task: examples as Batches for `nn.loop.train`, a network and its loss."""

    learning_rate: ClassVar[float]
    batch_size: ClassVar[int]
    half: ClassVar[bool]
    """Whether to train in 16 bits if the device is fast in it."""

    def __init__(self, examples: Held) -> None:
        self.examples = examples

    @classmethod
    def examples_of(cls, study: PhantomStudy, px: int, field_of_view: str, longest_px: int) -> Held:
        """Return all examples of a phantom, prepared as for embedding."""
        parts = [
            cls.stack_examples(
                study, series.sequence, stack, stack_images(stack, px, field_of_view=field_of_view)
            )
            for series in study.series
            for stack in prepare(series.stacks, longest_px)
        ]
        return type(parts[0]).joined(parts)

    @staticmethod
    @abstractmethod
    def stack_examples(study: PhantomStudy, sequence: str, stack: Stack, images: np.ndarray) -> Held:
        """Return the examples of a stack; `images` (n, px, px) are its slices prepared as for embedding."""

    @abstractmethod
    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[Tensor, Any]:
        """Return the network's input for examples, and the truth; augmented if a generator is given."""

    @torch.inference_mode()
    def outputs(self, network: nn.Module) -> list[np.ndarray]:
        """Return each output of a network on all examples, not augmented; the first are severity logits."""
        batches = chunks(np.arange(len(self.examples)), self.batch_size)
        parts = [network(self.batch(rows, None)[0]) for rows in batches]
        return [torch.cat(kind).cpu().numpy() for kind in zip(*parts)]


def graded_truth(examples: Examples, mirror: Tensor, mirrored: list[int]) -> Truth:
    """Return the findings of examples, with left and right swapped for images in the mask `mirror` (B,)."""
    severities, openings_mm = (
        torch.where(mirror[:, None], values[:, mirrored], values).to(device())
        for values in (torch.from_numpy(examples.findings), torch.from_numpy(examples.openings_mm))
    )
    return Truth(severities, openings_mm)


def drawn_mirror(can_be: np.ndarray, rng: torch.Generator | None) -> Tensor:
    """Draw a mask (B,) of images to mirror, half of those that can be; none without a generator."""
    if rng is None:
        return torch.zeros(len(can_be), dtype=torch.bool)
    return (torch.rand(len(can_be), generator=rng) < 0.5) & torch.from_numpy(can_be)


def augmented(images: Tensor, mirror: Tensor, rng: torch.Generator | None) -> Tensor:
    """Augment images (B, C, px, px) uint8 in space and intensity; without a generator only convert to float.

    Images in the mask `mirror` (B,) are flipped left to right.
    """
    if rng is None:
        return images.float()
    return 255 * GREYS.change(moved(images.float() / 255, MOVES.draw(len(images), rng, mirror)), rng)


def accuracies(findings: np.ndarray, logits: np.ndarray, kind2columns: Mapping[str, Any]) -> dict[str, float]:
    """Balanced accuracy of logits (n, f, 3) against severities (n, f), by kind of finding."""
    guess = logits.argmax(axis=-1)
    return {
        kind: balanced_accuracy(findings[:, columns], guess[:, columns])
        for kind, columns in kind2columns.items()
    }


def balanced_accuracy(truth: np.ndarray, guess: np.ndarray) -> float:
    """Mean recall of the severities that occur in `truth`; NaN if none does."""
    codes = [code for code in range(len(SEVERITIES)) if (truth == code).any()]
    recalls = [float((guess[truth == code] == code).mean()) for code in codes]
    return round(sum(recalls) / len(recalls), 4) if recalls else float("nan")
