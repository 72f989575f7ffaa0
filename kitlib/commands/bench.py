"""How fast this machine reads and embeds."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kitlib.commands.parsing import Commands


def add_bench(commands: "Commands") -> None:
    """Add the command `bench`."""
    command = commands.add_parser("bench", help="slices a second, against the loop one would write first")
    command.add_argument("--reading", action="store_true", help="time the reading of DICOM files alone")
    command.add_argument("--backbones", nargs="+", default=["resnet50", "resnet10t"])
    command.add_argument("--studies", type=int, default=6, help="phantoms of about fifty slices each")
    command.add_argument("--repeats", type=int, default=3)
    command.set_defaults(call=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    from kitlib.embed.runtime.benchmark import benchmark, reading_benchmark

    asked = {"studies": arguments.studies, "repeats": arguments.repeats}
    table = reading_benchmark(**asked) if arguments.reading else benchmark(arguments.backbones, **asked)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.2f}"))
