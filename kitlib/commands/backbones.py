"""Backbones: their weights, trained on phantoms, taken out of a PyTorch file or rounded; and their speed."""

import argparse
from pathlib import Path

from kitlib.commands import Commands, add_cluster
from kitlib.commands.faults import add_faults


def add_pretrain(commands: Commands) -> None:
    """Add the command `pretrain`."""
    command = commands.add_parser("pretrain", help="train a backbone on phantoms")
    command.add_argument("--backbone", default="resnet10t", help="such as resnet50 or medicalnet_resnet152")
    command.add_argument("--studies", type=int, required=True)
    command.add_argument("--epochs", type=int, required=True)
    command.add_argument("--input-px", type=int, default=128)
    command.add_argument("--view", dest="field_of_view", default="middle", help="whole or middle")
    command.add_argument("--seed", type=int, default=2024)
    command.add_argument(
        "--start", default="", help="weights to go on from: a file, or a name as of `weights`"
    )
    command.add_argument("--workers", type=int, help="processes that draw; one a core if not given")
    command.add_argument("--out", type=Path, help="safetensors file to write; if not given, in the cache")
    add_cluster(command)
    command.set_defaults(call=_pretrain)


def add_convert(commands: Commands) -> None:
    """Add the command `convert`."""
    command = commands.add_parser("convert", help="turn a .pth file into safetensors, running nothing in it")
    command.add_argument("file", type=Path, help="or `imagenet`: the weights of the extra of that name")
    command.add_argument("out", type=Path)
    command.set_defaults(call=_convert)


def add_quantise(commands: Commands) -> None:
    """Add the command `quantise`."""
    command = commands.add_parser("quantise", help="round a backbone to eight bits, for faster CPUs")
    command.add_argument("out", type=Path, help="safetensors file to write; give it as weights of a run")
    command.add_argument("--backbone", default="resnet10t", help="such as resnet50 or medicalnet_resnet152")
    command.add_argument("--weights", default="auto", help="a file, hub, cached, shipped, imagenet or random")
    command.add_argument("--input-px", type=int, help="if not given, what the weights were trained with")
    command.add_argument(
        "--view", dest="field_of_view", help="whole or middle; if not given, as the weights were trained"
    )
    command.set_defaults(call=_quantise)


def add_bench(commands: Commands) -> None:
    """Add the command `bench`, which measures speed unless another bench is named."""
    command = commands.add_parser("bench", help="slices a second, against the loop one would write first")
    command.add_argument("--reading", action="store_true", help="time the reading of DICOM files alone")
    command.add_argument("--backbones", nargs="+", default=["resnet50", "resnet10t"])
    command.add_argument("--studies", type=int, default=6, help="phantoms of about fifty slices each")
    command.add_argument("--repeats", type=int, default=3)
    command.set_defaults(call=_bench)
    add_faults(command.add_subparsers(metavar="faults"))


def _pretrain(arguments: argparse.Namespace) -> None:
    from kitlib.embed.pretrain.train import pretrain
    from kitlib.embed.weights.sources import cache_dir, file_name

    out = arguments.out or cache_dir() / file_name(arguments.backbone)
    names = ("studies", "epochs", "seed", "backbone", "input_px", "field_of_view", "workers", "start")
    metrics = pretrain(out, **{name: getattr(arguments, name) for name in names})
    print(", ".join(f"{task} {value:.3f}" for task, value in metrics.items()))
    print(f"weights in {out}")


def _convert(arguments: argparse.Namespace) -> None:
    from kitlib.embed.names import IMAGENET_MEAN, IMAGENET_STD
    from kitlib.embed.weights.checkpoint import convert
    from kitlib.embed.weights.imagenet import convert_imagenet

    if arguments.file == Path("imagenet"):
        tensors = convert_imagenet(arguments.out, IMAGENET_MEAN, IMAGENET_STD)
    else:
        tensors = convert(arguments.file, arguments.out)
    print(f"{len(tensors)} tensors in {arguments.out}")


def _quantise(arguments: argparse.Namespace) -> None:
    from kitlib.embed.runtime.quantise import quantise

    out, name = arguments.out, arguments.backbone
    how = {key: getattr(arguments, key) for key in ("weights", "input_px", "field_of_view")}
    agreement = quantise(out, name, **how)
    print(f"vectors keep {agreement['r2']:.2%} of their variance, smallest cosine {agreement['cosine']:.4f}")
    print(f"weights in {out}")


def _bench(arguments: argparse.Namespace) -> None:
    from kitlib.embed.runtime.benchmark import benchmark, reading_benchmark

    asked = {"studies": arguments.studies, "repeats": arguments.repeats}
    table = reading_benchmark(**asked) if arguments.reading else benchmark(arguments.backbones, **asked)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.2f}"))
