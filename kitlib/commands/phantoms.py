"""Phantoms: making them, how well any model could do on them, and showing them."""

import argparse
from pathlib import Path

from kitlib.commands import Commands, add_cluster
from kitlib.commands.score import print_scores
from kitlib.errors import UsageError

DRAWN_STUDIES = 2000  # for the marks of labels without images


def add_phantoms(commands: Commands) -> None:
    """Add the command `phantoms` with its verbs."""
    command = commands.add_parser(
        "phantoms", help="synthetic studies with a known truth, in the competition's layout"
    )
    verbs = command.add_subparsers(required=True, metavar="make|oracle|page")
    make = verbs.add_parser(
        "make",
        help="generate studies",
        epilog="example: python -m kitlib phantoms make --studies 60 --test-studies 20 --out phantoms",
    )
    _ask_what_to_make(make, required=True)
    make.set_defaults(call=_make)
    oracle = verbs.add_parser(
        "oracle",
        help="how well any model could score: oracle, prior and 1/3",
        epilog="example: python -m kitlib phantoms oracle phantoms",
    )
    oracle.add_argument(
        "out", metavar="folder", type=Path, nargs="?", help="made by `phantoms make` (default: labels alone)"
    )
    oracle.add_argument("--studies", type=int, help="number of studies to draw labels for, without a folder")
    oracle.add_argument("--seed", type=int, default=2024, help="random seed (default: 2024)")
    oracle.set_defaults(call=_oracle)
    page = verbs.add_parser(
        "page",
        help="write a page of montages and label statistics",
        epilog="example: python -m kitlib phantoms page phantoms.html",
    )
    page.add_argument("page", metavar="file", type=Path, help="HTML file to write")
    page.add_argument(
        "--real", type=Path, help="folder with real data (spider/, tables/) to show beside them"
    )
    _ask_size_and_seed(page)
    page.set_defaults(call=_page)


def add_phantom(commands: Commands) -> None:
    """Add `phantom`, as the verbs of `phantoms` were spelt before: flags of one command."""
    command = commands.add_parser("phantom")
    _ask_what_to_make(command, required=False)
    command.add_argument("--oracle", action="store_true")
    command.add_argument("--page", type=Path)
    command.add_argument("--real", type=Path)
    command.set_defaults(call=_phantom)


def _ask_what_to_make(command: argparse.ArgumentParser, *, required: bool) -> None:
    command.add_argument("--out", type=Path, required=required, help="folder to create")
    command.add_argument("--studies", type=int, required=required, help="number of training studies")
    command.add_argument("--test-studies", type=int, default=0, help="number of test studies (default: 0)")
    command.add_argument("--workers", type=int, default=1, help="number of processes (default: 1)")
    command.add_argument("--missing-rate", type=float, help="share of studies with a missing series")
    command.add_argument(
        "--defect",
        action="append",
        default=[],
        help="simulate rle, signed, monochrome1, swapped_sides or off_by_one",
    )
    _ask_size_and_seed(command)
    add_cluster(command)


def _ask_size_and_seed(command: argparse.ArgumentParser) -> None:
    command.add_argument("--size", default="demo", help="smoke, demo or clinical (default: demo)")
    command.add_argument("--seed", type=int, default=2024, help="random seed (default: 2024)")


def _make(arguments: argparse.Namespace) -> None:
    from kitlib.phantom.archive import write_competition

    names = ("studies", "test_studies", "seed", "size", "workers", "missing_rate")
    asked = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    root = write_competition(arguments.out, **asked, defects=arguments.defect)
    print(f"{arguments.studies} + {arguments.test_studies} studies in {root}")


def _oracle(arguments: argparse.Namespace) -> None:
    if arguments.out and arguments.studies is not None:
        raise UsageError("a folder has its own studies", hint="Leave out --studies or the folder.")
    _rate(arguments)


def _rate(arguments: argparse.Namespace) -> None:
    """Of a folder's training studies, or of labels drawn without images."""
    from kitlib.phantom.oracle import draw_marks, folder_marks

    if arguments.out:
        count, marks = folder_marks(arguments.out)
        print(f"{count} training studies of {arguments.out}")
    else:
        count = DRAWN_STUDIES if arguments.studies is None else arguments.studies
        marks = draw_marks(count, seed=arguments.seed)
        print(f"labels of {count} generated studies, seed {arguments.seed}, without images")
    print_scores(marks)


def _page(arguments: argparse.Namespace) -> None:
    from kitlib.report.pages.phantom import write_page

    write_page(arguments.page, real=arguments.real, seed=arguments.seed, size=arguments.size)
    print(f"page in {arguments.page}")


def _phantom(arguments: argparse.Namespace) -> None:
    makes, rates, shows = arguments.out and arguments.studies is not None, arguments.oracle, arguments.page
    if not (makes or rates or shows):
        raise UsageError("nothing to do", hint="See `phantoms make --help`, `oracle` and `page`.")
    for asked, do in ((makes, _make), (rates, _rate), (shows, _page)):
        if asked:
            do(arguments)
