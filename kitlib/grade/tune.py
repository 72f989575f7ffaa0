"""Fine-tune a grader on labelled places: a few epochs, of which the best on held-out studies is kept."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from kitlib.artefacts import Provenance, discard, sha256
from kitlib.evaluate.places import weighted_log_loss
from kitlib.grade.augment import changed
from kitlib.grade.calibration import AS_LEARNT, Calibration
from kitlib.grade.labelled import read_labelled
from kitlib.grade.mixup import mixup
from kitlib.grade.network import (
    BACKBONE,
    Grader,
    StudyNet,
    ViewBatch,
    ViewOutput,
    prediction_loss,
    save_network,
)
from kitlib.grade.samples import SLICES, ViewSamples
from kitlib.grade.starts import calibration_of_start, fingerprint_of_start, started
from kitlib.grade.train import THREE_SLICES, truth_of
from kitlib.machine import cores, device, torch_threads
from kitlib.nn.loop import Checkpoint, Curve, Schedule, learned_nothing, train
from kitlib.nn.losses import Truth
from kitlib.nn.rows import shuffled_evenly
from kitlib.nn.shards import held_out
from kitlib.prepare.views import without_margin

HELD_OUT = 0.2
BATCH = 64
LEARNING_RATE, FROM_NOTHING = 1e-3, 2e-3
STEPS, EPOCHS = 250, (5, 16)  # approximate number of steps, within this range of epochs


class LabelledBatches:
    """Batches of labelled views, augmented anew each time, for `nn.loop.train`."""

    def __init__(self, samples: ViewSamples) -> None:
        self.samples = samples

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:
        """All views, in random order."""
        return shuffled_evenly(np.arange(len(self.samples)), BATCH, rng)

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[ViewBatch, Truth]:
        """Views, and their severities and openings (n, 1) in mm.

        Without `rng`, the three middle slices without augmentation. Slices that an image lacks are masked.
        """
        samples, middle = self.samples, SLICES // 2
        beside = 1 if rng is None or torch.rand(1, generator=rng) < THREE_SLICES else 0
        slices = slice(middle - beside, middle + beside + 1)
        images = torch.from_numpy(samples.images[rows, slices]).to(device()).float() / 255
        views = torch.from_numpy(samples.views[rows])
        present = torch.from_numpy(samples.present[rows, slices])
        batch = ViewBatch(changed(images, views, rng), present.to(device()), views.to(device()))
        return batch, truth_of(samples.severities[rows, None], samples.openings_mm[rows, None])


def tuned(
    network: StudyNet,
    samples: ViewSamples,
    *,
    rate: float,
    epochs: int = 0,
    mixup_alpha: float = 0.0,
    seed: int = 2024,
    checkpoint: Checkpoint | None = None,
    title: str = "",
) -> Curve:
    """Train a network's views in place; keep the best state on held-out studies, maybe the initial one.

    If `epochs` is 0 it depends on the number of views; `mixup_alpha` is as for `mixup`. Returns the curve,
    whose valid_loss is `held_out_loss`.
    """
    order = np.random.default_rng(seed).permutation(samples.persons.max() + 1)
    last = held_out(order[samples.persons], HELD_OUT)
    learnt, judged = samples.take(~last), samples.take(last)
    epochs = epochs or int(np.clip(math.ceil(STEPS * BATCH / len(learnt)), *EPOCHS))
    # The other backbones use depthwise convolutions, which are slower in 16 bits on CPUs.
    half = network.backbone == BACKBONE
    return train(
        network.views.to(device(), memory_format=torch.channels_last),  # type: ignore[call-overload]
        *mixup(LabelledBatches(learnt), _loss, mixup_alpha),
        Schedule(epochs, rate, warm_up=0.2, average_decay=0.998, half=half),
        seed,
        validate=lambda average: held_out_loss(average, judged),
        checkpoint=checkpoint,
        title=title,
    )


def tune_grader(
    out: Path,
    table: Path,
    *,
    start: str,
    backbone: str = "",
    epochs: int = 0,
    mixup_alpha: float = 0.0,
    seed: int = 2024,
) -> tuple[Curve, tuple[str, ...]]:
    """Tune a grader on a labelled table and save it to `out`; an interrupted training resumes.

    `start` and `backbone` are as for `started`, the others as for `tuned`. Openings are not trained, so they
    are no longer valid. Returns the curve, and why rows were left out. For errors see `read_labelled` and
    `started`.
    """
    labelled = read_labelled(table)
    samples = labelled.samples
    asked = {"start": start, "backbone": backbone, "epochs": epochs, "mixup_alpha": mixup_alpha}
    inputs = {Path(table).name: sha256(table), "start": fingerprint_of_start(start) or "nothing"}
    provenance = Provenance(asked | {"views": len(samples)}, inputs, seed)
    checkpoint = Checkpoint(Path(out).with_name(f"{Path(out).name}.unfinished"), provenance)
    with torch_threads(cores()), torch.random.fork_rng():
        torch.manual_seed(seed)
        network = started(start, backbone)
        curve = tuned(
            network,
            samples,
            rate=rate_of(start),
            epochs=epochs,
            mixup_alpha=mixup_alpha,
            seed=seed,
            checkpoint=checkpoint,
            title="grader",
        )
    save_network(out, network, provenance, calibration_of_tuned(start, curve), curve=curve)
    discard(checkpoint.path)
    return curve, labelled.problems


def _loss(output: ViewOutput, truth: Truth) -> Tensor:
    return prediction_loss(output.predictions[:, None], truth)


def calibration_of_tuned(start: str, curve: Curve) -> Calibration:
    """Return AS_LEARNT for a network tuned on labels, whose severities are as frequent as they usually are.

    If no epoch of the curve did better than the start, the network is the start's, and so is its calibration.
    """
    return calibration_of_start(start) if not curve or learned_nothing(curve) else AS_LEARNT


def rate_of(start: str) -> float:
    """Return the peak learning rate for a start: higher without pretrained weights."""
    return FROM_NOTHING if start == "nothing" else LEARNING_RATE


def held_out_loss(network: nn.Module, samples: ViewSamples) -> float:
    """Weighted log loss, averaged over kinds of view."""
    beside = slice(SLICES // 2 - 1, SLICES // 2 + 2)
    images = without_margin(samples.images[:, beside])
    views = images, samples.present[:, beside], samples.views, samples.cells
    probabilities, _ = Grader(network).grade(*views)  # type: ignore[arg-type]
    kinds = [samples.views == view for view in np.unique(samples.views)]
    return float(np.mean([weighted_log_loss(samples.severities[own], probabilities[own]) for own in kinds]))
