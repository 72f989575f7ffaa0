"""Learning slices: where does a slice lie, and what is narrow in it?"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kitlib.embed.pretrain.targets import (
    AXIAL_PLACES,
    FINDINGS,
    PLACES,
    Slices,
    mirrored_findings,
    study_slices,
)
from kitlib.embed.pretrain.task import (
    PretrainNet,
    PretrainTask,
    Truth,
    augmented,
    balanced_accuracy,
    drawn_mirror,
    graded_loss,
    graded_truth,
)
from kitlib.embed.slices import build_slice_network, network_input, normalised
from kitlib.machine import device
from kitlib.nn.rows import shuffled_evenly
from kitlib.phantom.study import PhantomStudy
from kitlib.terms import EMPTY

# Of slices without a finding, with normal ones only, and with a narrow one: how many are seen in an epoch.
EPOCH_SHARES = (0.15, 0.6, 1.0)
BATCH = 32
PLACE_WEIGHT = 0.5
finding2columns = {
    "canal": range(5),
    "foramen": range(5, 10),
    "axial canal": range(10, 11),
    "recess": range(11, 13),
}


class SlicePretrainNet(PretrainNet):
    """A backbone with linear heads for severities (B, 13, 3), openings (B, 13) and places (B, 10)."""

    def __init__(self, backbone: str, px: int) -> None:
        super().__init__()
        self.trunk, _ = build_slice_network(backbone)
        width = self.trunk.eval()(torch.zeros(1, 3, px, px)).shape[1]
        self.heads = nn.Linear(width, 4 * len(FINDINGS) + len(PLACES))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of severities, openings in OPENING_UNIT_MM and logits of places of images (B, 3, px, px)."""
        sizes = [3 * len(FINDINGS), len(FINDINGS), len(PLACES)]
        severities, openings, places = self.heads(self.trunk(images)).float().split(sizes, dim=1)
        return severities.reshape(-1, len(FINDINGS), 3), openings, places


class SliceTask(PretrainTask[Slices]):
    """The task of networks of slices."""

    learning_rate = 2e-3
    half = True

    @staticmethod
    def examples_of(study: PhantomStudy, px: int, field_of_view: str, longest_px: int) -> Slices:
        """Every slice with its place and findings."""
        return study_slices(study, px, field_of_view, longest_px)

    @staticmethod
    def network(backbone: str, px: int) -> PretrainNet:
        """The backbone with linear heads."""
        network = SlicePretrainNet(backbone, px)
        return network.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:
        """Batches of positions; what is rarer and tells more is seen more often."""
        worst = self.examples.findings.max(axis=1).clip(EMPTY, 1)
        share = np.array(EPOCH_SHARES)[worst - EMPTY]
        seen = torch.rand(len(worst), generator=rng).numpy() < share
        return shuffled_evenly(np.flatnonzero(seen), BATCH, rng)

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[Tensor, tuple[Truth, Tensor]]:
        """Images, with their findings and places; half of the axial slices are mirrored."""
        examples = self.examples.take(rows)
        mirror = drawn_mirror(np.isin(examples.places, AXIAL_PLACES), rng)
        images = augmented(torch.from_numpy(examples.images)[:, None], mirror, rng)
        places = torch.from_numpy(examples.places).to(device())
        truth = graded_truth(examples, mirror, mirrored_findings)
        return normalised(images[:, 0].to(device())), (truth, places)

    @staticmethod
    def loss(output: tuple[Tensor, Tensor, Tensor], truth: tuple[Truth, Tensor]) -> Tensor:
        """Of severities, openings and places."""
        severities, openings, places = output
        findings, true_places = truth
        graded = graded_loss(severities, openings, findings)
        return graded + PLACE_WEIGHT * F.cross_entropy(places, true_places)

    @torch.inference_mode()
    def metrics(self, network: nn.Module) -> dict[str, float]:
        """Balanced accuracy of severities by kind of finding, and accuracy of places."""
        examples = self.examples
        outputs = [network(network_input(examples.images[i : i + 64])) for i in range(0, len(examples), 64)]
        severities = torch.cat([severity.argmax(-1) for severity, _, _ in outputs]).cpu().numpy()
        places = torch.cat([place.argmax(-1) for _, _, place in outputs]).cpu().numpy()
        right = round(float((places == examples.places).mean()), 4)
        return {"place accuracy": right} | {
            finding: balanced_accuracy(examples.findings[:, columns], severities[:, columns])
            for finding, columns in finding2columns.items()
        }
