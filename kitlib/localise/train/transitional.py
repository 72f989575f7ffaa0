"""Train and calibrate the network of the lumbosacral junction."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor

from kitlib.artefacts import Provenance, discard, facts_of, parameters_of, save_tensors, sha256
from kitlib.localise.network import HeatmapNet, channels, load_networks, named_tensors, stretched
from kitlib.localise.sagittal import SURE
from kitlib.localise.spine import MOST_SURE
from kitlib.localise.train.augment import GREYS
from kitlib.localise.train.transitional_samples import DRAWN_MM, TRANSITIONAL_SHARE, Bags
from kitlib.localise.transitional import CROP_PX, NAME, SHARE, JunctionNet
from kitlib.machine import torch_threads
from kitlib.nn.augment import Moves, moved
from kitlib.nn.loop import Checkpoint, Schedule, train
from kitlib.nn.rows import shuffled_evenly
from kitlib.nn.shards import held_out
from kitlib.nn.weights import load_weights

HELD_OUT = 0.15
BATCH, SEEN_SLICES = 16, 4
LEARNING_RATE, WEIGHT_DECAY = 1.5e-3, 0.05
LEARNING_LAYERS = 2  # the deepest: those above already recognise edges and tissues in any contrast
SMOOTHING = 0.05  # of labels: patients are further from phantoms than phantoms from each other
# The shift of 2.5 mm is the localiser's error.
MOVES = Moves(turn_deg=5.0, log_scale=0.13, log_stretch=0.06, shift=2.5 / (DRAWN_MM * CROP_PX / 2))
MIDDLE_RATE = 0.35  # of batches that see only one to three middle slices
CUT_RATE, CUT_SHARE = 0.25, 0.35  # of crops whose image ends below or behind, and the most that is missing
DOUBT = 2 * (1 - SURE / MOST_SURE)  # probability above which an otherwise certain count leads to abstention
# On held-out phantoms 1 would do. But single slices of patients scatter by 1.6 in the logit, unlike those of
# phantoms: so doubt takes a logit of 2, which every lumbarised phantom has and few sacralised ones.
TEMPERATURES = np.geomspace(3, 12, 15)


def train_junction(weights: Path, bags: Bags, *, epochs: int, seed: int = 2024) -> dict[str, float]:
    """Train on bags, starting from a file's sagittal network, and add the result to that file.

    Returns the metrics on held-out persons.
    """
    last = held_out(bags.persons, HELD_OUT)
    made = Provenance({"persons": len(bags)}, {Path(weights).name: sha256(weights)}, seed)
    checkpoint = unfinished(weights, NAME, made)
    with torch_threads(1), torch.random.fork_rng():  # crops are small: more threads do not help
        torch.manual_seed(seed)
        net = begun(load_networks(weights)["sagittal"])
        schedule = Schedule(epochs, LEARNING_RATE, WEIGHT_DECAY, warm_up=0.15, average_decay=0.99)
        train(net, BagBatches(bags.take(~last)), bag_loss, schedule, seed, checkpoint=checkpoint, title=NAME)
        net.requires_grad_(False)
        calibrate(net, bags.take(last))
        metrics = evaluate(net, bags.take(last))
    add_junction(weights, net, metrics)
    discard(checkpoint.path)
    return metrics


def unfinished(weights: Path, name: str, made: Provenance) -> Checkpoint:
    """The checkpoint from which the training of one of a file's networks resumes."""
    return Checkpoint(Path(weights).with_name(f"{Path(weights).name}.{name}.unfinished"), made)


def begun(sagittal: HeatmapNet) -> JunctionNet:
    """Build a network with a sagittal network's encoder, its upper layers frozen, and a new head."""
    net = JunctionNet(sagittal.widths)
    net.stem.load_state_dict(sagittal.stem.state_dict())
    net.down.load_state_dict(sagittal.down.state_dict())
    for part in (net.stem, *net.down[:-LEARNING_LAYERS]):
        part.requires_grad_(False)
    return net


def add_junction(weights: Path, net: JunctionNet, metrics: Mapping[str, float]) -> None:
    """Write the network into a file of weights, leaving its other tensors and facts unchanged."""
    facts, others = facts_of(weights), load_weights(weights)
    kept = {name: tensor for name, tensor in others.items() if not name.startswith(f"{NAME}.")}
    facts["widths"] = {**facts["widths"], NAME: list(net.widths)}
    facts["metrics"] = {**facts["metrics"], NAME: dict(metrics)}
    provenance = Provenance(parameters_of(weights), inputs={Path(weights).name: sha256(weights)})
    save_tensors(weights, kept | named_tensors(NAME, net), provenance, **facts)


class BagBatches:
    """Batches with some slices of each bag, augmented anew each time."""

    def __init__(self, bags: Bags) -> None:
        self.bags = bags

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:
        """Split all bags into batches."""
        return shuffled_evenly(np.arange(len(self.bags)), BATCH, rng)

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Crops (B, S, 2, 64, 64) and whether they are of transitional vertebrae (B,)."""
        images, labels = self.bags.images[rows], torch.from_numpy(self.bags.kinds[rows] > 0).float()
        if rng is not None:
            images = images[:, _drawn_slices(images.shape[1], rng)]
        return seen(images, rng), labels


def bag_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with smoothed labels."""
    return F.binary_cross_entropy_with_logits(logits, labels * (1 - 2 * SMOOTHING) + SMOOTHING)


def _drawn_slices(count: int, rng: torch.Generator) -> np.ndarray:
    """Draw the slices to use: a few in the middle, or some of all."""
    if torch.rand((), generator=rng) < MIDDLE_RATE:
        few = int(torch.randint(1, 4, (), generator=rng))
        return np.sort(count // 2 - 1 + torch.randperm(3, generator=rng).numpy()[:few])
    return np.sort(torch.randperm(count, generator=rng).numpy()[:SEEN_SLICES])


def seen(images: np.ndarray, rng: torch.Generator | None = None) -> Tensor:
    """Network inputs (B, S, 2, 64, 64) from crops (B, S, 80, 80), augmented if a generator is given."""
    count, slices, *_, drawn_px = images.shape
    greys = torch.from_numpy(images).float()
    if rng is None:
        edge = (drawn_px - CROP_PX) // 2
        crops = stretched(greys[..., edge : edge + CROP_PX, edge : edge + CROP_PX].flatten(0, 1))[:, None]
    else:
        affine = MOVES.draw(count, rng).scaled(CROP_PX / drawn_px)
        crops = moved(greys, affine, size=(CROP_PX, CROP_PX)) * _drawn_cuts(count, rng)
        crops = GREYS.change(stretched(crops.flatten(0, 1))[:, None], rng)
    return channels(crops).unflatten(0, (count, slices))


def _drawn_cuts(count: int, rng: torch.Generator) -> Tensor:
    """Random masks (B, 1, 64, 64): 0 beyond the end of an image, below or behind."""
    cut = torch.rand(count, 2, generator=rng) < CUT_RATE
    ends = torch.where(cut, 1 - CUT_SHARE * torch.rand(count, 2, generator=rng), 1.0) * CROP_PX
    inside = torch.arange(CROP_PX) < ends[..., None]
    return (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None].float()


@torch.inference_mode()
def predicted(net: JunctionNet, bags: Bags) -> np.ndarray:
    """Predict logits (n,) of whole bags."""
    parts = [net(seen(bags.images[start : start + BATCH])) for start in range(0, len(bags), BATCH)]
    return torch.cat(parts).numpy()


def calibrate(net: JunctionNet, bags: Bags) -> None:
    """Set the temperature of least cross-entropy on held-out bags, and the offset to the true prevalence."""
    labels = torch.from_numpy(bags.kinds > 0).float()
    logits = torch.from_numpy(predicted(net, bags))
    costs = [F.binary_cross_entropy_with_logits(logits / float(heat), labels) for heat in TEMPERATURES]
    net.temperature.fill_(float(TEMPERATURES[int(torch.stack(costs).argmin())]))
    net.offset.fill_(float(np.log(SHARE / (1 - SHARE) / TRANSITIONAL_SHARE * (1 - TRANSITIONAL_SHARE))))


def evaluate(net: JunctionNet, bags: Bags) -> dict[str, float]:
    """AUC, and the shares of transitional and of other bags that would lead to abstention."""
    labels, chances = bags.kinds > 0, 1 / (1 + np.exp(-predicted(net, bags)))
    doubted = chances > DOUBT
    if labels.all() or not labels.any():
        return {}  # only one class
    values = {
        "auc": roc_auc_score(labels, chances),
        "sensitivity": doubted[labels].mean(),
        "false_alarms": doubted[~labels].mean(),
    }
    return {name: round(float(value), 4) for name, value in values.items()}
