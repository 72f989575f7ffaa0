"""Training the shipped backbone on phantoms: where does a slice lie, and what is narrow in it?"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from joblib import Parallel, delayed
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from tqdm.auto import tqdm

from kitlib.artefacts import Provenance, save_tensors
from kitlib.embed.backbone import build_network, known_backbone, network_input
from kitlib.embed.targets import AXIAL_PLACES, FINDINGS, PLACES, Slices, mirrored_findings, study_slices
from kitlib.machine import cores, device, half_precision, torch_threads
from kitlib.phantom.archive import STUDY_IDS
from kitlib.phantom.study import draw_study
from kitlib.terms import EMPTY, SEVERITIES, SEVERITY_WEIGHTS

FIRST_STUDY_ID = STUDY_IDS.stop
"""Phantoms to learn from are numbered from here, so that no study of a data set is among them."""
HELD_OUT = 0.1
EVENNESS = 0.5
"""Share of cells drawn evenly over the severities: by prevalence, a canal is severe in one of twenty."""
# Of slices without a finding, with normal ones only, and with a narrow one: how many are seen in an epoch.
EPOCH_SHARES = (0.15, 0.6, 1.0)
BATCH = 32
LEARNING_RATE = 2e-3
PLACE_WEIGHT = 0.5
OPENING_UNIT_MM = 5.0
tasks = {"canal": range(5), "foramen": range(5, 10), "axial canal": range(10, 11), "recess": range(11, 13)}


class Learner(nn.Module):
    """A backbone with linear heads for severities (B, 13, 3), openings (B, 13) and places (B, 10)."""

    def __init__(self, backbone: str, px: int) -> None:
        super().__init__()
        self.trunk, _ = build_network(backbone)
        width = self.trunk.eval()(torch.zeros(1, 3, px, px)).shape[1]
        self.heads = nn.Linear(width, 4 * len(FINDINGS) + len(PLACES))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of severities, openings in OPENING_UNIT_MM and logits of places of images (B, 3, px, px)."""
        sizes = [3 * len(FINDINGS), len(FINDINGS), len(PLACES)]
        severities, openings, places = self.heads(self.trunk(images)).float().split(sizes, dim=1)
        return severities.reshape(-1, len(FINDINGS), 3), openings, places


def pretrain(
    out: Path,
    *,
    studies: int = 500,
    epochs: int = 10,
    seed: int = 2024,
    backbone: str = "resnet10t",
    input_px: int = 128,
    view: str = "middle",
    longest_px: int = 256,
    size: str = "demo",
    workers: int | None = None,
) -> dict[str, float]:
    """Train a backbone on phantoms; save it, headless and in half precision, to `out` after each epoch.

    Returns balanced accuracies by task on the held-out tenth of the studies, which stand in the sidecar too.
    """
    facts = {"input_px": input_px, "view": view}
    drawing = {"studies": studies, "size": size, "longest_px": longest_px}
    learning = {"backbone": known_backbone(backbone), "epochs": epochs}
    provenance = Provenance(learning | drawing | facts | {"evenness": EVENNESS}, seed=seed)
    options = f"--studies {studies} --epochs {epochs} --seed {seed} --out {Path(out).name}"
    slices = Slices.joined(draw_slices(studies, seed, input_px, view, longest_px, size, workers or cores()))
    last = slices.studies >= FIRST_STUDY_ID + studies - max(1, round(HELD_OUT * studies))
    with torch_threads(cores()), torch.random.fork_rng():
        torch.manual_seed(seed)
        for epoch, learner in enumerate(trained(backbone, slices.take(~last), epochs, seed), start=1):
            metrics = evaluate(learner, slices.take(last))
            state = learner.trunk.state_dict()
            tensors = {name: one.half() if one.is_floating_point() else one for name, one in state.items()}
            command = f"python -m kitlib pretrain {options}"
            save_tensors(out, tensors, provenance, command=command, epoch=epoch, metrics=metrics, **facts)
    return metrics


def draw_slices(
    studies: int, seed: int, px: int, view: str, longest_px: int, size: str, workers: int
) -> list[Slices]:
    """The slices of phantoms of this seed, one entry a study, drawn in `workers` processes."""
    drawn = Parallel(n_jobs=workers, return_as="generator")(
        delayed(_draw_slices)(FIRST_STUDY_ID + number, seed, px, view, longest_px, size)
        for number in range(studies)
    )
    return list(tqdm(drawn, total=studies, desc="phantoms", mininterval=1))


def trained(backbone: str, slices: Slices, epochs: int, seed: int) -> Iterator[Learner]:
    """The running average of the learner's weights after each epoch."""
    rng = np.random.default_rng(seed)
    learner = Learner(backbone, slices.images.shape[-1])
    learner.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = ModelEmaV3(learner, decay=0.998, use_warmup=True)
    plan = [epoch_batches(slices, rng) for _ in range(epochs)]
    optimiser = torch.optim.AdamW(learner.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    total = sum(len(batches) for batches in plan)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total, pct_start=0.2)
    for epoch, batches in enumerate(plan):
        learner.train()
        with tqdm(batches, desc=f"epoch {epoch + 1}/{epochs}", mininterval=1) as bar:
            for rows in bar:
                loss = batch_loss(learner, slices.take(rows), rng)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                average.update(learner, step=schedule.last_epoch)  # the step lets the average warm up
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        yield average.module.eval()


def epoch_batches(slices: Slices, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches of positions; what is rarer and tells more is seen more often."""
    worst = slices.findings.max(axis=1).clip(EMPTY, 1)
    share = np.array(EPOCH_SHARES)[worst - EMPTY]
    rows = rng.permutation(np.flatnonzero(rng.random(len(slices)) < share))
    return np.array_split(rows, max(1, len(rows) // BATCH))


def batch_loss(learner: Learner, slices: Slices, rng: np.random.Generator) -> Tensor:
    """Loss on augmented slices: severities weighted as in the competition, openings in mm, and places."""
    images, mirror = augmented(slices, rng)
    findings, openings_mm = (
        torch.from_numpy(np.where(mirror[:, None], values[:, mirrored_findings], values)).to(device())
        for values in (slices.findings, slices.openings_mm)
    )
    half = half_precision()
    with torch.autocast(device().type, dtype=half, enabled=half is not None):
        severities, openings, places = learner(images)
    weight = torch.tensor(SEVERITY_WEIGHTS, dtype=torch.float32, device=device())
    graded = F.cross_entropy(
        severities.flatten(0, 1), findings.flatten(), weight, ignore_index=EMPTY, reduction="sum"
    )
    measured = ~openings_mm.isnan()
    opening = F.smooth_l1_loss(openings[measured], openings_mm[measured] / OPENING_UNIT_MM, reduction="sum")
    place = F.cross_entropy(places, torch.from_numpy(slices.places).to(device()))
    return (graded + opening) / measured.sum().clamp(min=1) + PLACE_WEIGHT * place


def augmented(slices: Slices, rng: np.random.Generator) -> tuple[Tensor, np.ndarray]:
    """Network input (B, 3, px, px) of slices turned, scaled, shifted, regreyed and noised.

    Half of the axial slices are mirrored, as the mask (B,) tells.
    """
    count = len(slices)
    mirror = np.isin(slices.places, AXIAL_PLACES) & (rng.random(count) < 0.5)
    angle, zoom = np.radians(rng.normal(0, 5, count)), np.exp(rng.normal(0, 0.08, count))
    shift, flip = rng.normal(0, 0.05, (count, 2)), np.where(mirror, -1, 1)
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    affine = np.stack([cos * flip, -sin, shift[:, 0], sin * flip, cos, shift[:, 1]], axis=1)
    images = torch.from_numpy(slices.images)[:, None].float() / 255
    turns = torch.from_numpy(affine.reshape(-1, 2, 3)).float()
    grid = F.affine_grid(turns, list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, align_corners=False)
    gamma, gain = (
        torch.from_numpy(np.exp(rng.normal(0, spread, (count, 1, 1, 1)))).float() for spread in (0.25, 0.1)
    )
    images = images**gamma * gain + rng.uniform(0, 0.04) * torch.randn(images.shape)
    return network_input((images[:, 0] * 255).clip(0, 255).byte().numpy()), mirror


@torch.inference_mode()
def evaluate(learner: Learner, slices: Slices) -> dict[str, float]:
    """Balanced accuracy of severities by task, and accuracy of places."""
    outputs = [learner(network_input(slices.images[i : i + 64])) for i in range(0, len(slices), 64)]
    severities = torch.cat([severity.argmax(-1) for severity, _, _ in outputs]).cpu().numpy()
    places = torch.cat([place.argmax(-1) for _, _, place in outputs]).cpu().numpy()
    metrics = {"place accuracy": float((places == slices.places).mean())}
    for task, columns in tasks.items():
        truth, guess = slices.findings[:, columns], severities[:, columns]
        codes = [code for code in range(len(SEVERITIES)) if (truth == code).any()]
        recalls = [float((guess[truth == code] == code).mean()) for code in codes]
        metrics[task] = sum(recalls) / len(recalls) if recalls else float("nan")
    return {task: round(value, 4) for task, value in metrics.items()}


def _draw_slices(study_id: int, seed: int, px: int, view: str, longest_px: int, size: str) -> Slices:
    study = draw_study(study_id, seed=seed, size=size, evenness=EVENNESS)
    return study_slices(study, px, view, longest_px)
