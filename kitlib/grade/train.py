"""Training the grader on phantoms."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from kitlib.artefacts import Provenance, discard
from kitlib.grade.augment import changed
from kitlib.grade.network import Grader, ViewBatch, save_grader
from kitlib.grade.samples import CLASS_BALANCE, SLICES, ViewSamples
from kitlib.grade.starts import started
from kitlib.localise.train.shards import held_out
from kitlib.machine import cores, device, torch_threads
from kitlib.nn.loop import Checkpoint, Schedule, train
from kitlib.nn.losses import Truth, graded_loss
from kitlib.nn.rows import shuffled_evenly
from kitlib.phantom.truth import VERSION
from kitlib.prepare.views import VIEWS, without_margin

HELD_OUT = 0.1
BATCH = 64
LEARNING_RATE = 2e-3
THREE_SLICES = 0.4  # of batches; of the others a view is one slice
OFF_CENTRE, ABSENT = 0.25, 0.15  # of views, and of the slices beside the middle


class ViewBatches:
    """Views seen a little differently each time: Batches for `nn.loop.train`."""

    def __init__(self, samples: ViewSamples) -> None:
        self.samples = samples

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:
        """All views, in random order."""
        return shuffled_evenly(np.arange(len(self.samples)), BATCH, rng)

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[ViewBatch, tuple[Tensor, Tensor]]:
        """Views, and their severities and openings in mm; the middle slice as it is without `rng`."""
        samples = self.samples
        slices = _drawn_slices(len(rows), rng)
        images = torch.from_numpy(samples.images[rows[:, None], slices]).to(device()).float() / 255
        present = torch.from_numpy(samples.present[rows[:, None], slices])
        views = torch.from_numpy(samples.views[rows])
        if rng is not None:
            beside = torch.arange(slices.shape[1]) != slices.shape[1] // 2
            present &= ~(beside & (torch.rand(present.shape, generator=rng) < ABSENT))
        truth = torch.from_numpy(samples.severities[rows]), torch.from_numpy(samples.openings_mm[rows])
        batch = ViewBatch(changed(images, views, rng), present.to(device()), views.to(device()))
        return batch, (truth[0].to(device()), truth[1].to(device()))


def train_grader(
    out: Path,
    samples: ViewSamples,
    *,
    epochs: int,
    seed: int = 2024,
    start: str = "nothing",
    backbone: str = "",
    **facts: Any,
) -> dict[str, float]:
    """Train a grader; save it to `out` after each epoch, with its metrics on the last tenth of the persons.

    A training that was killed goes on where it stopped. `facts`, such as the command, are kept beside the
    weights; `start` and `backbone` are as `started` takes them. Returns the metrics: see `metrics`.
    """
    last = held_out(samples.persons, HELD_OUT)
    learnt, judged = samples.take(~last), samples.take(last)
    parameters = {
        "epochs": epochs,
        "start": start,
        "backbone": backbone,
        "views": len(samples),
        "phantoms": VERSION,
    }
    provenance = Provenance(parameters | {"class_balance": CLASS_BALANCE}, seed=seed)
    checkpoint = Checkpoint(Path(out).with_name(f"{Path(out).name}.unfinished"), provenance)
    found: dict[str, float] = {}

    def save(epoch: int, average: nn.Module) -> None:
        found.update(metrics(Grader(average), judged))  # type: ignore[arg-type]
        save_grader(out, average, provenance, epoch=epoch, metrics=found, **facts)  # type: ignore[arg-type]

    with torch_threads(cores()), torch.random.fork_rng():
        torch.manual_seed(seed)
        train(
            started(start, backbone).to(device(), memory_format=torch.channels_last),  # type: ignore[call-overload]
            ViewBatches(learnt),
            grading_loss,
            Schedule(epochs, LEARNING_RATE, warm_up=0.2, average_decay=0.998, half=True),
            seed,
            after_epoch=save,
            checkpoint=checkpoint,
            in_thread=device().type != "cpu",
            title="grader",
        )
    discard(checkpoint.path)
    return found


def grading_loss(output: tuple[Tensor, Tensor], truth: tuple[Tensor, Tensor]) -> Tensor:
    """Cross-entropy of severities, weighted as in the competition, and how far openings are off."""
    (logits, openings), (severities, openings_mm) = output, truth
    truth_of_one = Truth(severities[:, None], openings_mm[:, None])
    return graded_loss(logits.float()[:, None], openings.float()[:, None], truth_of_one)


def metrics(grader: Grader, samples: ViewSamples) -> dict[str, float]:
    """Of each kind of view: AUC of severe against normal, and the median error in mm of openings."""
    middle = [SLICES // 2]
    images = without_margin(samples.images[:, middle])
    probabilities, openings_mm = grader.grade(images, samples.present[:, middle], samples.views)
    error_mm = np.abs(openings_mm - samples.openings_mm)
    found = {}
    for number, view in enumerate(VIEWS):
        name = f"{view.place} on {view.sequence}"
        own = samples.views == number
        clear = own & (samples.severities != 1)
        if len(np.unique(samples.severities[clear])) == 2:
            worse = probabilities[clear, 1] + 2 * probabilities[clear, 2]
            found[f"{name}: AUC"] = round(float(roc_auc_score(samples.severities[clear] == 2, worse)), 4)
        if own.any():
            found[f"{name}: mm"] = round(float(np.median(error_mm[own])), 3)
    return found


def _drawn_slices(count: int, rng: torch.Generator | None) -> np.ndarray:
    """Which slices are seen of each view (count, 1 or 3): the middle ones, or some beside them."""
    middle = np.full(count, SLICES // 2)
    if rng is None:
        return middle[:, None]
    seen = 3 if torch.rand(1, generator=rng) < THREE_SLICES else 1
    off = torch.randint(-1, 2, (count,), generator=rng) * (torch.rand(count, generator=rng) < OFF_CENTRE)
    return (middle + off.numpy())[:, None] + np.arange(seen) - seen // 2
