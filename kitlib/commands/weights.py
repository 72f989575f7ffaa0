"""Weights of backbones: trained on phantoms, taken out of a PyTorch file or rounded."""

import argparse
import tempfile
from functools import partial
from pathlib import Path

from kitlib.commands import Commands, add_cluster
from kitlib.errors import UsageError


def add_weights(commands: Commands) -> None:
    """Add the command `weights` with its verbs."""
    command = commands.add_parser("weights", help="train, convert or quantise the weights of a backbone")
    verbs = command.add_subparsers(required=True, metavar="train|convert|quantise")
    _add_train(verbs)
    _add_convert(verbs)
    _add_quantise(verbs)


def _add_train(verbs: Commands) -> None:
    command = verbs.add_parser(
        "train",
        help="train a backbone on phantoms",
        epilog="example: python -m kitlib weights train --backbone resnet50 --studies 400 --epochs 9",
    )
    command.add_argument("--backbone", default="resnet10t", help="such as resnet50 or medicalnet_resnet152")
    command.add_argument("--studies", type=int, required=True, help="number of phantoms to train on")
    command.add_argument("--epochs", type=int, required=True, help="passes over the phantoms")
    command.add_argument(
        "--input-px", type=int, default=128, help="side of the input images in pixels (default: 128)"
    )
    command.add_argument(
        "--view", dest="field_of_view", default="middle", help="field of view: whole or middle"
    )
    command.add_argument("--seed", type=int, default=2024, help="random seed (default: 2024)")
    command.add_argument(
        "--start", default="", help="initial weights: a file, or a name such as auto or imagenet"
    )
    command.add_argument("--workers", type=int, help="number of processes (default: one per core)")
    command.add_argument("--out", type=Path, help="safetensors file to write (default: in the cache)")
    add_cluster(command)
    command.set_defaults(call=_train)


def _add_convert(verbs: Commands) -> None:
    command = verbs.add_parser(
        "convert",
        help="convert a .pth file to safetensors without running any code in it",
        epilog="example: python -m kitlib weights convert downloaded.pth --backbone resnet50",
    )
    command.add_argument(
        "file", type=Path, help="a .pth file, or `imagenet` or `ct` for what that extra installed"
    )
    command.add_argument(
        "out", type=Path, nargs="?", help="safetensors file to write, unless --backbone is given"
    )
    command.add_argument(
        "--backbone", help="backbone of the weights: keep them in the cache that runs search"
    )
    command.set_defaults(call=_convert)


def _add_quantise(verbs: Commands) -> None:
    command = verbs.add_parser(
        "quantise",
        help="quantise a backbone to eight bits, for speed on CPUs",
        epilog="example: python -m kitlib weights quantise small.safetensors",
    )
    command.add_argument("out", type=Path, help="safetensors file to write; use it as `weights` of a run")
    command.add_argument("--backbone", default="resnet10t", help="such as resnet50 or medicalnet_resnet152")
    command.add_argument(
        "--weights", default="auto", help="auto, hub, cached, shipped, imagenet, ct, random or a file"
    )
    command.add_argument("--input-px", type=int, help="default: as the weights were trained")
    command.add_argument(
        "--view", dest="field_of_view", help="whole or middle (default: as the weights were trained)"
    )
    command.set_defaults(call=_quantise)


def _train(arguments: argparse.Namespace) -> None:
    from kitlib.embed.pretrain.train import pretrain
    from kitlib.embed.weights.sources import cache_dir, file_name

    out = arguments.out or cache_dir() / file_name(arguments.backbone)
    names = ("studies", "epochs", "seed", "backbone", "input_px", "field_of_view", "workers", "start")
    metrics = pretrain(out, **{name: getattr(arguments, name) for name in names})
    print(", ".join(f"{task} {value:.3f}" for task, value in metrics.items()))
    print(f"weights in {out}")


def _convert(arguments: argparse.Namespace) -> None:
    from kitlib.artefacts import move
    from kitlib.embed.backbone import known_backbone, load_backbone
    from kitlib.embed.weights.checkpoint import convert
    from kitlib.embed.weights.ct import convert_ct
    from kitlib.embed.weights.imagenet import convert_imagenet
    from kitlib.embed.weights.sources import cache_dir, file_name

    if (arguments.out is None) == (arguments.backbone is None):
        raise UsageError("name a file to write, or a backbone", hint="With --backbone they go to the cache.")
    out = arguments.out or cache_dir() / file_name(known_backbone(arguments.backbone))
    extras = {"imagenet": convert_imagenet, "ct": convert_ct}
    write = extras.get(str(arguments.file)) or partial(convert, arguments.file)
    if arguments.backbone:  # what does not fit would stand in the way of every run
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            tensors = write(draft := Path(folder) / out.name)
            load_backbone(arguments.backbone, weights=str(draft))
            move(draft, out)
    else:
        tensors = write(out)
    print(f"{len(tensors)} tensors in {out}")


def _quantise(arguments: argparse.Namespace) -> None:
    from kitlib.embed.runtime.quantise import quantise

    out, name = arguments.out, arguments.backbone
    how = {key: getattr(arguments, key) for key in ("weights", "input_px", "field_of_view")}
    agreement = quantise(out, name, **how)
    print(f"vectors keep {agreement['r2']:.2%} of their variance, smallest cosine {agreement['cosine']:.4f}")
    print(f"weights in {out}")
