"""Train the localiser's networks on pools of phantoms, and fine-tune them on points of a competition."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from kitlib.artefacts import Provenance, discard, facts_of, sha256
from kitlib.competition.root import Competition
from kitlib.localise.audit.annotated import annotated_pool
from kitlib.localise.network import (
    GRID,
    PX_MM,
    HeatmapNet,
    build_network,
    load_networks,
    network_to_heatmap,
    peaks,
    plane2landmarks,
    save_networks,
)
from kitlib.localise.train.augment import Batch, draw_moves, draw_warp, seen
from kitlib.localise.train.samples import Pool
from kitlib.localise.train.transitional import add_junction, unfinished
from kitlib.localise.transitional import NAME, load_junction
from kitlib.machine import cores, device, half_precision, torch_threads
from kitlib.mri.stack import Plane
from kitlib.nn.augment import Affine
from kitlib.nn.loop import Schedule, train
from kitlib.nn.rows import shuffled_evenly
from kitlib.nn.shards import held_out

HELD_OUT = 0.1
BATCH = 16
LEARNING_RATE = 2e-3
AVERAGE_DECAY = 0.998
GENTLER = 0.2  # of the learning rate, for pretrained networks
SPREAD_STEPS = 0.8  # of the target Gaussian: 2.9 mm sagittal, 1.3 mm axial
DISTANCE_WEIGHT = 0.02
TEMPERATURES = np.exp(np.linspace(-0.8, 0.8, 17))
CALIBRATION_SLICES = 512

Metrics = dict[str, dict[str, float]]


def train_localiser(
    out: Path,
    samples: Mapping[Plane, Pool],
    *,
    epochs: int,
    seed: int = 2024,
    widths: Mapping[Plane, tuple[int, ...]] | None = None,
    start: Path | None = None,
    **facts: Any,
) -> dict[Plane, Metrics]:
    """Train the network of each plane on its pool; save them to `out` after each epoch, with their metrics.

    The last tenth of the persons is held out, for metrics and to set the temperatures. `start` is a file of
    networks to start from. An interrupted training resumes where it stopped. `facts`, such as the command,
    are kept beside the weights.
    """
    nets: dict[Plane, HeatmapNet] = dict(load_networks(start)) if start else {}
    metrics: dict[Plane, Metrics] = {}
    sizes = {plane: len(pool) for plane, pool in samples.items()}
    inputs = {"start": sha256(start)} if start else {}
    provenance = Provenance({"epochs": epochs, "slices": sizes}, inputs, seed)
    checkpoints = {plane: unfinished(out, plane, provenance) for plane in samples}

    def save(plane: Plane, unseen: Pool, epoch: int, average: nn.Module) -> None:
        nets[plane] = copy.deepcopy(average)  # type: ignore[assignment]
        if epoch == epochs:
            calibrate(nets[plane], plane, unseen)
        metrics[plane] = evaluate(nets[plane], plane, unseen)
        temperatures = {name: net.temperature.tolist() for name, net in nets.items()}
        save_networks(out, nets, provenance, metrics=metrics, temperatures=temperatures, **facts)

    with torch_threads(cores()), torch.random.fork_rng():
        for plane, pool in samples.items():
            torch.manual_seed(seed)
            last = held_out(pool.persons, HELD_OUT)
            rate = LEARNING_RATE * (GENTLER if plane in nets else 1)
            net = nets.get(plane) or build_network(plane, (widths or {}).get(plane))
            train(
                net.requires_grad_(True).to(device(), memory_format=torch.channels_last),  # type: ignore[call-overload]
                PoolBatches(plane, pool.take(~last)),
                heatmap_loss,
                Schedule(epochs, rate, warm_up=0.2, average_decay=AVERAGE_DECAY, half=True),
                seed,
                after_epoch=partial(save, plane, pool.take(last)),
                checkpoint=checkpoints[plane],
                in_thread=device().type != "cpu",
                title=plane,
            )
    for checkpoint in checkpoints.values():
        discard(checkpoint.path)
    return metrics


def finetune(
    weights: Path,
    competition: Competition,
    out: Path,
    *,
    epochs: int,
    points: pd.DataFrame | None = None,
    phantoms: Mapping[Plane, Pool] | None = None,
    seed: int = 2024,
    workers: int = 1,
    **facts: Any,
) -> dict[Plane, Metrics]:
    """Fine-tune the networks of `weights` on the points of a competition folder, or on corrected `points`.

    T12/L1 and S1/S2 are not annotated: mixing in pools of `phantoms` keeps the networks from forgetting them.
    Metrics are those of the last tenth of the studies.
    """
    samples: dict[Plane, Pool] = {}
    for plane in load_networks(weights):
        pool = annotated_pool(competition, plane, points=points, seed=seed, workers=workers)
        # The last tenth is held out, so phantoms, numbered from -1 down, are never in it.
        extra = [replace(phantoms[plane], persons=-1 - phantoms[plane].persons)] if phantoms else []
        samples[plane] = Pool.joined([*extra, pool])
    metrics = train_localiser(out, samples, epochs=epochs, seed=seed, start=weights, **facts)
    if (junction := load_junction(weights)) is not None:  # landmarks do not show what is transitional
        add_junction(out, junction, facts_of(weights)["metrics"][NAME])
    return metrics


class PoolBatches:
    """Batches of a pool's slices, augmented anew each time."""

    def __init__(self, plane: Plane, pool: Pool) -> None:
        self.plane, self.pool = plane, pool

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:
        """Split all slices into batches."""
        return shuffled_evenly(np.arange(len(self.pool)), BATCH, rng)

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Images (B, 2, 192, 192), and the places and visibility of their landmarks."""
        pool = self.pool.take(rows)
        affine = draw_moves(self.plane, len(pool), rng) if rng else Affine.identity(len(pool))
        warp = draw_warp(self.plane, len(pool), rng) if rng else None
        batch = seen(self.plane, pool, affine, warp, rng)
        images = batch.images.to(device(), memory_format=torch.channels_last)
        return images, (batch.places.to(device()), batch.visibility.to(device()))


def heatmap_loss(logits: Tensor, truth: tuple[Tensor, Tensor]) -> Tensor:
    """Cross-entropy of places and visibility, plus a small L1 distance of the mean from the place."""
    places, visibility = (tensor.to(logits) for tensor in truth)
    shown = visibility.nan_to_num()
    known = ~visibility.isnan()
    entropy = (cross_entropy(logits, places, shown) * known).sum() / known.sum().clamp(min=1)
    far = (mean_distance(logits, places) * shown).sum() / shown.sum().clamp(min=1)
    return entropy + DISTANCE_WEIGHT * far


def cross_entropy(logits: Tensor, places: Tensor, shown: Tensor) -> Tensor:
    """Cross-entropy (B, C) to a Gaussian around places (B, C, 2), of mass `shown` (B, C), the rest absent."""
    grid = logits[..., :-1].unflatten(-1, (GRID, GRID))
    steps = torch.arange(GRID, device=logits.device)
    middles = network_to_heatmap(places).clamp(0, GRID - 1)
    away = (steps - middles[..., None]) / SPREAD_STEPS  # (B, C, 2, GRID)
    along = (-0.5 * away**2).softmax(dim=-1)
    expected = torch.einsum("bcij,bci,bcj->bc", grid, along[..., 1, :], along[..., 0, :])
    return logits.logsumexp(dim=-1) - shown * expected - (1 - shown) * logits[..., -1]


def mean_distance(logits: Tensor, places: Tensor) -> Tensor:
    """Distance (B, C) in grid steps, along x plus along y, of the heatmap's mean from places (B, C, 2)."""
    shares = logits[..., :-1].softmax(dim=-1).unflatten(-1, (GRID, GRID))
    steps = torch.arange(GRID, device=logits.device, dtype=shares.dtype)
    means = torch.stack([shares.sum(dim=2) @ steps, shares.sum(dim=3) @ steps], dim=-1)
    return (means - network_to_heatmap(places)).abs().sum(dim=-1)


@torch.inference_mode()
def predicted(net: HeatmapNet, plane: Plane, pool: Pool) -> Iterator[tuple[Batch, Tensor]]:
    """Yield batches of the pool's slices, not augmented, with a network's logits on the CPU."""
    half, on = half_precision(), next(net.parameters()).device
    for start in range(0, len(pool), 2 * BATCH):
        part = pool.take(np.arange(start, min(start + 2 * BATCH, len(pool))))
        batch = seen(plane, part, Affine.identity(len(part)))
        with torch.autocast(on.type, dtype=half, enabled=half is not None):
            logits = net(batch.images.to(on))
        yield batch, logits.cpu()


def calibrate(net: HeatmapNet, plane: Plane, pool: Pool) -> None:
    """Set one temperature for each kind of landmark, with the least cross-entropy on held-out slices."""
    sums = np.zeros((len(TEMPERATURES), len(net.temperature)))
    for batch, logits in predicted(net, plane, pool.take(np.arange(len(pool))[:CALIBRATION_SLICES])):
        known = ~batch.visibility.isnan()
        for row, temperature in enumerate(TEMPERATURES):
            entropy = cross_entropy(logits / temperature, batch.places, batch.visibility.nan_to_num())
            sums[row] += (entropy * known).sum(dim=0).numpy()
    for own in place2channels(plane).values():
        best = TEMPERATURES[sums[:, own].sum(axis=1).argmin()]
        net.temperature[torch.from_numpy(own)] *= float(best)


def place2channels(plane: Plane) -> dict[str, np.ndarray]:
    """For each kind of landmark, a mask (C,) of the network's channels."""
    places = np.array([landmark.place for landmark in plane2landmarks[plane]])
    return {str(place): places == place for place in dict.fromkeys(places)}


def evaluate(net: HeatmapNet, plane: Plane, pool: Pool) -> Metrics:
    """Metrics by kind of landmark: errors of visible points in mm, accuracy of level or side, visibility.

    A level is right if no other place of its kind on the slice is nearer to the point.
    """
    parts = [(*peaks(out), batch.places, batch.visibility) for batch, out in predicted(net, plane, pool)]
    found, chance, true, seen_there = (torch.cat(arrays).numpy() for arrays in zip(*parts))
    mm = PX_MM[plane]
    return {
        place: _measured(found[:, own] * mm, true[:, own] * mm, chance[:, own], seen_there[:, own])
        for place, own in place2channels(plane).items()
    }


def _measured(
    found_mm: np.ndarray, true_mm: np.ndarray, chance: np.ndarray, visibility: np.ndarray
) -> dict[str, float]:
    """Metrics of (n, C, 2) places in mm and their visibility (n, C)."""
    visible, known = visibility >= 0.5, ~np.isnan(visibility)
    apart = np.linalg.norm(found_mm[:, :, None] - true_mm[:, None], axis=-1)  # (n, found, true)
    error = np.diagonal(apart, axis1=1, axis2=2)[visible]
    right = (apart.argmin(axis=2) == np.arange(apart.shape[1]))[visible]
    hits = [((chance >= 0.5) == seen)[known & (visible == seen)] for seen in (True, False)]
    recalls = [hit.mean() for hit in hits if hit.size]
    values = {
        "median_mm": np.median(error) if error.size else np.nan,
        "p95_mm": np.quantile(error, 0.95) if error.size else np.nan,
        "level_accuracy": right.mean() if right.size else np.nan,
        "visibility_accuracy": np.mean(recalls) if recalls else np.nan,
    }
    return {name: round(float(value), 4) for name, value in values.items()}
