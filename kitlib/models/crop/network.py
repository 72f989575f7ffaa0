"""The inside of a fitted crop model: its network, and how it is trained on studies' readings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import nn

from kitlib.artefacts import Provenance, facts_of, fingerprint_of, save_tensors
from kitlib.grade.fusion import OUTPUTS, Sight
from kitlib.grade.mixup import mixup
from kitlib.grade.network import SHIPPED, StudyNet, ViewOutput, calibration_of, graded, load_network
from kitlib.grade.starts import file_of_start
from kitlib.inputs.crops import CropDataset, StudyCrops
from kitlib.machine import cores, device, half_precision, torch_threads
from kitlib.models.common.training_rows import inner_splits
from kitlib.models.crop.batches import ImageBatches, SightBatches, reading_loss, study_batch
from kitlib.models.crop.model import Examination
from kitlib.nn.loop import Curve, Schedule, train
from kitlib.nn.losses import LOSSES, Loss
from kitlib.nn.rows import chunks
from kitlib.nn.weights import exactly
from kitlib.prepare.views import slot2cell
from kitlib.terms import CELLS, EMPTY, SEVERITY_WEIGHTS

if TYPE_CHECKING:
    from kitlib.models.crop.model import CropModel

WEIGHTS_FILE = "network.safetensors"
AVERAGE_DECAY = 0.95
STUDY_TEMPERATURE = 1.4
"""Of the shipped network: phantoms are clearer than patients. Chosen on open studies; see
docs/grading_trials.md."""
STUDIES_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """A network, and the temperature that softens its logits."""

    network: StudyNet
    views: str = ""
    """The sha256 of the file that its view layers come from unchanged; empty if they were trained further."""
    temperature: float = 1.0

    @classmethod
    def shipped(cls) -> tuple[Self, np.ndarray]:
        """Return the shipped network, and the prior (25, 3) from the usual frequencies of severities."""
        weighted = calibration_of(SHIPPED).usual * SEVERITY_WEIGHTS
        fitted = cls(load_network(SHIPPED).to(device()), fingerprint_of(SHIPPED), STUDY_TEMPERATURE)
        return fitted, weighted / weighted.sum(axis=1, keepdims=True)

    @classmethod
    def begun(cls, model: "CropModel") -> Self:
        """Load the network that a model starts from."""
        file = file_of_start(model.start)
        return cls(load_network(file).to(device()), "" if model.tune else fingerprint_of(file))

    @classmethod
    def fit(cls, model: "CropModel", data: CropDataset, labels: np.ndarray, seed: int) -> tuple[Self, Curve]:
        """Train on studies with labels (n, 25) with the model's parameters; also returns the curve."""
        fitted = cls.begun(model)
        rows, held_out = inner_splits(labels, model.inner_parts, seed=seed)[0]
        given = data, labels, rows, model.batch
        batches = ImageBatches(*given) if model.tune else SightBatches(*given, fitted.sight(data))
        return fitted, fitted.learn(model, batches, held_out, seed)

    def learn(
        self, model: "CropModel", batches: SightBatches | ImageBatches, held_out: np.ndarray, seed: int
    ) -> Curve:
        """Train the fusion, or the whole network with `tune`, stopped by held-out rows; return the curve."""
        learning = self.network if model.tune else self.network.fusion
        schedule = Schedule(
            model.epochs, model.learning_rate, model.weight_decay,
            average_decay=AVERAGE_DECAY, patience=model.patience, half=model.tune,
        )  # fmt: skip
        loss = LOSSES[model.loss]
        judge = validation(batches, held_out, loss)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            learning.requires_grad_(True)
            curve = train(
                learning, *mixup(batches, partial(reading_loss, loss), model.mixup_alpha), schedule, seed,
                validate=judge, title="crops" if model.tune else "",
            )  # fmt: skip
        self.network.requires_grad_(False)
        return curve

    def predict(self, data: CropDataset) -> np.ndarray:
        """Predict probabilities (n, 25, 3)."""
        parts = [self.sight(data.take(rows)) for rows in chunks(np.arange(len(data)), STUDIES_AT_ONCE)]
        return np.concatenate([self.cells(sight)[0] for sight in parts])

    def examine(self, data: CropDataset) -> list[Examination]:
        """Return all findings on each study."""
        return [self._examine(data.take([row])) for row in range(len(data))]

    @torch.inference_mode()
    def sight(self, data: CropDataset) -> Sight:
        """Compute the view features of studies, on the CPU; hidden views count as not shown."""
        seen = [self._seen(crops) for crops in data.crops]
        vectors, predictions = (torch.stack(parts) for parts in list(zip(*seen))[:2])
        return Sight(vectors, predictions, torch.from_numpy(data.shown))

    @torch.inference_mode()
    def cells(self, sight: Sight) -> tuple[np.ndarray, np.ndarray]:
        """Predict probabilities (n, 25, 3) and openings in mm (n, 25) from the view features of studies."""
        sight = Sight(*(part.to(device()) for part in sight))
        return graded(self.network.fusion(sight).cpu(), self.temperature)

    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save into a model's folder without loss; weights that came in half precision stay in it."""
        facts = {"backbone": self.network.backbone, "views": self.views, "temperature": self.temperature}
        save_tensors(folder / WEIGHTS_FILE, exactly(self.network), provenance, **facts)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote."""
        facts = facts_of(folder / WEIGHTS_FILE)
        network = load_network(folder / WEIGHTS_FILE).to(device())
        return cls(network, facts["views"], facts["temperature"])

    def _examine(self, data: CropDataset) -> Examination:
        (probabilities,), (openings_mm,) = self.cells(self.sight(data))
        (crops,), (shown,) = data.crops, data.shown
        _, predictions, weights = self._seen(crops)
        alone, _ = graded(predictions, self.temperature)
        is_seen = np.isin(np.arange(len(CELLS)), slot2cell[shown])
        return Examination(
            crops,
            probabilities,
            np.where(is_seen, openings_mm, np.nan),
            np.where(shown[:, None], alone, np.nan),
            np.where(shown[:, None], weights.numpy(), 0.0),
        )

    def _seen(self, crops: StudyCrops) -> ViewOutput:
        """View features of a study, by SLOTS; computed once for all networks with the same view layers."""
        if not self.views:
            return self._look(crops)
        if self.views not in crops.view_outputs:
            crops.view_outputs[self.views] = self._look(crops)
        return crops.view_outputs[self.views]

    @torch.inference_mode()
    def _look(self, crops: StudyCrops) -> ViewOutput:
        batch, half = study_batch(CropDataset.of([0], [crops])), half_precision()
        slots, slices = crops.present.shape
        parts = (
            torch.zeros(slots, self.network.views.width),
            torch.zeros(slots, OUTPUTS),
            torch.zeros(slots, slices),
        )
        if len(batch.slots):
            with torch_threads(cores()), torch.autocast(device().type, dtype=half, enabled=half is not None):
                found = self.network.views(batch.views)
            for all_slots, shown in zip(parts, found):
                all_slots[batch.slots.cpu()] = shown.float().cpu()
        return ViewOutput(*parts)


def validation(
    batches: SightBatches | ImageBatches, held_out: np.ndarray, loss: Loss
) -> Callable[[nn.Module], float] | None:
    """Return a function that computes a network's loss on the held-out studies; None if none is labelled."""
    if not (batches.labels[held_out] != EMPTY).any():
        return None

    @torch.inference_mode()
    def judge(network: nn.Module) -> float:
        logits, labels = [], []
        for rows in chunks(held_out, STUDIES_AT_ONCE):
            inputs, readings = batches.batch(rows, None)
            output = network(inputs)
            logits.append((output if isinstance(output, torch.Tensor) else output.cells)[..., :-1])
            labels.append(readings.cells)
        return float(loss(torch.cat(logits), torch.cat(labels)))

    return judge
