"""Training the network of the lumbosacral junction, and calibrating what it says."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from timm.utils import ModelEmaV3
from torch import Tensor
from tqdm.auto import tqdm

from kitlib.artefacts import Provenance, facts_of, load_tensors, save_tensors, sha256
from kitlib.localise.network import HeatmapNet, channels, load_networks, named_tensors, stretched
from kitlib.localise.train.augment import regreyed
from kitlib.localise.train.transitional_samples import DRAWN_MM, TRANSITIONAL_SHARE, Bags
from kitlib.localise.transitional import CROP_PX, NAME, SHARE, JunctionNet
from kitlib.machine import torch_threads

HELD_OUT = 0.15
BATCH, SEEN_SLICES = 16, 4
LEARNING_RATE, WEIGHT_DECAY = 1.5e-3, 0.05
LEARNING_LAYERS = 2  # the deepest: those above know edges and tissues in any contrast already
SMOOTHING = 0.05  # of labels: patients are further from phantoms than phantoms from each other
TURN_DEG, SHIFT_MM = 5.0, 2.5  # standard deviations: what the localiser is off by
JITTER, STRETCH = 0.13, 0.06  # of the scale, and of width against height
MIDDLE_RATE = 0.35  # of batches that see one to three middle slices alone
CUT_RATE, CUT_SHARE = 0.25, 0.35  # crops whose image ends below or behind, and most of what they lack
DOUBT = 0.2  # chance above which a count that is else certain is one to abstain from
# Phantoms held out would do with 1. But one slice of a patient strays by 1.6 in the logit, as phantoms do
# not: so a doubt takes a logit of 2, which every lumbarised phantom has and few sacralised ones.
TEMPERATURES = np.geomspace(3, 12, 15)


def train_junction(weights: Path, bags: Bags, *, epochs: int, seed: int = 2024) -> dict[str, float]:
    """Train on bags, starting from a file's sagittal network, and add what was learnt to that file.

    Gives the metrics of persons held out.
    """
    learnt, held_out = split_persons(bags)
    with torch_threads(1), torch.random.fork_rng():  # crops are small: more threads gain nothing
        torch.manual_seed(seed)
        net = trained(begun(load_networks(weights)["sagittal"]), learnt, epochs, seed)
        calibrate(net, held_out)
        metrics = evaluate(net, held_out)
    add_junction(weights, net, metrics)
    return metrics


def begun(sagittal: HeatmapNet) -> JunctionNet:
    """A network that sees as a sagittal one does, and has no answer yet."""
    net = JunctionNet(sagittal.widths)
    net.stem.load_state_dict(sagittal.stem.state_dict())
    net.down.load_state_dict(sagittal.down.state_dict())
    return net


def add_junction(weights: Path, net: JunctionNet, metrics: Mapping[str, float]) -> None:
    """Write the network into a file of weights, whose other tensors and facts stay as they are."""
    facts, others = facts_of(weights), load_tensors(weights)
    kept = {name: one for name, one in others.items() if not name.startswith(f"{NAME}.")}
    facts["widths"] = {**facts["widths"], NAME: list(net.widths)}
    facts["metrics"] = {**facts["metrics"], NAME: dict(metrics)}
    provenance = Provenance(inputs={Path(weights).name: sha256(weights)})
    save_tensors(weights, kept | named_tensors(NAME, net), provenance, **facts)


def trained(net: JunctionNet, bags: Bags, epochs: int, seed: int) -> JunctionNet:
    """The running average of the weights of a network that learns from bags; its upper layers stay."""
    rng = np.random.default_rng(seed)
    net.train()
    for part in (net.stem, *net.down[:-LEARNING_LAYERS]):
        part.eval().requires_grad_(False)
    average = ModelEmaV3(net, decay=0.99, use_warmup=True)
    learning = [one for one in net.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * max(1, len(bags) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps + 1, pct_start=0.15)
    order = np.concatenate([rng.permutation(len(bags)) for _ in range(epochs)])
    for step, rows in enumerate(tqdm(np.array_split(order, steps), desc=NAME, mininterval=1), 1):
        loss = batch_loss(net, bags.take(rows), rng)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update(net, step=step)
    return average.module.eval().requires_grad_(False)


def batch_loss(net: JunctionNet, bags: Bags, rng: np.random.Generator) -> Tensor:
    """Cross-entropy of some slices of each bag, seen a little differently each time, with smoothed labels."""
    labels = torch.from_numpy(bags.kinds > 0).float()
    logits = net(seen(bags.images[:, _drawn_slices(bags.images.shape[1], rng)], rng))
    return F.binary_cross_entropy_with_logits(logits, labels * (1 - 2 * SMOOTHING) + SMOOTHING)


def _drawn_slices(count: int, rng: np.random.Generator) -> np.ndarray:
    """Which slices are seen this time: a few in the middle, or some of all."""
    if rng.random() < MIDDLE_RATE:
        middle = np.arange(count // 2 - 1, count // 2 + 2)
        return np.sort(rng.permutation(middle)[: rng.integers(1, 4)])
    return np.sort(rng.permutation(count)[:SEEN_SLICES])


def seen(images: np.ndarray, rng: np.random.Generator | None = None) -> Tensor:
    """What the network sees (B, S, 2, 64, 64) of crops (B, S, 80, 80), at random with a generator."""
    count, slices = images.shape[:2]
    greys = torch.from_numpy(images).float()
    if rng is None:
        edge = (images.shape[-1] - CROP_PX) // 2
        crops = greys[..., edge : edge + CROP_PX, edge : edge + CROP_PX].flatten(0, 1)[:, None]
        return channels(stretched(crops[:, 0])[:, None]).unflatten(0, (count, slices))
    moves = _drawn_moves(count, images.shape[-1], rng)
    grid = F.affine_grid(moves, [count, 1, CROP_PX, CROP_PX], align_corners=False)
    crops = F.grid_sample(greys, grid, align_corners=False) * _drawn_cuts(count, rng)
    crops = regreyed(stretched(crops.flatten(0, 1))[:, None], rng)
    return channels(crops).unflatten(0, (count, slices))


def _drawn_moves(count: int, drawn_px: int, rng: np.random.Generator) -> Tensor:
    """Affine moves (B, 2, 3) of crops within what was drawn."""
    angle = np.radians(rng.normal(0, TURN_DEG, count))
    stretch = rng.normal(0, STRETCH, (count, 1)) * [1, -1]
    scale = np.exp(rng.uniform(-JITTER, JITTER, (count, 1)) + stretch)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1).reshape(-1, 2, 2)
    shift = rng.normal(0, 2 * SHIFT_MM / (DRAWN_MM * drawn_px), (count, 2, 1))
    moves = np.concatenate([turn * scale[:, None] * CROP_PX / drawn_px, shift], axis=2)
    return torch.from_numpy(moves).float()


def _drawn_cuts(count: int, rng: np.random.Generator) -> Tensor:
    """Masks (B, 1, 64, 64): 0 beyond the end of an image, below or behind."""
    ends = np.where(rng.random((count, 2)) < CUT_RATE, 1 - CUT_SHARE * rng.random((count, 2)), 1.0) * CROP_PX
    inside = np.arange(CROP_PX) < ends[..., None]
    return torch.from_numpy(inside[:, 0, :, None] & inside[:, 1, None, :])[:, None].float()


def split_persons(bags: Bags) -> tuple[Bags, Bags]:
    """The bags without the last of the persons, and theirs."""
    persons = np.unique(bags.persons)
    held_out = np.isin(bags.persons, persons[-max(1, round(HELD_OUT * len(persons))) :])
    return bags.take(~held_out), bags.take(held_out)


@torch.inference_mode()
def predicted(net: JunctionNet, bags: Bags) -> np.ndarray:
    """Logits (n,) of whole bags."""
    parts = [net(seen(bags.images[start : start + BATCH])) for start in range(0, len(bags), BATCH)]
    return torch.cat(parts).numpy()


def calibrate(net: JunctionNet, bags: Bags) -> None:
    """Set the temperature of least cross-entropy on bags held out, and the offset of the true share."""
    labels = torch.from_numpy(bags.kinds > 0).float()
    logits = torch.from_numpy(predicted(net, bags))
    costs = [F.binary_cross_entropy_with_logits(logits / float(one), labels) for one in TEMPERATURES]
    net.temperature.fill_(float(TEMPERATURES[int(torch.stack(costs).argmin())]))
    net.offset.fill_(float(np.log(SHARE / (1 - SHARE) / TRANSITIONAL_SHARE * (1 - TRANSITIONAL_SHARE))))


def evaluate(net: JunctionNet, bags: Bags) -> dict[str, float]:
    """Area under the curve, and the shares of transitional and of other bags that would raise a doubt."""
    labels, chances = bags.kinds > 0, 1 / (1 + np.exp(-predicted(net, bags)))
    doubted = chances > DOUBT
    if labels.all() or not labels.any():
        return {}  # nothing to tell apart
    values = {
        "auc": roc_auc_score(labels, chances),
        "sensitivity": doubted[labels].mean(),
        "false_alarms": doubted[~labels].mean(),
    }
    return {name: round(float(value), 4) for name, value in values.items()}
