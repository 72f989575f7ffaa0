"""Training a network on padded studies: the loss, the schedule, the average of weights, and when to stop."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from kitlib.competition.metric import group2cells
from kitlib.machine import device
from kitlib.models.batches import StudyTensors, drop_slices
from kitlib.terms import EMPTY, SEVERITY_WEIGHTS

SEVERE = len(SEVERITY_WEIGHTS) - 1
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


def metric_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The competition metric of a batch, to be descended: logits (B, 25, 3), labels (B, 25) with EMPTY.

    Mean of the weighted log loss of the three condition groups and of any_severe_spinal, without the terms
    for which the batch has no label.
    """
    severity_weights = torch.tensor(SEVERITY_WEIGHTS, dtype=logits.dtype, device=logits.device)
    labelled = labels != EMPTY
    target = labels.clamp_min(0).long()
    weights = severity_weights[target] * labelled
    log_probabilities = logits.log_softmax(-1)
    losses = -log_probabilities.gather(-1, target[..., None])[..., 0] * weights
    terms = [(losses[:, cells].sum(), weights[:, cells].sum()) for cells in group2cells.values()]

    spinal = group2cells["spinal"]
    severe = log_probabilities[:, spinal, SEVERE].masked_fill(~labelled[:, spinal], -30.0).amax(-1)
    # exp(severe) may round to one, whose complement has no logarithm.
    benign = torch.log1p(-severe.exp().clamp_max(1 - 1e-6))
    any_severe = (labels[:, spinal] == SEVERE).any(-1)
    study_weights = weights[:, spinal].amax(-1)
    terms.append((-(torch.where(any_severe, severe, benign) * study_weights).sum(), study_weights.sum()))
    return torch.stack([loss / weight for loss, weight in terms if weight > 0]).mean()


def train(
    network: nn.Module,
    tensors: StudyTensors,
    labels: np.ndarray,
    rows: np.ndarray,
    held_out: np.ndarray,
    schedule: Schedule,
    seed: int,
) -> list[dict[str, Any]]:
    """Train on `rows`, leave the network as it was best on `held_out`, and return its curve, a row an epoch.

    Epoch 0 is the network as given. With nothing held out all epochs are run and the last one stays.
    """
    random = torch.Generator().manual_seed(seed)
    target = torch.from_numpy(labels.astype(np.int64)).to(device())
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    average = copy.deepcopy(network).eval()
    best, best_epoch = copy.deepcopy(average.state_dict()), 0
    curve: list[dict[str, Any]] = []
    for epoch in range(schedule.epochs + 1):
        loss = (
            _epoch(network, average, optimiser, tensors, target, rows, schedule, random) if epoch else np.nan
        )
        valid = evaluate(average, tensors, target, held_out)
        curve.append({"epoch": epoch, "train_loss": loss, "valid_loss": valid})
        # Also true where the losses are NaN: with nothing held out the newest weights are kept.
        if not curve[best_epoch]["valid_loss"] <= curve[epoch]["valid_loss"]:
            best, best_epoch = copy.deepcopy(average.state_dict()), epoch
        elif epoch - best_epoch >= schedule.patience:
            break
    network.load_state_dict(best)
    network.eval()
    return curve


def _epoch(
    network: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    tensors: StudyTensors,
    target: torch.Tensor,
    rows: np.ndarray,
    schedule: Schedule,
    random: torch.Generator,
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
        loss = metric_loss(network(dropped), target[part])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        _move_average(average, network)
        losses.append(float(loss.detach()))
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


def evaluate(network: nn.Module, tensors: StudyTensors, target: torch.Tensor, rows: np.ndarray) -> float:
    """The metric on some studies; NaN where none is labelled."""
    if not len(rows) or not (target[rows] != EMPTY).any():
        return float("nan")
    return float(metric_loss(predict_logits(network, tensors, rows), target[rows].cpu()))
