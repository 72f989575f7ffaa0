"""Grading single images, and training what grades them."""

import argparse
import json
import sys
from pathlib import Path

from kitlib.commands import Commands
from kitlib.errors import UsageError


def add_grade(commands: Commands) -> None:
    """Add the command `grade`."""
    command = commands.add_parser("grade", help="grade places on single images: severity and opening in mm")
    command.add_argument(
        "table", type=Path, help="CSV: image, sequence, place, level, side, x, y, spacing_mm"
    )
    command.add_argument("--out", type=Path, required=True, help="CSV file to write: the table with grades")
    command.add_argument("--weights", type=Path, help="a grader's weights (default: those that ship)")
    command.set_defaults(call=_grade)


def _grade(arguments: argparse.Namespace) -> int:
    from kitlib.artefacts import write_text
    from kitlib.grade.network import SHIPPED, Grader, load_network
    from kitlib.grade.table import grade_table

    grader = Grader(load_network(arguments.weights or SHIPPED).views)
    graded = grade_table(arguments.table, grader)
    for problem in graded.problems:
        print(problem, file=sys.stderr)
    count = len(graded.rows) - len(graded.problems)
    if not count:
        raise UsageError("no row could be graded", where=arguments.table, hint="Each reason stands above.")
    write_text(arguments.out, graded.rows.to_csv(index=False, lineterminator="\n", float_format="%.6f"))
    print(f"{count} of {len(graded.rows)} rows graded in {arguments.out}")
    return 1 if graded.problems else 0


def add_grader(commands: Commands) -> None:
    """Add the command `grader`, which trains the network of `grade`."""
    command = commands.add_parser("grader", help="train the grader on phantoms")
    command.add_argument("what", choices=["train"])
    command.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    command.add_argument("--pool", type=Path, default=Path("work/grader"), help="folder for drawn views")
    command.add_argument("--persons", type=int, default=500, help="phantoms to learn on")
    command.add_argument("--epochs", type=int, default=6)
    command.add_argument("--backbone", default="resnet10t", help="a small network of timm")
    command.add_argument("--seed", type=int, default=2024)
    command.add_argument("--workers", type=int, default=1)
    command.set_defaults(call=_train)


def _train(arguments: argparse.Namespace) -> None:
    from kitlib.grade.samples import make_samples
    from kitlib.grade.train import train_grader

    persons, epochs, seed, workers = (
        getattr(arguments, name) for name in ("persons", "epochs", "seed", "workers")
    )
    if persons < 2 or min(epochs, workers) < 1 or seed < 0:
        raise UsageError("persons are two or more, epochs and workers one or more, the seed not below zero")
    samples = make_samples(arguments.pool, persons=persons, seed=seed, workers=workers)
    options = f"--persons {persons} --epochs {epochs} --backbone {arguments.backbone} --seed {seed}"
    command = f"python -m kitlib grader train {options} --out {arguments.out.name}"
    found = train_grader(
        arguments.out, samples, epochs=epochs, seed=seed, backbone=arguments.backbone, command=command
    )
    print(json.dumps(found, indent=1))
    print(f"weights in {arguments.out}")
