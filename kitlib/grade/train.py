"""Training the grader on phantoms."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from kitlib.artefacts import Provenance, discard, facts_of
from kitlib.grade.augment import as_patients, changed
from kitlib.grade.calibration import ON_PATIENTS, Calibration, frequencies_of
from kitlib.grade.mixup import mixup
from kitlib.grade.network import (
    StudyBatch,
    StudyNet,
    StudyOutput,
    ViewBatch,
    graded,
    load_network,
    prediction_loss,
    save_network,
)
from kitlib.grade.samples import CLASS_BALANCE, SLICES, ViewSamples
from kitlib.grade.starts import started
from kitlib.grade.thresholds import LIMITS_MM, severity_read_off
from kitlib.machine import cores, device, torch_threads
from kitlib.nn.loop import Checkpoint, Schedule, move_average, train
from kitlib.nn.losses import Truth
from kitlib.nn.rows import chunks, shuffled_evenly
from kitlib.nn.shards import held_out
from kitlib.phantom.labels import PREVALENCE
from kitlib.phantom.truth import VERSION
from kitlib.prepare.views import SLOTS, VIEWS
from kitlib.terms import CELLS, EMPTY, group2place

HELD_OUT = 0.1
PERSONS = 4  # per batch
ATTENTION = 0.1  # loss weight of attention to slices other than the place's own
LEARNING_RATE = 2e-3
THREE_SLICES = 0.4  # share of batches with three slices per view; the others have one
OFF_CENTRE, ABSENT = 0.25, 0.15  # shares of views, and of the slices beside the middle one


class Truths(NamedTuple):
    """The targets of the network."""

    views: Truth  # of each view, (N, 1)
    cells: Truth  # of studies, (B, 25)
    middles: Tensor  # (N,) index of the place's own slice in each view

    def take(self, views: Tensor, studies: Tensor) -> "Truths":
        """Select these views and studies."""
        return Truths(self.views.take(views), self.cells.take(studies), self.middles[views])


class PersonBatches:
    """Batches of persons with all their views, augmented anew each time, for `nn.loop.train`."""

    def __init__(self, samples: ViewSamples) -> None:
        self.samples = samples
        self.rows = [np.flatnonzero(samples.persons == person) for person in np.unique(samples.persons)]
        self.slots = np.array([SLOTS.index(slot) for slot in zip(samples.cells, samples.views)])

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:
        """All persons, in random order."""
        return shuffled_evenly(np.arange(len(self.rows)), PERSONS, rng)

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[StudyBatch, Truths]:
        """The views of persons, and the truth; without `rng`, the middle slice without augmentation."""
        own = [self.rows[person] for person in rows]
        studies = np.repeat(np.arange(len(own)), [len(views) for views in own])
        views, middles = self._views(np.concatenate(own), rng)
        at = torch.from_numpy(studies).to(device())
        slots = torch.from_numpy(self.slots[np.concatenate(own)]).to(device())
        batch = StudyBatch(views, at, slots, len(own))
        return batch, self._truths(np.concatenate(own), studies, len(own), middles)

    def _views(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[ViewBatch, np.ndarray]:
        samples = self.samples
        slices = _drawn_slices(len(rows), rng)
        images = torch.from_numpy(samples.images[rows[:, None], slices]).to(device()).float() / 255
        present = torch.from_numpy(samples.present[rows[:, None], slices])
        views = torch.from_numpy(samples.views[rows])
        if rng is not None:
            beside = torch.arange(slices.shape[1]) != slices.shape[1] // 2
            present &= ~(beside & (torch.rand(present.shape, generator=rng) < ABSENT))
        seen = changed(images, views, rng, as_patients(views))
        batch = ViewBatch(seen, present.to(device()), views.to(device()))
        return batch, (slices == SLICES // 2).argmax(axis=1)

    def _truths(self, rows: np.ndarray, studies: np.ndarray, count: int, middles: np.ndarray) -> Truths:
        samples = self.samples
        severities = np.full((count, len(CELLS)), EMPTY)
        openings_mm = np.full((count, len(CELLS)), np.nan, np.float32)
        severities[studies, samples.cells[rows]] = samples.severities[rows]
        openings_mm[studies, samples.cells[rows]] = samples.openings_mm[rows]
        of_views = truth_of(samples.severities[rows, None], samples.openings_mm[rows, None])
        return Truths(of_views, truth_of(severities, openings_mm), torch.from_numpy(middles).to(device()))


def train_grader(
    out: Path,
    samples: ViewSamples,
    *,
    epochs: int,
    seed: int = 2024,
    start: str = "nothing",
    backbone: str = "",
    mixup_alpha: float = 0.0,
    **facts: Any,
) -> dict[str, float]:
    """Train a grader; save it to `out` after each epoch, with its metrics on the last tenth of the persons.

    The saved weights are the mean over epochs (`mean_of_epochs`). An interrupted training resumes where it
    stopped. `facts`, such as the command, are saved with the weights; `start` and `backbone` are as for
    `started`, `mixup_alpha` as for `mixup`. Returns the metrics: see `metrics`.
    """
    last = held_out(samples.persons, HELD_OUT)
    learnt, judged = samples.take(~last), samples.take(last)
    begun = {"epochs": epochs, "start": start, "backbone": backbone, "mixup_alpha": mixup_alpha}
    drawn = {"views": len(samples), "phantoms": VERSION, "class_balance": CLASS_BALANCE}
    provenance = Provenance(begun | drawn, seed=seed)
    checkpoint = Checkpoint(Path(out).with_name(f"{Path(out).name}.unfinished"), provenance)
    calibration = Calibration(frequencies_of(learnt.cells, learnt.severities), PREVALENCE, ON_PATIENTS)
    found: dict[str, float] = {}

    def save(epoch: int, average: nn.Module) -> None:
        mean = mean_of_epochs(out, average, epoch)  # type: ignore[arg-type]
        found.update(metrics(mean, judged))
        save_network(out, mean, provenance, calibration, epoch=epoch, metrics=found, **facts)

    with torch_threads(cores()), torch.random.fork_rng():
        torch.manual_seed(seed)
        train(
            started(start, backbone).to(device(), memory_format=torch.channels_last),  # type: ignore[call-overload]
            *mixup(PersonBatches(learnt), grading_loss, mixup_alpha),
            Schedule(epochs, LEARNING_RATE, warm_up=0.2, average_decay=0.998, half=True),
            seed,
            after_epoch=save,
            checkpoint=checkpoint,
            in_thread=device().type != "cpu",
            title="grader",
        )
    discard(checkpoint.path)
    return found


def mean_of_epochs(out: Path, average: StudyNet, epoch: int) -> StudyNet:
    """Average the moving averages at the ends of epochs, up to this one; `out` holds the previous mean.

    During training on phantoms, networks are best on patients early, while they keep improving on phantoms:
    a mean along the way is better on patients than either end (docs/grading_trials.md). Izmailov et al.:
    Averaging weights leads to wider optima and better generalization (2018).
    """
    if epoch == 1:
        return average
    mean = load_network(out).to(device())
    if facts_of(out)["epoch"] < epoch:  # else it was saved before the training was killed
        move_average(mean, average, 1 - 1 / epoch)
    return mean


def grading_loss(output: StudyOutput, truth: Truths) -> Tensor:
    """Loss of severities and openings, of studies and of single views, plus that of misplaced attention."""
    of_views = prediction_loss(output.views.predictions[:, None], truth.views)
    of_cells = prediction_loss(output.cells, truth.cells)
    own = output.views.weights.gather(1, truth.middles[:, None]).clamp(min=1e-4)
    return of_views + of_cells - ATTENTION * own.log().mean()


def truth_of(severities: np.ndarray, openings_mm: np.ndarray) -> Truth:
    """Convert severities and openings to the target of a loss."""
    return Truth(torch.from_numpy(severities).to(device()), torch.from_numpy(openings_mm).to(device()))


def metrics(network: StudyNet, samples: ViewSamples) -> dict[str, float]:
    """Measure how well single views, and cells, are graded on samples.

    AUC of severe against normal, and accuracy, of the predicted severities and, "by mm", of those read off
    the openings by `severity_read_off`; and the median error of openings in mm.
    """
    batches = PersonBatches(samples)
    order = np.concatenate(batches.rows)
    views, cells, truth = _predictions(network, batches)
    found: dict[str, float] = {}
    for number, view in enumerate(VIEWS):
        rows = np.flatnonzero(samples.views[order] == number)
        true = samples.cells[order][rows], samples.severities[order][rows], samples.openings_mm[order][rows]
        found |= _judged(view.text, views[torch.from_numpy(rows)], *true)
    for group, place in group2place.items():
        own = truth.severities != EMPTY
        own &= torch.tensor([cell.group == group for cell in CELLS])
        at = own.nonzero()[:, 1].numpy()
        found |= _judged(place, cells[own], at, truth.severities[own].numpy(), truth.openings_mm[own].numpy())
    return found


@torch.inference_mode()
def _predictions(network: StudyNet, batches: PersonBatches) -> tuple[Tensor, Tensor, Truth]:
    """Predict views (n, OUTPUTS) and cells (persons, 25, OUTPUTS); also returns the truth of the cells."""
    views, cells, severities, openings_mm = [], [], [], []
    for rows in chunks(np.arange(len(batches.rows)), PERSONS):
        batch, truth = batches.batch(rows, None)
        output = network(batch)
        views.append(output.views.predictions.cpu())
        cells.append(output.cells.cpu())
        severities.append(truth.cells.severities.cpu())
        openings_mm.append(truth.cells.openings_mm.cpu())
    return torch.cat(views), torch.cat(cells), Truth(torch.cat(severities), torch.cat(openings_mm))


def _judged(
    name: str, predictions: Tensor, cells: np.ndarray, severities: np.ndarray, openings_mm: np.ndarray
) -> dict[str, float]:
    if not len(severities):
        return {}
    probabilities, found_mm = graded(predictions)
    found = {f"{name}: mm": round(float(np.median(np.abs(found_mm - openings_mm))), 3)}
    clear = severities != 1
    predicted_and_read_off = {
        "": (probabilities.argmax(axis=1), probabilities @ np.arange(3)),
        " by mm": (severity_read_off(found_mm, cells), LIMITS_MM[cells, 0] - found_mm),
    }
    for how, (said, worse) in predicted_and_read_off.items():
        found[f"{name}: accuracy{how}"] = round(float((said == severities).mean()), 4)
        if len(np.unique(severities[clear])) == 2:
            area = roc_auc_score(severities[clear] == 2, worse[clear])
            found[f"{name}: AUC{how}"] = round(float(area), 4)
    return found


def _drawn_slices(count: int, rng: torch.Generator | None) -> np.ndarray:
    """Draw the slices to use of each view (count, 1 or 3): the middle ones, or some beside them."""
    middle = np.full(count, SLICES // 2)
    if rng is None:
        return middle[:, None]
    seen = 3 if torch.rand(1, generator=rng) < THREE_SLICES else 1
    off = torch.randint(-1, 2, (count,), generator=rng) * (torch.rand(count, generator=rng) < OFF_CENTRE)
    return (middle + off.numpy())[:, None] + np.arange(seen) - seen // 2
