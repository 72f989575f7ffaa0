"""Train backbones on phantoms, for use where no pretrained weights are available."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from joblib import delayed
from torch import nn
from tqdm.auto import tqdm

from kitlib.artefacts import Provenance, discard, save_tensors
from kitlib.embed.backbone import build_network, known_backbone
from kitlib.embed.field_of_view import FIELDS_OF_VIEW
from kitlib.embed.names import CT_RESNET, reads_volumes
from kitlib.embed.pretrain.slices import SliceTask
from kitlib.embed.pretrain.task import Examples, PretrainNet
from kitlib.embed.pretrain.volumes import VolumeTask
from kitlib.embed.weights.sources import (
    WeightsSource,
    cache_dir,
    file_name,
    find_weights,
    load_strictly,
    look_for_weights,
    training_of,
)
from kitlib.errors import UsageError, known_name
from kitlib.machine import cores, device, in_processes, torch_threads
from kitlib.nn.loop import Checkpoint, Schedule, train
from kitlib.nn.weights import in_half
from kitlib.phantom.archive import STUDY_IDS
from kitlib.phantom.study import draw_study

FIRST_STUDY_ID = STUDY_IDS.stop
"""Training phantoms are numbered from here, so that they never coincide with a study of a data set."""
SLICE_PX, VOLUME_PX = 144, 80
"""Sides in the middle view: slices at 144 have about the scale of whole ones at 224; volumes are costly."""
LEAST = {"studies": 2, "epochs": 1, "seed": 0, "input_px": 1, "workers": 1}
"""Smallest allowed values: one of two studies is held out."""
HELD_OUT = 0.1
WARM_UP = 0.2
"""Share of the steps in which the learning rate grows."""
AVERAGE_DECAY = 0.998
CLASS_BALANCE = 0.5
"""Share of cells drawn evenly over the severities: by prevalence, one canal in twenty is severe."""


@dataclass(frozen=True)
class Training:
    """Settings of a training, and of the phantoms it uses.

    `start` names the weights to start from, as for `find_weights`; by default they are random.
    """

    studies: int = 500
    epochs: int = 10
    seed: int = 2024
    backbone: str = "resnet10t"
    input_px: int = 128
    field_of_view: str = "middle"
    longest_px: int = 256
    size: str = "demo"
    start: str = ""

    @property
    def task(self) -> type[SliceTask | VolumeTask]:
        """The task that trains such a backbone."""
        return VolumeTask if reads_volumes(self.backbone) else SliceTask

    @property
    def facts(self) -> dict[str, Any]:
        """The backbone's input settings, for the sidecar."""
        return {"input_px": self.input_px, "view": self.field_of_view}

    def provenance(self, source: WeightsSource | None) -> Provenance:
        """Return the provenance of the weights, which start from those of the source."""
        names = ("backbone", "epochs", "studies", "size", "longest_px")
        learning = self.facts | {name: getattr(self, name) for name in names}
        learning["class_balance"] = CLASS_BALANCE
        if source is None:
            return Provenance(learning, seed=self.seed)
        return Provenance(learning | {"start": source.label}, {"start": source.sha256}, self.seed)

    def command(self, out: Path) -> str:
        """Return the command that trains such weights, for their sidecar."""
        asked = self.facts | {name: getattr(self, name) for name in ("studies", "epochs", "seed")}
        asked |= {"out": out.name} | ({"start": Path(self.start).name} if self.start else {})
        options = (f"--{name.replace('_', '-')} {value}" for name, value in asked.items())
        return " ".join(["python -m kitlib weights train --backbone", self.backbone, *options])

    def draw(self, number: int) -> Examples:
        """Draw one phantom and return its examples."""
        study_id = FIRST_STUDY_ID + number
        study = draw_study(study_id, seed=self.seed, size=self.size, class_balance=CLASS_BALANCE)
        return self.task.examples_of(study, self.input_px, self.field_of_view, self.longest_px)


def pretrain(out: Path, *, workers: int | None = None, **how: Any) -> dict[str, float]:
    """Train a backbone on phantoms; save it, headless and in half precision, to `out` after each epoch.

    `how` are fields of Training; `workers` processes draw, by default one per core. An interrupted training
    resumes where it stopped, on the same phantoms, which are drawn again.
    Returns balanced accuracies by task on the held-out tenth of the studies, which are also in the sidecar.
    """
    out, training = Path(out), Training(**how)
    workers = cores() if workers is None else workers
    _refuse_useless(out, training, workers)
    out.parent.mkdir(parents=True, exist_ok=True)  # fail before an hour's work if it cannot be written
    source = find_weights(training.backbone, training.start) if training.start else None
    provenance = training.provenance(source)
    facts = training.facts | {"command": training.command(out)}
    checkpoint = Checkpoint(out.with_name(f"{out.name}.unfinished"), provenance)
    metrics: dict[str, float] = {}
    with torch_threads(cores()), torch.random.fork_rng():
        torch.manual_seed(training.seed)
        network = beginning(training, source)  # weights that do not fit fail before drawing
        learnt, held_out = drawn(training, workers)

        def save(epoch: int, average: nn.Module) -> None:
            metrics.update(held_out.metrics(average))
            trunk = in_half(average.trunk)  # type: ignore[arg-type]
            save_tensors(out, trunk, provenance, epoch=epoch, metrics=metrics, **facts)

        train(
            network,
            learnt,
            learnt.loss,
            schedule_of(training.task, training.epochs),
            training.seed,
            after_epoch=save,
            checkpoint=checkpoint,
            in_thread=device().type != "cpu",
            title=training.backbone,
        )
    discard(checkpoint.path)
    return metrics


def cached_or_pretrained(
    backbone: str,
    *,
    studies: int,
    epochs: int,
    workers: int | None = None,
    attached_dir: Path | None = None,
) -> WeightsSource:
    """Return the weights found by `find_weights`; if there are none, train on phantoms and cache the result.

    An interrupted training is finished; weights of a shorter training than requested are used, and reported.
    """
    found = look_for_weights(known_backbone(backbone), attached_dir=attached_dir)
    learning = training_of(found.file) if found and found.kind == "cached" else {}
    if found and not (learning and found.facts["epoch"] < learning["epochs"]):
        if learning and learning["studies"] * learning["epochs"] < studies * epochs:
            print(
                f"{backbone}: weights of {found.label} are used, fewer than {studies} studies x {epochs} "
                f"epochs; to train it again, delete {found.file}"
            )
        return found
    px = VOLUME_PX if reads_volumes(backbone) else SLICE_PX
    cached = cache_dir() / file_name(backbone)
    print(
        f"no weights for {backbone}: training it on phantoms ({studies} studies x {epochs} epochs), once; "
        f"kept in {cached}"
    )
    pretrain(cached, studies=studies, epochs=epochs, backbone=backbone, input_px=px, workers=workers)
    return find_weights(backbone, "cached")


def beginning(training: Training, source: WeightsSource | None) -> PretrainNet:
    """Build the network to train, with the weights of the source if it has a file.

    Raises WeightsError if they do not fit, UsageError if the network cannot read inputs of this size.
    """
    backbone, px = training.backbone, training.input_px
    try:
        network = training.task.network(backbone, px)
    except (AssertionError, RuntimeError) as error:  # timm's and torch's
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"{backbone} cannot read {px} pixels: {reason}", hint="Give another input_px."
        ) from error
    if source and source.file:
        load_strictly(network.trunk, source.file, build_network(backbone)[1])
    return network


def drawn(training: Training, workers: int) -> tuple[SliceTask | VolumeTask, SliceTask | VolumeTask]:
    """Draw the training and the held-out examples in `workers` processes."""
    studies, task = training.studies, training.task
    drawing = in_processes((delayed(training.draw)(number) for number in range(studies)), workers)
    parts = list(tqdm(drawing, total=studies, desc="phantoms", mininterval=1))
    examples = type(parts[0]).joined(parts)
    last = examples.studies >= FIRST_STUDY_ID + studies - max(1, round(HELD_OUT * studies))
    return task(examples.take(~last)), task(examples.take(last))


def schedule_of(task: type[SliceTask | VolumeTask], epochs: int) -> Schedule:
    """Return the training schedule of a task."""
    return Schedule(
        epochs, task.learning_rate, warm_up=WARM_UP, average_decay=AVERAGE_DECAY, fused=True, half=task.half
    )


def _refuse_useless(out: Path, training: Training, workers: int) -> None:
    """Raise UsageError for invalid settings before anything is drawn."""
    counts = vars(training) | {"workers": workers}
    for name, least in LEAST.items():
        if counts[name] < least:
            raise UsageError(f"{name} is {counts[name]}", hint=f"It must be at least {least}.")
    known_name(training.field_of_view, FIELDS_OF_VIEW, "view")
    if out.suffix != ".safetensors" or training.backbone == CT_RESNET:
        raise UsageError(
            f"{training.backbone} cannot be trained into {out.name}",
            hint="Name a network of timm, torchvision or MedicalNet, and a file that ends in .safetensors.",
        )
    if out.exists() and not training_of(out):
        raise UsageError(
            "the file exists and was not made by a training",
            where=out,
            hint="Delete it, or name another by --out.",
        )
    known_backbone(training.backbone)
