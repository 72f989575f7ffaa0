"""What `python -m kitlib` can do: a file for each family of commands; rooms are imported when called."""

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What `add_subparsers` returns: each command adds its own parser to it."""
SOME_FAILED = 1
"""The exit code of what went to its end, although not all of it succeeded: docs/commands.md."""


def add_cluster(command: argparse.ArgumentParser) -> None:
    """Add the option `--cluster`, which `kitlib.cli` heeds for any command."""
    command.add_argument(
        "--cluster",
        default="",
        metavar="ADDRESS",
        help="use Dask workers instead of processes: tcp://HOST:PORT of a scheduler, or local:N to start N",
    )
