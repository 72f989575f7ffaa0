"""Training a network on padded studies: the schedule, the average of weights, and when to stop."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from kitlib.machine import device
from kitlib.models.neural.batches import StudyTensors, drop_slices
from kitlib.models.neural.losses import Loss, metric_loss
from kitlib.terms import EMPTY

IDLE = "training found nothing better"
"""Why a network is as it began, for the notes of models."""
AVERAGE_DECAY = 0.97
"""Of the moving average of weights, per step: about the last thirty steps."""


@dataclass(frozen=True)
class Schedule:
    """How long and how hard to train."""

    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    slice_dropout: float
    view_dropout: float
    patience: int  # epochs without a better validation loss


def train(
    network: nn.Module,
    tensors: StudyTensors,
    labels: np.ndarray,
    rows: np.ndarray,
    held_out: np.ndarray,
    schedule: Schedule,
    seed: int,
    loss: Loss = metric_loss,
) -> list[dict[str, Any]]:
    """Train on `rows`, leave the network as it was best on `held_out`, and return its curve, a row an epoch.

    Epoch 0 is the network as given. Where nothing held out is labelled all epochs are run and the last one
    stays; else a loss that is no longer a number ends the training.
    """
    random = torch.Generator().manual_seed(seed)
    target = torch.from_numpy(labels.astype(np.int64)).to(device())
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    average = copy.deepcopy(network).eval()
    best, best_epoch = copy.deepcopy(average.state_dict()), 0
    is_judged = len(held_out) > 0 and bool((target[held_out] != EMPTY).any())
    curve: list[dict[str, Any]] = []
    for epoch in range(schedule.epochs + 1):
        trained = np.nan
        if epoch:
            trained = _epoch(network, average, optimiser, tensors, target, rows, schedule, random, loss)
        valid = evaluate(average, tensors, target, held_out, loss)
        curve.append({"epoch": epoch, "train_loss": trained, "valid_loss": valid})
        if not is_judged or valid < curve[best_epoch]["valid_loss"]:
            best, best_epoch = copy.deepcopy(average.state_dict()), epoch
        elif epoch - best_epoch >= schedule.patience or (epoch and np.isnan(valid)):
            break
    network.load_state_dict(best)
    network.eval()
    return curve


def learned_nothing(curve: list[dict[str, Any]]) -> bool:
    """Whether training left a network as it was given: no epoch did better on what was held out."""
    start, *trained = [row["valid_loss"] for row in curve] or [np.nan]
    return bool(trained) and not np.isnan(start) and not any(loss < start for loss in trained)


def _epoch(
    network: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    tensors: StudyTensors,
    target: torch.Tensor,
    rows: np.ndarray,
    schedule: Schedule,
    random: torch.Generator,
    loss: Loss,
) -> float:
    """One pass over the studies in random order; the mean loss of its steps."""
    network.train()
    losses = []
    for part in chunks(rows[torch.randperm(len(rows), generator=random).numpy()], schedule.batch):
        if not (target[part] != EMPTY).any():
            continue
        dropped = [
            drop_slices(view, schedule.slice_dropout, schedule.view_dropout, random)
            for view in tensors.batch(part)
        ]
        of_batch = loss(network(dropped), target[part])
        optimiser.zero_grad()
        of_batch.backward()
        optimiser.step()
        _move_average(average, network)
        losses.append(float(of_batch.detach()))
    return float(np.mean(losses)) if losses else float("nan")


@torch.no_grad()
def _move_average(average: nn.Module, network: nn.Module) -> None:
    for mean, weight in zip(average.parameters(), network.parameters()):
        mean.lerp_(weight, 1 - AVERAGE_DECAY)


@torch.inference_mode()
def predict_logits(network: nn.Module, tensors: StudyTensors, rows: np.ndarray) -> torch.Tensor:
    """Logits (n, 25, 3) on the CPU, a few studies at a time."""
    network.eval()
    parts = [network(tensors.batch(part)).cpu() for part in chunks(rows, 64)]
    return torch.cat(parts)


def chunks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """The rows in order, `size` at a time."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def evaluate(
    network: nn.Module,
    tensors: StudyTensors,
    target: torch.Tensor,
    rows: np.ndarray,
    loss: Loss = metric_loss,
) -> float:
    """The loss on some studies; NaN where none is labelled."""
    if not len(rows) or not (target[rows] != EMPTY).any():
        return float("nan")
    return float(loss(predict_logits(network, tensors, rows), target[rows].cpu()))
