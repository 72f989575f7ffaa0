"""Training the shipped backbone."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kitlib.commands.parsing import Commands


def add_pretrain(commands: "Commands") -> None:
    """Add the command `pretrain`."""
    command = commands.add_parser("pretrain", help="train the shipped backbone on phantoms")
    command.add_argument("--studies", type=int, required=True)
    command.add_argument("--epochs", type=int, required=True)
    command.add_argument("--seed", type=int, default=2024)
    command.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    command.set_defaults(call=_pretrain)


def _pretrain(arguments: argparse.Namespace) -> None:
    from kitlib.embed.pretrain import pretrain

    pretrain(studies=arguments.studies, epochs=arguments.epochs, seed=arguments.seed, out=arguments.out)
    print(f"weights in {arguments.out}")
