"""Training backbones on phantoms, where no weights of elsewhere can be had."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from tqdm.auto import tqdm

from kitlib.artefacts import Provenance, parameters_of, save_tensors
from kitlib.embed.backbone import build_network, known_backbone
from kitlib.embed.field_of_view import FIELDS_OF_VIEW
from kitlib.embed.names import reads_volumes
from kitlib.embed.pretrain.slices import SliceTask
from kitlib.embed.pretrain.task import Examples, PretrainNet, PretrainTask
from kitlib.embed.pretrain.volumes import VolumeTask
from kitlib.embed.weights.sources import (
    WeightsSource,
    cache_dir,
    file_name,
    find_weights,
    is_training,
    load_strictly,
    look_for_weights,
)
from kitlib.errors import UsageError, known_name
from kitlib.machine import cores, torch_threads
from kitlib.phantom.archive import STUDY_IDS
from kitlib.phantom.study import draw_study

FIRST_STUDY_ID = STUDY_IDS.stop
"""Phantoms to learn from are numbered from here, so that no study of a data set is among them."""
SLICE_PX, VOLUME_PX = 144, 80
"""Sides in the middle view: at 144, slices have about the scale of whole ones at 224; volumes are costly."""
LEAST = {"studies": 2, "epochs": 1, "seed": 0, "input_px": 1, "workers": 1}
"""What can be asked for: of two studies one is held out."""
HELD_OUT = 0.1
WARMING = 0.2
"""Share of the steps in which the learning rate grows."""
EVENNESS = 0.5
"""Share of cells drawn evenly over the severities: by prevalence, a canal is severe in one of twenty."""


def pretrain(
    out: Path,
    *,
    studies: int = 500,
    epochs: int = 10,
    seed: int = 2024,
    backbone: str = "resnet10t",
    input_px: int = 128,
    field_of_view: str = "middle",
    longest_px: int = 256,
    size: str = "demo",
    workers: int | None = None,
    start: str = "",
) -> dict[str, float]:
    """Train a backbone on phantoms; save it, headless and in half precision, to `out` after each epoch.

    `start` names the weights to go on from, as `find_weights` takes them; without it they begin at random.
    Returns balanced accuracies by task on the held-out tenth of the studies, which stand in the sidecar too.
    """
    workers = cores() if workers is None else workers
    counts = {"studies": studies, "epochs": epochs, "seed": seed, "input_px": input_px, "workers": workers}
    _refuse_useless(out, backbone, field_of_view, counts)
    Path(out).parent.mkdir(
        parents=True, exist_ok=True
    )  # what cannot be written is known before an hour's work
    facts = {"input_px": input_px, "view": field_of_view}
    drawing = {"studies": studies, "size": size, "longest_px": longest_px}
    learning = {"backbone": known_backbone(backbone), "epochs": epochs}
    source = find_weights(backbone, start) if start else None
    inputs = {}
    if source:
        learning["start"], inputs["start"] = source.label, source.sha256
    provenance = Provenance(learning | drawing | facts | {"evenness": EVENNESS}, inputs, seed)
    asked = facts | {"studies": studies, "epochs": epochs, "seed": seed, "out": Path(out).name}
    facts["command"] = command(backbone, asked | ({"start": Path(start).name} if start else {}))
    course: PretrainTask[Any] = VolumeTask() if reads_volumes(backbone) else SliceTask()
    with torch_threads(cores()), torch.random.fork_rng():
        torch.manual_seed(seed)
        learner = beginning(course, backbone, input_px, source)  # what does not fit is known before drawing
        examples = drawn(course, studies, seed, input_px, field_of_view, longest_px, size, workers)
        last = examples.studies >= FIRST_STUDY_ID + studies - max(1, round(HELD_OUT * studies))
        learners = trained(course, learner, examples.take(~last), epochs, seed)
        for epoch, learner in enumerate(learners, start=1):
            metrics = course.metrics(learner, examples.take(last))
            tensors = in_half(learner.trunk)
            save_tensors(out, tensors, provenance, epoch=epoch, metrics=metrics, **facts)
    return metrics


def command(backbone: str, asked: Mapping[str, Any]) -> str:
    """The command that trains such weights, for their sidecar."""
    options = (f"--{name.replace('_', '-')} {value}" for name, value in asked.items())
    return " ".join(["python -m kitlib pretrain --backbone", backbone, *options])


def in_half(trunk: nn.Module) -> dict[str, Tensor]:
    """A network's tensors as they are kept: numbers in half precision, counts as they are."""
    state = trunk.state_dict()
    return {name: one.half() if one.is_floating_point() else one for name, one in state.items()}


def cached_or_pretrained(
    backbone: str,
    *,
    studies: int,
    epochs: int,
    seed: int = 2024,
    workers: int | None = None,
    attached_dir: Path | None = None,
) -> WeightsSource:
    """The weights that `find_weights` finds; where there are none, those of a training on phantoms, kept.

    One that was interrupted is done again; a shorter one than asked for is used, and a line says so.
    """
    found = look_for_weights(known_backbone(backbone), attached_dir=attached_dir)
    if found and not _interrupted(found):
        if _is_shorter(found, studies * epochs):
            print(
                f"{backbone}: weights of {found.label} are used, of fewer than {studies} studies x {epochs} "
                f"epochs; to train it anew, delete {found.file}"
            )
        return found
    px = VOLUME_PX if reads_volumes(backbone) else SLICE_PX
    cached = cache_dir() / file_name(backbone)
    print(
        f"no weights for {backbone}: training it on phantoms ({studies} studies x {epochs} epochs), once; "
        f"kept in {cached}"
    )
    pretrain(
        cached, studies=studies, epochs=epochs, seed=seed, backbone=backbone, input_px=px, workers=workers
    )
    return find_weights(backbone, "cached")


def beginning(
    course: PretrainTask[Any], backbone: str, input_px: int, source: WeightsSource | None
) -> PretrainNet:
    """The network to train, with the weights of a source that has a file.

    WeightsError where they do not fit, UsageError where the network reads no inputs of this size.
    """
    try:
        learner = course.learner(backbone, input_px)
    except (AssertionError, RuntimeError) as error:  # timm's and torch's
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"{backbone} cannot read {input_px} pixels: {reason}", hint="Give another input_px."
        ) from error
    if source and source.file:
        load_strictly(learner.trunk, source.file, build_network(backbone)[1])
    return learner


def drawn(
    course: PretrainTask[Any],
    studies: int,
    seed: int,
    px: int,
    field_of_view: str,
    longest_px: int,
    size: str,
    workers: int,
) -> Examples:
    """The examples of phantoms of this seed, drawn in `workers` processes."""
    parts = Parallel(n_jobs=workers, return_as="generator")(
        delayed(_draw)(course, FIRST_STUDY_ID + number, seed, px, field_of_view, longest_px, size)
        for number in range(studies)
    )
    parts = list(tqdm(parts, total=studies, desc="phantoms", mininterval=1))
    return type(parts[0]).joined(parts)


def trained(
    course: PretrainTask[Any], learner: PretrainNet, examples: Examples, epochs: int, seed: int
) -> Iterator[PretrainNet]:
    """The running average of the learner's weights after each epoch."""
    rng = np.random.default_rng(seed)
    average = ModelEmaV3(learner, decay=0.998, use_warmup=True)
    plan = [course.batches(examples, rng) for _ in range(epochs)]
    optimiser = torch.optim.AdamW(
        learner.parameters(), lr=course.learning_rate, weight_decay=0.05, fused=True
    )
    total = sum(len(batches) for batches in plan)
    warming = WARMING if WARMING * total != 1 else 2 * WARMING  # torch divides by this many steps less one
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, course.learning_rate, total, pct_start=warming)
    for epoch, batches in enumerate(plan):
        learner.train()
        with tqdm(batches, desc=f"epoch {epoch + 1}/{epochs}", mininterval=1) as bar:
            for rows in bar:
                loss = course.loss(learner, examples.take(rows), rng)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                average.update(learner, step=schedule.last_epoch)  # the step lets the average warm up
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        yield average.module.eval()


def _refuse_useless(out: Path, backbone: str, field_of_view: str, counts: Mapping[str, int]) -> None:
    """UsageError, before anything is drawn, on a training that nothing can come of."""
    for name, count in counts.items():
        if count < LEAST[name]:
            raise UsageError(f"{name} is {count}", hint=f"The least to learn with is {LEAST[name]}.")
    known_name(field_of_view, FIELDS_OF_VIEW, "view")
    if Path(out).suffix != ".safetensors":
        raise UsageError(
            f"{backbone} cannot be trained into {Path(out).name}",
            hint="Name a network of timm, torchvision or MedicalNet, and a file that ends in .safetensors.",
        )
    if Path(out).exists() and not is_training(out):
        raise UsageError(
            "there is a file that no training has made",
            where=out,
            hint="Delete it, or name another by --out.",
        )


def _interrupted(found: WeightsSource) -> bool:
    learning = _cached_training(found)
    return bool(learning) and found.facts["epoch"] < learning["epochs"]


def _is_shorter(found: WeightsSource, studies_seen: int) -> bool:
    learning = _cached_training(found)
    return bool(learning) and learning["studies"] * learning["epochs"] < studies_seen


def _cached_training(found: WeightsSource) -> dict[str, Any]:
    """The parameters of the training that made weights of the cache; empty where none of the kit's did."""
    if found.kind != "cached" or found.file is None or not is_training(found.file):
        return {}
    return parameters_of(found.file)


def _draw(
    course: PretrainTask[Any],
    study_id: int,
    seed: int,
    px: int,
    field_of_view: str,
    longest_px: int,
    size: str,
) -> Examples:
    study = draw_study(study_id, seed=seed, size=size, evenness=EVENNESS)
    return course.examples(study, px, field_of_view, longest_px)
