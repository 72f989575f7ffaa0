"""Training backbones on phantoms, where no weights of elsewhere can be had."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed
from torch import Tensor, nn
from tqdm.auto import tqdm

from kitlib.artefacts import Provenance, discard, parameters_of, save_tensors
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
from kitlib.machine import cores, device, torch_threads
from kitlib.nn.loop import Checkpoint, Schedule, train
from kitlib.phantom.archive import STUDY_IDS
from kitlib.phantom.study import draw_study

FIRST_STUDY_ID = STUDY_IDS.stop
"""Phantoms to learn from are numbered from here, so that no study of a data set is among them."""
SLICE_PX, VOLUME_PX = 144, 80
"""Sides in the middle view: at 144, slices have about the scale of whole ones at 224; volumes are costly."""
LEAST = {"studies": 2, "epochs": 1, "seed": 0, "input_px": 1, "workers": 1}
"""What can be asked for: of two studies one is held out."""
HELD_OUT = 0.1
WARM_UP = 0.2
"""Share of the steps in which the learning rate grows."""
AVERAGE_DECAY = 0.998
CLASS_BALANCE = 0.5
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

    `start` names the weights to begin with, as `find_weights` takes them; without it they begin at random. A
    training that was killed goes on where it stopped, on the same phantoms, which are drawn again.
    Returns balanced accuracies by task on the held-out tenth of the studies, which stand in the sidecar too.
    """
    workers = cores() if workers is None else workers
    counts = {"studies": studies, "epochs": epochs, "seed": seed, "input_px": input_px, "workers": workers}
    _refuse_useless(out, backbone, field_of_view, counts)
    # What cannot be written is known before an hour's work.
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    facts = {"input_px": input_px, "view": field_of_view}
    drawing = {"studies": studies, "size": size, "longest_px": longest_px}
    learning = {"backbone": known_backbone(backbone), "epochs": epochs}
    source = find_weights(backbone, start) if start else None
    inputs = {}
    if source:
        learning["start"], inputs["start"] = source.label, source.sha256
    provenance = Provenance(learning | drawing | facts | {"class_balance": CLASS_BALANCE}, inputs, seed)
    asked = facts | {"studies": studies, "epochs": epochs, "seed": seed, "out": Path(out).name}
    facts["command"] = command(backbone, asked | ({"start": Path(start).name} if start else {}))
    task: type[PretrainTask[Any]] = VolumeTask if reads_volumes(backbone) else SliceTask
    checkpoint = Checkpoint(Path(out).with_name(f"{Path(out).name}.unfinished"), provenance)
    metrics: dict[str, float] = {}
    with torch_threads(cores()), torch.random.fork_rng():
        torch.manual_seed(seed)
        network = beginning(task, backbone, input_px, source)  # what does not fit is known before drawing
        examples = drawn(task, studies, seed, input_px, field_of_view, longest_px, size, workers)
        last = examples.studies >= FIRST_STUDY_ID + studies - max(1, round(HELD_OUT * studies))
        learnt, held_out = task(examples.take(~last)), task(examples.take(last))

        def save(epoch: int, average: nn.Module) -> None:
            metrics.update(held_out.metrics(average))
            trunk = in_half(average.trunk)  # type: ignore[arg-type]
            save_tensors(out, trunk, provenance, epoch=epoch, metrics=metrics, **facts)

        train(
            network,
            learnt,
            task.loss,
            schedule_of(task, epochs),
            seed,
            after_epoch=save,
            checkpoint=checkpoint,
            in_thread=device().type != "cpu",
            title=backbone,
        )
    discard(checkpoint.path)
    return metrics


def schedule_of(task: type[PretrainTask[Any]], epochs: int) -> Schedule:
    """How long and how hard to train."""
    return Schedule(
        epochs, task.learning_rate, warm_up=WARM_UP, average_decay=AVERAGE_DECAY, fused=True, half=task.half
    )


def command(backbone: str, asked: Mapping[str, Any]) -> str:
    """The command that trains such weights, for their sidecar."""
    options = (f"--{name.replace('_', '-')} {value}" for name, value in asked.items())
    return " ".join(["python -m kitlib pretrain --backbone", backbone, *options])


def in_half(trunk: nn.Module) -> dict[str, Tensor]:
    """A network's tensors as they are kept: numbers in half precision, counts as they are."""
    state = trunk.state_dict()
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


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

    One that was interrupted is finished; a shorter one than asked for is used, and a line says so.
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
    task: type[PretrainTask[Any]], backbone: str, input_px: int, source: WeightsSource | None
) -> PretrainNet:
    """The network to train, with the weights of a source that has a file.

    WeightsError where they do not fit, UsageError where the network reads no inputs of this size.
    """
    try:
        network = task.network(backbone, input_px)
    except (AssertionError, RuntimeError) as error:  # timm's and torch's
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"{backbone} cannot read {input_px} pixels: {reason}", hint="Give another input_px."
        ) from error
    if source and source.file:
        load_strictly(network.trunk, source.file, build_network(backbone)[1])
    return network


def drawn(
    task: type[PretrainTask[Any]],
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
        delayed(_draw)(task, FIRST_STUDY_ID + number, seed, px, field_of_view, longest_px, size)
        for number in range(studies)
    )
    parts = list(tqdm(parts, total=studies, desc="phantoms", mininterval=1))
    return type(parts[0]).joined(parts)


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
    task: type[PretrainTask[Any]],
    study_id: int,
    seed: int,
    px: int,
    field_of_view: str,
    longest_px: int,
    size: str,
) -> Examples:
    study = draw_study(study_id, seed=seed, size=size, class_balance=CLASS_BALANCE)
    return task.examples_of(study, px, field_of_view, longest_px)
