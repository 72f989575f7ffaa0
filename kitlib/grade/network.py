"""The network that grades a place from a view of it, and the one that ships."""

from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import timm
import torch
from torch import Tensor, nn

from kitlib.artefacts import Provenance, facts_of, load_tensors, save_tensors
from kitlib.machine import device
from kitlib.nn.layers import GatedAttention
from kitlib.nn.losses import OPENING_UNIT_MM
from kitlib.nn.weights import in_half, restored
from kitlib.prepare.views import VIEWS
from kitlib.terms import SEVERITIES

SHIPPED = Path(__file__).parent / "weights" / "grader.safetensors"
BACKBONE = "resnet10t"
HIDDEN = 128
GREY_MEAN, GREY_SD = 0.3, 0.25
BATCH = 128


class ViewBatch(NamedTuple):
    """Views as the network reads them."""

    images: Tensor  # (B, S, px, px) greys in 0..1
    present: Tensor  # (B, S) bool: slices that there are
    views: Tensor  # (B,) int64, index into VIEWS


class ViewNet(nn.Module):
    """A backbone over slices, gated attention over these, and heads for each kind of view."""

    def __init__(self, backbone: str = BACKBONE) -> None:
        super().__init__()
        self.backbone = backbone
        self.trunk = timm.create_model(backbone, in_chans=1, num_classes=0)
        width = int(self.trunk.num_features)  # type: ignore[arg-type]  # torch types it as a module
        self.attention = GatedAttention(width, HIDDEN)
        self.dropout = nn.Dropout(0.2)
        self.heads = nn.Linear(width, len(VIEWS) * (len(SEVERITIES) + 1))

    def forward(self, batch: ViewBatch) -> tuple[Tensor, Tensor]:
        """Logits of severities (B, 3), and openings (B,) in OPENING_UNIT_MM."""
        vectors, _ = self.pooled(batch)
        heads = self.heads(self.dropout(vectors)).unflatten(1, (len(VIEWS), -1))
        own = heads[torch.arange(len(vectors), device=vectors.device), batch.views]
        return own[:, :-1], own[:, -1]

    def pooled(self, batch: ViewBatch) -> tuple[Tensor, Tensor]:
        """A vector a view (B, width), and the weights of its slices (B, S)."""
        grey = (batch.images[batch.present][:, None] - GREY_MEAN) / GREY_SD
        seen = self.trunk(grey.contiguous(memory_format=torch.channels_last)).float()
        slices = seen.new_zeros(*batch.present.shape, seen.shape[-1])
        slices[batch.present] = seen
        return self.attention(slices, batch.present)


class Grader:
    """Grades views; what ships was trained on phantoms and has seen no patient.

    >>> import numpy as np
    >>> images, present = np.zeros((1, 1, 72, 72), np.uint8), np.ones((1, 1), bool)
    >>> probabilities, openings_mm = Grader.shipped().grade(images, present, np.array([2]))
    >>> probabilities.shape, openings_mm.shape
    ((1, 3), (1,))
    """

    def __init__(self, network: ViewNet) -> None:
        self.network = network.eval().to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def shipped(cls) -> Self:
        """With the weights that come with the kit."""
        return cls(load_grader(SHIPPED))

    @torch.inference_mode()
    def grade(
        self, images: np.ndarray, present: np.ndarray, views: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (n, 3) and openings in mm (n,) of views as `cut_view` gives them.

        `images` (n, S, px, px) uint8, `present` (n, S) bool, `views` (n,) indices into VIEWS.
        """
        parts = []
        for first in range(0, len(images), BATCH):
            rows = slice(first, first + BATCH)
            logits, openings = self.network(
                ViewBatch(
                    torch.from_numpy(images[rows]).to(device()).float() / 255,
                    torch.from_numpy(present[rows]).to(device()),
                    torch.from_numpy(views[rows]).to(device()),
                )
            )
            parts.append(
                torch.cat([logits.double().softmax(-1), OPENING_UNIT_MM * openings[:, None]], 1).cpu()
            )
        table = torch.cat(parts).numpy() if parts else np.empty((0, 4))
        return table[:, :3], table[:, 3].clip(0)


def save_grader(path: Path, network: ViewNet, provenance: Provenance, **facts: Any) -> None:
    """Save a network in half precision; `facts` stand in its sidecar."""
    save_tensors(path, in_half(network), provenance, backbone=network.backbone, **facts)


def load_grader(path: Path) -> ViewNet:
    """The network of a file; WeightsError where it does not fit, ArtefactError where it is missing."""
    return restored(ViewNet(facts_of(path)["backbone"]), load_tensors(path), "grading", path)
