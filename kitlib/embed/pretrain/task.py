"""What a backbone learns on phantoms, said once for slices and for volumes."""

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
    """Images with what they show; `studies` tells which of them belong together."""

    images: np.ndarray  # (n, ..., px, px) uint8, slices or volumes
    findings: np.ndarray  # (n, f) int64, severity or EMPTY where the image does not show it
    openings_mm: np.ndarray  # (n, f) float32, what is open there; NaN where the image does not show it
    studies: np.ndarray  # (n,) int64


Held = TypeVar("Held", bound=Examples)


class PretrainNet(nn.Module):
    """A backbone, `trunk`, with heads that are thrown away after training."""

    trunk: nn.Module


class PretrainTask(ABC, Generic[Held]):
    """One way to learn on phantoms: examples as Batches for `nn.loop.train`, a network and its loss."""

    learning_rate: ClassVar[float]
    batch_size: ClassVar[int]
    half: ClassVar[bool]
    """Whether in 16 bits where the device is fast in them."""

    def __init__(self, examples: Held) -> None:
        self.examples = examples

    @classmethod
    def examples_of(cls, study: PhantomStudy, px: int, field_of_view: str, longest_px: int) -> Held:
        """All examples of a phantom, as embedding sees it."""
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
        """The examples in a stack, whose slices embedding sees as `images` (n, px, px)."""

    @abstractmethod
    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[Tensor, Any]:
        """What the network reads of examples, and the truth; augmented where a generator is given."""

    @torch.inference_mode()
    def outputs(self, network: nn.Module) -> list[np.ndarray]:
        """Each output of a network on all examples as they are; the first are logits of severities."""
        batches = chunks(np.arange(len(self.examples)), self.batch_size)
        parts = [network(self.batch(rows, None)[0]) for rows in batches]
        return [torch.cat(kind).cpu().numpy() for kind in zip(*parts)]


def graded_truth(examples: Examples, mirror: Tensor, mirrored: list[int]) -> Truth:
    """The findings of examples; those of images that `mirror` (B,) names are exchanged."""
    severities, openings_mm = (
        torch.where(mirror[:, None], values[:, mirrored], values).to(device())
        for values in (torch.from_numpy(examples.findings), torch.from_numpy(examples.openings_mm))
    )
    return Truth(severities, openings_mm)


def drawn_mirror(can_be: np.ndarray, rng: torch.Generator | None) -> Tensor:
    """Half of those that can be mirrored (B,); none without a generator."""
    if rng is None:
        return torch.zeros(len(can_be), dtype=torch.bool)
    return (torch.rand(len(can_be), generator=rng) < 0.5) & torch.from_numpy(can_be)


def augmented(images: Tensor, mirror: Tensor, rng: torch.Generator | None) -> Tensor:
    """Images (B, C, px, px) uint8, as grey values, moved and in other greys; as they are without a generator.

    The columns of those that `mirror` (B,) names are turned round.
    """
    if rng is None:
        return images.float()
    return 255 * GREYS.change(moved(images.float() / 255, MOVES.draw(len(images), rng, mirror)), rng)


def accuracies(findings: np.ndarray, logits: np.ndarray, kind2columns: Mapping[str, Any]) -> dict[str, float]:
    """Balanced accuracy of severities (n, f), of logits (n, f, 3), by kind of finding."""
    guess = logits.argmax(axis=-1)
    return {
        kind: balanced_accuracy(findings[:, columns], guess[:, columns])
        for kind, columns in kind2columns.items()
    }


def balanced_accuracy(truth: np.ndarray, guess: np.ndarray) -> float:
    """Mean recall of the severities that occur in `truth`; NaN where none does."""
    codes = [code for code in range(len(SEVERITIES)) if (truth == code).any()]
    recalls = [float((guess[truth == code] == code).mean()) for code in codes]
    return round(sum(recalls) / len(recalls), 4) if recalls else float("nan")
