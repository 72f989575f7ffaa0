"""`python -m kitlib`: the command line."""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from kitlib import __version__
from kitlib.commands.bench import add_bench
from kitlib.commands.experiments import add_experiments
from kitlib.commands.grade import add_grade, add_grader
from kitlib.commands.kaggle import add_kaggle
from kitlib.commands.levels import add_levels
from kitlib.commands.old import renamed
from kitlib.commands.phantoms import add_phantom, add_phantoms
from kitlib.commands.predict import add_predict
from kitlib.commands.robustness import add_robustness
from kitlib.commands.run import add_report, add_run
from kitlib.commands.score import add_score, add_validate
from kitlib.commands.weights import add_weights
from kitlib.errors import KitError

REFUSED, INTERRUPTED, UNREAD = 2, 130, 141
LAST_STREAM = 2  # file descriptor of stderr
ADDED = (
    add_run, add_report, add_predict, add_validate, add_score, add_experiments, add_robustness, add_levels,
    add_grade, add_grader, add_phantoms, add_weights, add_kaggle, add_bench, add_phantom,
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 with a one-line error, or 130 if interrupted.

    A command that completes without full success returns 1. If its output is no longer read, as with
    `| head`, it ends silently with 141, like other tools.
    """
    _open_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be valid text
    try:
        return _run(argv)
    except KitError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # the interpreter flushes them at exit
            os.dup2(nowhere, stream.fileno())
        return UNREAD
    except OSError as error:  # such as a full disk, or a folder that is not writable
        is_taken = isinstance(error, (FileExistsError, NotADirectoryError))
        what = "a file is in the place of a folder" if is_taken else error.strerror or error
        place = f" ({error.filename})" if error.filename else ""
        print(f"[system] {what}{place}. Free it, or name another path.", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("interrupted; repeat the command to continue from here", file=sys.stderr)
        return INTERRUPTED


def _open_streams() -> None:
    """Open standard streams that this process was started without, onto the null device.

    Otherwise files opened later would get their descriptors, and the output written to them.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= LAST_STREAM:
        os.set_inheritable(number, True)
    os.close(number)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115 - to the end


def _run(argv: Sequence[str] | None) -> int:
    words, note = renamed(sys.argv[1:] if argv is None else argv)
    if note:
        print(note, file=sys.stderr)
    try:
        arguments = build_parser().parse_args(words)
        if not getattr(arguments, "cluster", ""):
            return arguments.call(arguments) or 0
        from kitlib.cluster import cluster

        with cluster(arguments.cluster):
            return arguments.call(arguments) or 0
    finally:
        sys.stdout.flush()  # so that a write error is raised here and not at exit


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = argparse.ArgumentParser(prog="python -m kitlib", description="From lumbar MRI to a submission.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in ADDED:
        add(commands)
    return parser
