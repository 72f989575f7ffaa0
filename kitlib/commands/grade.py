"""Grading single images, and training what grades them."""

import argparse
import json
import re
import sys
from pathlib import Path

from kitlib.commands import SOME_FAILED, Commands, add_cluster
from kitlib.errors import UsageError


def add_grade(commands: Commands) -> None:
    """Add the command `grade`."""
    command = commands.add_parser(
        "grade",
        help="grade places on single images: severity and opening in mm",
        epilog="example: python -m kitlib grade places.csv --out graded.csv",
    )
    command.add_argument(
        "table", type=Path, help="CSV: image, sequence, place, level, side, x, y, spacing_mm"
    )
    command.add_argument("--out", type=Path, required=True, help="CSV file to write: the table with grades")
    command.add_argument("--weights", type=Path, help="grader weights (default: the shipped ones)")
    command.set_defaults(call=_grade)


def _grade(arguments: argparse.Namespace) -> int:
    from kitlib.artefacts import write_csv
    from kitlib.grade.network import SHIPPED, Grader
    from kitlib.grade.table import grade_table

    grader = Grader.load(arguments.weights or SHIPPED)
    graded = grade_table(arguments.table, grader)
    for problem in graded.problems:
        print(problem, file=sys.stderr)
    count = len(graded.rows) - len(graded.problems)
    if not count:
        raise UsageError("no row could be graded", where=arguments.table, hint="See the reasons above.")
    write_csv(arguments.out, graded.rows, "%.6f")
    print(f"{count} of {len(graded.rows)} rows graded in {arguments.out}")
    return SOME_FAILED if graded.problems else 0


def add_grader(commands: Commands) -> None:
    """Add the command `grader`, which trains the network of `grade`."""
    command = commands.add_parser("grader", help="train the grader on phantoms or on your own labels")
    ways = command.add_subparsers(required=True, metavar="train|curve|probe")
    _add_train(ways)
    _add_curve(ways)
    _add_probe(ways)


def _add_train(ways: Commands) -> None:
    train = ways.add_parser(
        "train",
        help="train the network that `grade` uses",
        epilog="example: python -m kitlib grader train --table labelled.csv --out mine.safetensors",
    )
    train.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    train.add_argument(
        "--table", type=Path, help="train on this CSV: as for `grade`, plus study_id, severity"
    )
    train.add_argument(
        "--start", help="shipped (default with --table), nothing (default without), imagenet or a file"
    )
    train.add_argument("--backbone", default="", help="a small timm network, with --start nothing")
    train.add_argument(
        "--epochs", type=int, default=0, help="default: 2 on phantoms; with --table, by the number of views"
    )
    train.add_argument(
        "--mixup-alpha",
        type=float,
        default=0.0,
        help="mixup of pairs of views, weights from Beta(ALPHA, ALPHA)",
    )
    train.add_argument("--seed", type=int, default=2024, help="random seed (default: 2024)")
    train.add_argument("--pool", type=Path, default=Path("work/grader"), help="folder for generated views")
    train.add_argument("--persons", type=int, default=1500, help="phantoms to train on")
    train.add_argument("--workers", type=int, default=1, help="processes that generate phantoms")
    add_cluster(train)
    train.set_defaults(call=_train)


def _add_curve(ways: Commands) -> None:
    curve = ways.add_parser(
        "curve",
        help="learning curve over labelled studies: a figure and a table",
        epilog="example: python -m kitlib grader curve labelled.csv --starts shipped --seeds 1 --out curve",
    )
    curve.add_argument("table", type=Path, help="CSV: as for `grade`, plus study_id, severity")
    curve.add_argument("--studies", default="25,50,100,200,400", help="numbers of studies to train on")
    curve.add_argument(
        "--starts",
        default="shipped,imagenet,nothing",
        help="initial weights to compare (default: shipped,imagenet,nothing)",
    )
    curve.add_argument(
        "--seeds", type=int, default=3, help="random draws of the studies, each judged on its own rest"
    )
    curve.add_argument("--epochs", type=int, default=0, help="default: by the number of views")
    curve.add_argument("--workers", type=int, default=1, help="graders to tune in parallel")
    curve.add_argument(
        "--out", type=Path, required=True, help="folder to write to; finished points there are reused"
    )
    add_cluster(curve)
    curve.set_defaults(call=_curve)


def _add_probe(ways: Commands) -> None:
    probe = ways.add_parser(
        "probe",
        help="compare frozen features of backbones by a linear head on each",
        epilog="example: python -m kitlib grader probe labelled.csv --out probe.csv",
    )
    probe.add_argument("table", type=Path, help="CSV: as for `grade`, plus study_id, severity")
    probe.add_argument(
        "--features", nargs="+", default=[], metavar="NAME", help="backbones (default: all four)"
    )
    probe.add_argument("--seeds", type=int, default=3, help="number of splits of the studies")
    probe.add_argument(
        "--places", type=int, default=1000, help="places per kind of view, drawn evenly over the studies"
    )
    probe.add_argument("--out", type=Path, required=True, help="CSV file to write")
    probe.set_defaults(call=_probe)


def _train(arguments: argparse.Namespace) -> None:
    names = ("persons", "workers", "epochs", "mixup_alpha", "seed")
    persons, workers, *others = (getattr(arguments, name) for name in names)
    if persons < 2 or workers < 1 or min(others) < 0:
        what = "persons must be at least 2, workers at least 1, epochs, mixup-alpha and seed at least 0"
        raise UsageError(what)
    (_train_on_table if arguments.table else _train_on_phantoms)(arguments)
    print(f"weights in {arguments.out}")


def _train_on_phantoms(arguments: argparse.Namespace) -> None:
    from kitlib.grade.samples import make_samples
    from kitlib.grade.starts import started
    from kitlib.grade.train import train_grader

    persons, seed, start = arguments.persons, arguments.seed, arguments.start or "nothing"
    backbone = started(start, arguments.backbone).backbone  # raises before anything is drawn
    samples = make_samples(arguments.pool, persons=persons, seed=seed, workers=arguments.workers)
    epochs, alpha = arguments.epochs or 2, arguments.mixup_alpha
    how = {"epochs": epochs, "start": start, "backbone": backbone, "mixup_alpha": alpha, "seed": seed}
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in how.items())
    command = f"python -m kitlib grader train --persons {persons} {options} --out {arguments.out.name}"
    found = train_grader(arguments.out, samples, command=command, **how)
    print(json.dumps(found, indent=1))


def _train_on_table(arguments: argparse.Namespace) -> None:
    from kitlib.grade.tune import tune_grader

    how = {name: getattr(arguments, name) for name in ("backbone", "epochs", "mixup_alpha", "seed")}
    start = arguments.start or "shipped"
    curve, problems = tune_grader(arguments.out, arguments.table, start=start, **how)
    for problem in problems:
        print(problem, file=sys.stderr)
    best = min(curve, key=lambda row: row["valid_loss"])
    print(
        f"log loss on held-out studies: {curve[0]['valid_loss']:.3f} at the start, "
        f"{best['valid_loss']:.3f} after {best['epoch']} of {curve[-1]['epoch']} epochs"
    )


def _curve(arguments: argparse.Namespace) -> None:
    from kitlib.artefacts import write_csv, write_text
    from kitlib.grade.curve import curve_page, curve_table, label_curve, points_of
    from kitlib.report.figures.scores import label_curve as drawn
    from kitlib.report.style import save_figure

    if not re.fullmatch(r"\d+(,\d+)*", arguments.studies):
        raise UsageError(f"--studies is {arguments.studies!r}", hint="Give numbers such as 25,50,100.")
    sizes = [int(size) for size in arguments.studies.split(",")]
    points = points_of(arguments.starts.split(","), sizes, arguments.seeds)
    curve = label_curve(
        arguments.table, arguments.out, points, epochs=arguments.epochs, workers=arguments.workers
    )
    means = curve_table(curve)
    write_csv(arguments.out / "curve.csv", curve, "%.4f")
    write_text(arguments.out / "curve.md", curve_page(means))
    save_figure(drawn(means), arguments.out / "curve.png")
    print(f"curve.csv, curve.md and curve.png in {arguments.out}")


def _probe(arguments: argparse.Namespace) -> int:
    from kitlib.machine import limit_threads

    limit_threads()  # before numpy loads: beside other work, heads on two busy threads took ten times as long
    import pandas as pd
    from tqdm.auto import tqdm

    from kitlib.artefacts import write_csv
    from kitlib.errors import WeightsError, known_name
    from kitlib.grade.probe import FEATURES, drawn_places, probe, probe_table

    names = list(dict.fromkeys(arguments.features)) or list(FEATURES)
    for name in names:
        known_name(name, FEATURES, "features")
    if arguments.seeds < 1 or arguments.places < 1:
        raise UsageError("seeds and places must be at least 1")
    samples, drawn = drawn_places(arguments.table, arguments.places)
    print(*drawn, sep="\n")
    parts = []
    for name in tqdm(names, "features", mininterval=1):
        try:
            parts.append(probe(samples, name, arguments.seeds))
        except WeightsError as error:
            tqdm.write(f"{name}: {error}", file=sys.stderr)
    if not parts:
        what, where = "no features are available", ", ".join(names)
        raise WeightsError(what, where=where, hint="See the reasons above.")
    probed = pd.concat(parts, ignore_index=True)
    write_csv(arguments.out, probed, "%.4f")
    print(probe_table(probed).to_string(index=False))
    return SOME_FAILED if len(parts) < len(names) else 0
