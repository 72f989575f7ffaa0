"""The networks that grade a place from one view and a study from all its views, and the shipped weights."""

from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import timm
import torch
from torch import Tensor, nn

from kitlib.artefacts import Provenance, facts_of, save_tensors
from kitlib.errors import WeightsError
from kitlib.grade.calibration import AS_LEARNT, Calibration
from kitlib.grade.fusion import OUTPUTS, Fusion, Sight
from kitlib.machine import device
from kitlib.nn.layers import GatedAttention
from kitlib.nn.losses import OPENING_UNIT_MM, Truth, graded_loss
from kitlib.nn.weights import in_half, load_weights, restored
from kitlib.prepare.views import SLOTS, VIEWS, slot2sequence
from kitlib.terms import SEQUENCES

SHIPPED = Path(__file__).parent / "weights" / "grader.safetensors"
BACKBONE = "resnet10t"
HIDDEN = 128
VIEW_DROPPED, SEQUENCE_DROPPED = 0.1, 0.15
GREY_MEAN, GREY_SD = 0.3, 0.25
BATCH = 128
TRAIN_AGAIN = "An earlier version wrote them: train again (python -m kitlib grader train)."


class ViewBatch(NamedTuple):
    """A batch of views as network input."""

    images: Tensor  # (N, S, px, px) grey values in 0..1
    present: Tensor  # (N, S) bool, which slices exist
    views: Tensor  # (N,) int64, index into VIEWS


class StudyBatch(NamedTuple):
    """The existing views of a batch of studies."""

    views: ViewBatch
    studies: Tensor  # (N,) int64, index of the view's study in the batch
    slots: Tensor  # (N,) int64, index into SLOTS
    size: int  # number of studies, some of which may have no view


class ViewOutput(NamedTuple):
    """Network output for single views."""

    vectors: Tensor  # (N, width)
    predictions: Tensor  # (N, OUTPUTS): logits of severities and, last, openings in OPENING_UNIT_MM
    weights: Tensor  # (N, S) attention over slices


class StudyOutput(NamedTuple):
    """Network output for studies, and for each of their views alone."""

    cells: Tensor  # (B, 25, OUTPUTS)
    views: ViewOutput


class ViewNet(nn.Module):
    """A backbone over slices, gated attention over these, and heads for each kind of view."""

    def __init__(self, backbone: str = BACKBONE) -> None:
        super().__init__()
        self.trunk = timm.create_model(backbone, in_chans=1, num_classes=0)
        self.width = int(self.trunk.num_features)  # type: ignore[arg-type]  # torch types it as a module
        self.attention = GatedAttention(self.width, HIDDEN)
        self.dropout = nn.Dropout(0.2)
        self.heads = nn.Linear(self.width, len(VIEWS) * OUTPUTS)

    def forward(self, batch: ViewBatch) -> ViewOutput:
        """Predict each view by itself."""
        grey = (batch.images[batch.present][:, None] - GREY_MEAN) / GREY_SD
        seen = self.trunk(grey.contiguous(memory_format=torch.channels_last)).float()
        slices = seen.new_zeros(*batch.present.shape, self.width)
        slices[batch.present] = seen
        vectors, weights = self.attention(slices, batch.present)
        heads = self.heads(self.dropout(vectors)).unflatten(1, (len(VIEWS), -1))
        own = heads[torch.arange(len(vectors), device=vectors.device), batch.views]
        return ViewOutput(vectors, own.float(), weights)


class StudyNet(nn.Module):
    """A network on single views, and their fusion into the 25 cells of a study."""

    def __init__(self, backbone: str = BACKBONE) -> None:
        super().__init__()
        self.backbone = backbone
        self.views = ViewNet(backbone)
        self.fusion = Fusion(self.views.width)

    def forward(self, batch: StudyBatch) -> StudyOutput:
        """Predict studies from their views."""
        views = self.views(batch.views)
        sight = sight_of(views, batch)
        if self.training:
            sight = sight._replace(shown=with_views_dropped(sight.shown, None))
        return StudyOutput(self.fusion(sight), views)


def sight_of(output: ViewOutput, batch: StudyBatch) -> Sight:
    """Arrange view outputs by study and slot, detached: views are trained on their own labels only."""
    slots = batch.size * len(SLOTS)
    at = batch.studies * len(SLOTS) + batch.slots

    def spread(values: Tensor) -> Tensor:
        empty = values.new_zeros(slots, values.shape[1])
        return empty.index_copy(0, at, values.detach()).unflatten(0, (batch.size, len(SLOTS)))

    shown = torch.zeros(slots, dtype=torch.bool, device=at.device).index_fill(0, at, True)
    shown = shown.unflatten(0, (batch.size, len(SLOTS)))
    return Sight(spread(output.vectors), spread(output.predictions), shown)


def with_views_dropped(shown: Tensor, rng: torch.Generator | None) -> Tensor:
    """Drop some views (B, 40) and, in some studies, a sequence. `rng` None is torch's global generator."""
    dropped = torch.rand(shown.shape, generator=rng) < VIEW_DROPPED
    lost = torch.rand(len(shown), len(SEQUENCES), generator=rng) < SEQUENCE_DROPPED
    return shown & ~(dropped | lost[:, slot2sequence]).to(shown.device)


class Grader:
    """Grades views; the shipped network was trained on phantoms and has seen no patient.

    >>> import numpy as np
    >>> images, present = np.zeros((1, 1, 72, 72), np.uint8), np.ones((1, 1), bool)
    >>> views, cells = np.array([2]), np.array([8])  # a foramen on sagittal T1, the left one at L4/L5
    >>> probabilities, openings_mm = Grader.shipped().grade(images, present, views, cells)
    >>> probabilities.shape, openings_mm.shape
    ((1, 3), (1,))
    """

    def __init__(self, network: ViewNet, calibration: Calibration = AS_LEARNT) -> None:
        self.network = network.eval().to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.calibration = calibration

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load weights from a file. Raises WeightsError if they do not fit, ArtefactError without a file."""
        return cls(load_network(path).views, calibration_of(path))

    @classmethod
    def shipped(cls) -> Self:
        """Load the weights that come with the kit."""
        return cls.load(SHIPPED)

    def grade(
        self, images: np.ndarray, present: np.ndarray, views: np.ndarray, cells: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict probabilities (n, 3) and openings in mm (n,) of views as returned by `cut_view`.

        `images` (n, S, px, px) uint8, `present` (n, S) bool, `views` (n,) indices into VIEWS, `cells` (n,)
        indices into CELLS, as severities are rarer at some levels than at others.
        """
        parts = [torch.empty(0, OUTPUTS), *(part.predictions for part in self.look(images, present, views))]
        log_odds = self.calibration.of_views[cells]
        return graded(torch.cat(parts), self.calibration.temperature, log_odds)

    @torch.inference_mode()
    def look(self, images: np.ndarray, present: np.ndarray, views: np.ndarray) -> list[ViewOutput]:
        """Run the network on views as for `grade`, in batches; the outputs are on the CPU."""
        parts = []
        for first in range(0, len(images), BATCH):
            rows = slice(first, first + BATCH)
            output = self.network(view_batch(images[rows], present[rows], views[rows]))
            parts.append(ViewOutput(*(part.cpu() for part in output)))
        return parts


def view_batch(images: np.ndarray, present: np.ndarray, views: np.ndarray) -> ViewBatch:
    """Convert views as returned by `cut_view`, uint8, to network input."""
    return ViewBatch(
        torch.from_numpy(images).to(device()).float() / 255,
        torch.from_numpy(present).to(device()),
        torch.from_numpy(views).to(device()),
    )


def graded(
    predictions: Tensor, temperature: float = 1.0, log_odds: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Convert network outputs (..., OUTPUTS) to probabilities (..., 3) and openings in mm (...).

    `log_odds` (..., 3) are added to the logits of severities, which are then divided by `temperature`.
    """
    openings_mm = OPENING_UNIT_MM * predictions[..., -1].clamp(min=0)
    logits = (predictions[..., :-1].double() + torch.as_tensor(log_odds)) / temperature
    return logits.softmax(-1).numpy(), openings_mm.double().numpy()


def prediction_loss(predictions: Tensor, truth: Truth) -> Tensor:
    """Loss of network outputs (B, f, OUTPUTS): severities weighted as in the competition, and openings."""
    return graded_loss(predictions[..., :-1].float(), predictions[..., -1].float(), truth)


def save_network(
    path: Path, network: StudyNet, provenance: Provenance, calibration: Calibration = AS_LEARNT, **facts: Any
) -> None:
    """Save a network in half precision, with its calibration and the `facts` in the sidecar."""
    facts |= {"backbone": network.backbone, "calibration": calibration.facts()}
    save_tensors(path, in_half(network), provenance, **facts)


def load_network(path: Path) -> StudyNet:
    """Load the network of a file. Raises WeightsError if it does not fit, ArtefactError if it is missing."""
    return restored(StudyNet(facts_of(path)["backbone"]), load_weights(path), "grading", path)


def calibration_of(path: Path) -> Calibration:
    """Load the calibration of a network's file. Raises WeightsError if an earlier version wrote it."""
    if "calibration" not in (facts := facts_of(path)):
        raise WeightsError("the weights have no calibration", where=path, hint=TRAIN_AGAIN)
    return Calibration.from_facts(facts["calibration"])
