"""Benches: of speed, and of what damaged data, spoilt files and kills do."""

import argparse
from pathlib import Path

from kitlib.commands import Commands
from kitlib.machine import limit_threads


def add_bench(commands: Commands) -> None:
    """Add the command `bench`, which measures speed unless another bench is named."""
    command = commands.add_parser(
        "bench",
        help="benchmark speed against naive loops, and time predicting and a run",
        epilog="example: python -m kitlib bench --work work/demo",
    )
    command.add_argument(
        "--work",
        type=Path,
        default=Path("work/demo"),
        help="folder of a finished run, with its models (default: work/demo)",
    )
    command.add_argument(
        "--backbones",
        nargs="+",
        default=["resnet50", "resnet10t"],
        help="backbones to embed with (default: resnet50 resnet10t)",
    )
    command.add_argument("--studies", type=int, default=6, help="number of phantoms, about fifty slices each")
    command.add_argument("--size", default="clinical", help="size of the phantoms (default: clinical)")
    command.add_argument("--repeats", type=int, default=3, help="times each ratio is measured (default: 3)")
    command.add_argument(
        "--counts",
        type=int,
        nargs="+",
        default=[1, 10, 100],
        help="numbers of studies to predict in a row (default: 1 10 100)",
    )
    command.add_argument("--out", type=Path, default=Path("results"), help="folder to write speed.md to")
    command.set_defaults(call=_bench)
    _add_faults(command.add_subparsers(metavar="faults"))


def _add_faults(benches: Commands) -> None:
    command = benches.add_parser(
        "faults",
        help="damage phantoms in every known way, and check what is reported",
        epilog="example: python -m kitlib bench faults --studies 12 --kills 4",
    )
    command.add_argument("--studies", type=int, default=60, help="number of phantoms (default: 60)")
    command.add_argument("--seed", type=int, default=2024, help="random seed (default: 2024)")
    command.add_argument("--mutants", type=int, default=2000, help="corrupted files to read (default: 2000)")
    command.add_argument(
        "--kills", type=int, default=20, metavar="N", help="moments to interrupt `predict` at (default: 20)"
    )
    command.add_argument(
        "--run-kills",
        type=int,
        default=0,
        metavar="N",
        help="moments to interrupt `run` at (default: 0)",
    )
    command.add_argument(
        "--work",
        type=Path,
        default=Path("work/faults"),
        help="folder to keep finished parts in; the same command resumes from it (default: work/faults)",
    )
    command.add_argument("--out", type=Path, default=Path("results"), help="folder to write faults.md to")
    command.set_defaults(call=_faults)


def _bench(arguments: argparse.Namespace) -> None:
    limit_threads()  # as `predict` does
    from kitlib.artefacts import write_text
    from kitlib.report.pages.speed import speed_page
    from kitlib.run.speed import measure_speed

    asked = {name: getattr(arguments, name) for name in ("studies", "size", "repeats", "counts")}
    speed = measure_speed(arguments.work, arguments.backbones, **asked)
    page = speed_page(
        {"made by": f"`{_command(arguments)}`", **speed.facts}, speed.ratios, speed.predicting, speed.steps
    )
    write_text(arguments.out / "speed.md", page)
    print(page, end="")


def _command(arguments: argparse.Namespace) -> str:
    """The command with what the figures depend on, and no folder of this machine."""
    work = "DIR" if arguments.work.is_absolute() else arguments.work
    lists = {name: " ".join(map(str, getattr(arguments, name))) for name in ("backbones", "counts")}
    single = {name: getattr(arguments, name) for name in ("studies", "size", "repeats")}
    options = "".join(f" --{name} {value}" for name, value in {**lists, **single}.items())
    return f"python -m kitlib bench --work {work}{options}"


def _faults(arguments: argparse.Namespace) -> None:
    from kitlib.artefacts import write_text
    from kitlib.faults.bench import run_bench
    from kitlib.report.pages.faults import faults_page

    asked = {name: getattr(arguments, name) for name in ("studies", "seed", "mutants", "kills", "run_kills")}
    bench = run_bench(arguments.work, **asked)
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in asked.items())
    facts = {"made by": f"`python -m kitlib bench faults {options}`", **bench.facts}
    page = faults_page(facts, bench.damages, bench.mutants, bench.endings)
    write_text(arguments.out / "faults.md", page)
    failed = (bench.damages["failures"] != "").sum()
    print(
        f"{len(bench.damages) - failed} of {len(bench.damages)} cases passed: {arguments.out / 'faults.md'}"
    )
