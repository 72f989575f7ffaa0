"""Phantoms: making them, showing them, and how well any model could do on them."""

import argparse
from pathlib import Path

from kitlib.commands import Commands, add_cluster
from kitlib.commands.score import print_scores
from kitlib.errors import UsageError

DRAWN_STUDIES = 2000  # for the marks of labels without images


def add_phantom(commands: Commands) -> None:
    """Add the command `phantom`."""
    command = commands.add_parser(
        "phantom",
        help="make studies with a known truth in the competition's layout",
        description="Make studies with a known truth; --oracle says how well any model could do on them, "
        "--page shows them beside real slices. Without --out, --oracle draws labels only.",
    )
    command.add_argument("--out", type=Path, help="folder to make, or one made before for --oracle")
    command.add_argument("--studies", type=int, help="training studies")
    command.add_argument("--test-studies", type=int, default=0)
    command.add_argument("--seed", type=int, default=2024)
    command.add_argument("--size", default="demo", help="smoke, demo or clinical (default: demo)")
    command.add_argument("--workers", type=int, default=1)
    command.add_argument("--missing-rate", type=float, help="share of studies that lack a series")
    command.add_argument(
        "--defect", action="append", default=[], help="rle, signed, monochrome1, swapped_sides or off_by_one"
    )
    command.add_argument("--oracle", action="store_true", help="print the scores of oracle, prior and 1/3")
    command.add_argument("--page", type=Path, help="HTML page to write: montages and label statistics")
    command.add_argument("--real", type=Path, help="folder with spider/ and tables/ to show on the page")
    add_cluster(command)
    command.set_defaults(call=_phantom)


def _phantom(arguments: argparse.Namespace) -> None:
    if not (arguments.out or arguments.oracle or arguments.page):
        raise UsageError("nothing to do", hint="Give --out FOLDER, --oracle or --page FILE.")
    if arguments.out and arguments.studies is not None:
        _write_phantoms(arguments)
    elif arguments.out and not arguments.oracle:
        raise UsageError("how many studies?", hint="Give --studies N.")
    if arguments.oracle:
        _print_marks(arguments)
    if arguments.page:
        from kitlib.report.pages.phantom import write_page

        write_page(arguments.page, real=arguments.real, seed=arguments.seed, size=arguments.size)
        print(f"page in {arguments.page}")


def _write_phantoms(arguments: argparse.Namespace) -> None:
    from kitlib.phantom.archive import write_competition

    names = ("studies", "test_studies", "seed", "size", "workers", "missing_rate")
    asked = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    root = write_competition(arguments.out, **asked, defects=arguments.defect)
    print(f"{arguments.studies} + {arguments.test_studies} studies in {root}")


def _print_marks(arguments: argparse.Namespace) -> None:
    """Scores of oracle, prior and 1/3 on a folder's training studies, or on labels drawn without images."""
    from kitlib.phantom.oracle import draw_marks, folder_marks

    if arguments.out:
        count, marks = folder_marks(arguments.out)
        print(f"{count} training studies of {arguments.out}")
    else:
        count = DRAWN_STUDIES if arguments.studies is None else arguments.studies
        marks = draw_marks(count, seed=arguments.seed)
        print(f"labels of {count} drawn studies, seed {arguments.seed}, without images")
    print_scores(marks)
