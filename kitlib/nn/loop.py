"""The loop that trains every network of the kit.

It keeps a moving average of the weights, stops when the validation loss stops falling, and can be killed at
any time: a training resumed from its checkpoint ends with the same bytes.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from kitlib.artefacts import Provenance, facts_of, fingerprint, is_complete, load_tensors, save_tensors
from kitlib.machine import half_precision
from kitlib.nn.rows import Batches, prefetched
from kitlib.nn.weights import with_prefix

IDLE = "training found nothing better"
"""Why a network is unchanged, for the notes of models."""
MOMENTUM_RANGE = 0.85, 0.95
FIRST_RATE, LAST_RATE = 1 / 25, 1 / 250_000
"""Initial and final learning rate, as fractions of the highest one."""

Curve = list[dict[str, Any]]
"""One row per epoch with epoch, train_loss and valid_loss; epoch 0 is the network as given."""


@dataclass(frozen=True)
class Schedule:
    """Length, learning rates and other settings of a training."""

    epochs: int
    learning_rate: float  # the highest
    weight_decay: float = 0.05
    warm_up: float = 0.0  # share of the steps in which the rate rises, before cosine decay; 0: constant
    average_decay: float = 0.0  # per step, of the moving average of weights; 0: no averaging
    patience: int = 0  # epochs without a better validation loss; 0: no early stopping
    largest_gradient: float = 0.0  # norm to which gradients are clipped; 0: no clipping
    fused: bool = False  # one kernel per step: faster for few large weights; last digits differ
    half: bool = False  # 16-bit precision if the device is fast in it

    def rate_and_momentum(self, progress: float) -> tuple[float, float]:
        """Return both at this share of the training: one cycle, in which momentum falls while the rate rises.

        Smith: A disciplined approach to neural network hyper-parameters (2018).
        """
        rising = progress < self.warm_up
        phase = progress / self.warm_up if rising else (1 - progress) / (1 - self.warm_up)
        height, lowest = (1 - math.cos(math.pi * phase)) / 2, FIRST_RATE if rising else LAST_RATE
        low, high = MOMENTUM_RANGE
        return self.learning_rate * (lowest + (1 - lowest) * height), high - (high - low) * height

    def decay(self, step: int) -> float:
        """Decay of the moving average at a step, counted from 1: with a warm-up it starts at 0."""
        return min(self.average_decay, 1 - step ** (-2 / 3)) if self.warm_up else self.average_decay


@dataclass(frozen=True)
class Checkpoint:
    """A file from which a training of the same provenance resumes; the caller deletes it at the end."""

    path: Path
    provenance: Provenance


def train(
    network: nn.Module,
    batches: Batches,
    loss: Callable[[Any, Any], Tensor],
    schedule: Schedule,
    seed: int,
    *,
    validate: Callable[[nn.Module], float] | None = None,
    after_epoch: Callable[[int, nn.Module], None] | None = None,
    checkpoint: Checkpoint | None = None,
    in_thread: bool = False,
    title: str = "",
) -> Curve:
    """Train a network in place and return its curve; it ends in evaluation mode, at its best average.

    `validate` returns the validation loss, which decides what is best; without it all epochs are run and the
    last one is kept. A NaN validation loss ends the training. `after_epoch` is called with each epoch, from 1
    on, and the averaged network, and again for the epoch that a checkpoint resumes from. `in_thread` prepares
    batches in a thread, with the same random numbers. A `title` shows a progress bar. Frozen parts of the
    network stay in evaluation mode. Dropout draws from torch's global generator, which the caller seeds.
    """
    training = _Training(network, schedule, seed)
    if not (checkpoint and training.load(checkpoint)):
        training.judge(validate, float("nan"))
    elif after_epoch:
        after_epoch(training.epoch, training.average)
    while training.goes_on():
        training.judge(validate, training.run_epoch(batches, loss, in_thread, title))
        if checkpoint:
            training.save(checkpoint)
        if after_epoch:
            after_epoch(training.epoch, training.average)
    network.load_state_dict(training.best)
    network.eval()
    return training.curve


def learned_nothing(curve: Curve) -> bool:
    """Return whether training left the network unchanged: no epoch had a lower validation loss."""
    start, *trained = [row["valid_loss"] for row in curve] or [np.nan]
    return bool(trained) and not np.isnan(start) and not any(loss < start for loss in trained)


class _Training:
    """The state of a training."""

    def __init__(self, network: nn.Module, schedule: Schedule, seed: int) -> None:
        self.network, self.schedule, self.seed = network, schedule, seed
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self.learning = [weight for weight in network.parameters() if weight.requires_grad]
        self.device = self.learning[0].device
        rate, decay, fused = schedule.learning_rate, schedule.weight_decay, schedule.fused or None
        self.optimiser = torch.optim.AdamW(self.learning, rate, weight_decay=decay, fused=fused)
        self.half = half_precision() if schedule.half else None
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.half is torch.float16)
        # Dropout draws from the generator of the network's device.
        self.drawn_from = torch.cuda if self.device.type == "cuda" else torch
        self.rng = torch.Generator().manual_seed(seed)
        self.best: dict[str, Tensor] = {}
        self.best_epoch = self.step = 0
        self.curve: Curve = []

    @property
    def epoch(self) -> int:
        return len(self.curve) - 1

    def goes_on(self) -> bool:
        patience, unlucky = self.schedule.patience, self.epoch - self.best_epoch
        is_hopeless = unlucky > 0 and np.isnan(self.curve[-1]["valid_loss"])
        return self.epoch < self.schedule.epochs and not is_hopeless and not 0 < patience <= unlucky

    def judge(self, validate: Callable[[nn.Module], float] | None, train_loss: float) -> None:
        """Add an epoch to the curve, and keep the averaged weights if they are the best so far."""
        loss = validate(self.average) if validate else float("nan")
        self.curve.append({"epoch": self.epoch + 1, "train_loss": train_loss, "valid_loss": loss})
        if not self.best or not validate or loss < self.curve[self.best_epoch]["valid_loss"]:
            self.best, self.best_epoch = copy.deepcopy(self.average.state_dict()), self.epoch

    def run_epoch(
        self, batches: Batches, loss: Callable[[Any, Any], Tensor], in_thread: bool, title: str
    ) -> float:
        """Train on all batches once; return the mean loss of the steps."""
        _set_training(self.network)
        plan, losses = batches.epoch(self.rng), []
        batch = partial(batches.batch, rng=self.rng)
        ready = prefetched(batch, plan) if in_thread else map(batch, plan)
        name = f"{title} epoch {self.epoch + 1}/{self.schedule.epochs}"
        with tqdm(ready, name, len(plan), disable=not title, mininterval=1) as bar:
            for number, (inputs, target) in enumerate(bar):
                self._set_rate((self.epoch + number / len(plan)) / self.schedule.epochs)
                losses.append(self._learn(inputs, target, loss))
                bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        return float(np.mean(losses)) if losses else float("nan")

    def _set_rate(self, progress: float) -> None:
        if self.schedule.warm_up:
            for group in self.optimiser.param_groups:
                group["lr"], momentum = self.schedule.rate_and_momentum(progress)
                group["betas"] = (momentum, group["betas"][1])

    def _learn(self, inputs: Any, target: Any, loss: Callable[[Any, Any], Tensor]) -> float:
        with torch.autocast(self.device.type, dtype=self.half, enabled=self.half is not None):
            output = self.network(inputs)
        of_batch = loss(output, target)
        self.optimiser.zero_grad()
        self.scaler.scale(of_batch).backward()
        if self.schedule.largest_gradient:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.learning, self.schedule.largest_gradient)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.step += 1
        move_average(self.average, self.network, self.schedule.decay(self.step))
        return float(of_batch.detach())

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the complete state to the file."""
        optimiser = self.optimiser.state_dict()["state"]
        states = {"best": self.best} | {f"optimiser.{index}": state for index, state in optimiser.items()}
        states |= {"network": self.network.state_dict(), "average": self.average.state_dict()}
        tensors = {f"{of}.{name}": tensor for of, state in states.items() for name, tensor in state.items()}
        tensors |= {"rng": self.rng.get_state(), "dropout": self.drawn_from.get_rng_state()}
        reached = {"curve": self.curve, "best_epoch": self.best_epoch, "step": self.step}
        facts = reached | {"run": self._run(checkpoint), "scaler": self.scaler.state_dict()}
        save_tensors(checkpoint.path, tensors, checkpoint.provenance, **facts)

    def load(self, checkpoint: Checkpoint) -> bool:
        """Restore the state from the file. Returns False if there is none of the same training."""
        path = checkpoint.path
        if not is_complete(path) or facts_of(path).get("run") != self._run(checkpoint):
            return False
        facts, tensors = facts_of(path), load_tensors(path)
        self.network.load_state_dict(with_prefix(tensors, "network."))
        self.average.load_state_dict(with_prefix(tensors, "average."))
        self.best = with_prefix(tensors, "best.")
        optimiser = self.optimiser.state_dict()
        optimiser["state"] = {
            index: _laid_out_as(weight, with_prefix(tensors, f"optimiser.{index}."))
            for index, weight in enumerate(self.learning)
        }
        self.optimiser.load_state_dict(optimiser)
        self.rng.set_state(tensors["rng"])
        self.drawn_from.set_rng_state(tensors["dropout"])
        self.scaler.load_state_dict(facts["scaler"])
        self.curve, self.best_epoch, self.step = facts["curve"], facts["best_epoch"], facts["step"]
        return True

    def _run(self, checkpoint: Checkpoint) -> str:
        """Fingerprint of everything that the weights depend on."""
        made = checkpoint.provenance
        return fingerprint(asdict(self.schedule), self.seed, made.parameters, made.inputs, made.seed)


def _set_training(network: nn.Module) -> None:
    """Set training mode, except for frozen modules, so that their batch statistics stay frozen too."""
    for module in network.train().modules():
        weights = list(module.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            module.eval()


@torch.no_grad()
def move_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Update a moving average of weights with a network's; integer buffers are copied."""
    for mean, value in zip(average.state_dict().values(), network.state_dict().values()):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _laid_out_as(weight: Tensor, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return an optimiser's state in its weight's memory format, which files do not preserve."""
    return {
        name: tensor if name == "step" else torch.empty_like(weight.detach()).copy_(tensor)
        for name, tensor in state.items()
    }
