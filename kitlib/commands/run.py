"""Running the notebooks, and the page about a run."""

import argparse
from pathlib import Path
from typing import Any

from kitlib.commands import SOME_FAILED, Commands, add_cluster
from kitlib.errors import UsageError


def add_run(commands: Commands) -> None:
    """Add the command `run`."""
    command = commands.add_parser(
        "run",
        help="execute the six notebooks",
        epilog="example: python -m kitlib run --profile demo --results results",
    )
    command.add_argument("--profile", default="demo", help="smoke, demo, bench or kaggle (default: demo)")
    command.add_argument(
        "--data", default="", help="competition folder (default: Kaggle's mount, else phantoms)"
    )
    command.add_argument("--work", default="", help="folder of results (default: work/<profile>)")
    command.add_argument("--from", type=int, dest="first", default=1, metavar="N", help="first step to run")
    command.add_argument("--to", type=int, dest="last", default=6, metavar="N", help="last step to run")
    command.add_argument("--only", type=int, metavar="N", help="run only this step")
    command.add_argument("--force", action="store_true", help="run steps even if nothing has changed")
    command.add_argument("--chapters", action="store_true", help="also run optional chapters, such as 04a")
    command.add_argument("--results", type=Path, metavar="DIR", help="write a page of the scores there")
    command.add_argument("--pages", type=Path, metavar="DIR", help="render the executed notebooks there")
    command.add_argument("-p", action="append", default=[], metavar="NAME=VALUE", help="override a parameter")
    command.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="one run per value, such as experiments=vit,crops or seed=1-3; repeat for every combination",
    )
    add_cluster(command)
    command.set_defaults(call=_run)


def add_report(commands: Commands) -> None:
    """Add the command `report`."""
    command = commands.add_parser(
        "report",
        help="write an HTML page about a run: results, figures, ledger, ...",
        epilog="example: python -m kitlib report --work work/demo",
    )
    command.add_argument("--profile", default="demo", help="smoke, demo, bench or kaggle (default: demo)")
    command.add_argument("--work", default="", help="folder of results (default: work/<profile>)")
    command.add_argument("--out", type=Path, help="page to write (default: report.html in that folder)")
    command.set_defaults(call=_report)


def _report(arguments: argparse.Namespace) -> None:
    from kitlib.artefacts import write_text
    from kitlib.report.pages.html import refuse_unwritable
    from kitlib.report.pages.run import run_page
    from kitlib.run.data import resolve_work
    from kitlib.run.profiles import profile_named

    work = resolve_work(profile_named(arguments.profile), arguments.work)
    out = arguments.out or work / "report.html"
    refuse_unwritable(out)
    write_text(out, run_page(work))
    print(f"report in {out}")


def _run(arguments: argparse.Namespace) -> int:
    from kitlib.run.runner import run

    asked = {
        "data_dir": arguments.data,
        "work_dir": arguments.work,
        "first": arguments.only or arguments.first,
        "last": arguments.only or arguments.last,
        "force": arguments.force,
        "optional": arguments.chapters,
        "overrides": dict(name_and_value(text) for text in arguments.p),
    }
    if arguments.sweep:
        return _sweep(arguments, asked)
    for folder in (arguments.pages, arguments.results):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)  # before minutes of work
    work = run(arguments.profile, **asked)
    if arguments.pages is not None:
        _render(work, arguments.pages)
    if arguments.results is not None:
        _write_results(work, arguments)
    return 0


def _sweep(arguments: argparse.Namespace, asked: dict[str, Any]) -> int:
    """Run every combination; their scores as one table, and those that failed with their reasons."""
    from kitlib.run.sweep import TABLE, run_sweep

    if arguments.pages or arguments.results:
        raise UsageError("--pages and --results need a single run", hint="Leave them out of a sweep.")
    swept = dict(name_and_value(text) for text in arguments.sweep)
    if len(swept) < len(arguments.sweep):
        raise UsageError("a parameter is swept twice", hint="List all of its values together: seed=1-3,7.")
    folder, table = run_sweep(arguments.profile, swept, **asked)
    print(table.drop(columns="failed").to_string(index=False, float_format="%.4f", na_rep=""))
    failed = table[table["failed"] != ""]
    for row in failed.to_dict("records"):
        print(f"failed {', '.join(f'{name} {row[name]}' for name in swept)}: {row['failed']}")
    print(f"{len(table) - len(failed)} of {len(table)} runs are done: table in {folder / TABLE}")
    return SOME_FAILED if len(failed) else 0


def _write_results(work: Path, arguments: argparse.Namespace) -> None:
    """The scores of a run as `<profile>.md`."""
    from kitlib.artefacts import write_text
    from kitlib.report.pages.experiments import results_page
    from kitlib.report.pages.run import run_facts, run_scores
    from kitlib.run.profiles import profile_named

    profile, of_run = profile_named(arguments.profile), run_facts(work)
    options = "".join(f" -p {text}" for text in arguments.p)
    phantoms = f", phantoms of seed {profile.seed}" if profile.phantom_studies and not arguments.data else ""
    facts = {
        "made by": f"`python -m kitlib run --profile {profile.name}{options}`",
        "data": of_run["data"] + phantoms,
        "weights": of_run["weights"],
    }
    out = arguments.results / f"{arguments.profile}.md"
    write_text(out, results_page(f"The run of the profile {arguments.profile}", facts, run_scores(work)))
    print(f"results in {out}")


def _render(work: Path, pages: Path) -> None:
    """A page for every executed notebook of a work folder."""
    from kitlib.report.pages.chapters import render_chapter
    from kitlib.run import layout

    found = sorted((work / layout.EXECUTED).glob("[0-9]*.ipynb"))
    executed = [notebook for notebook in found if not notebook.stem.endswith(".failed")]
    for notebook in executed:
        render_chapter(notebook, pages / f"{notebook.stem}.html")
    print(f"{len(executed)} pages in {pages}")


def name_and_value(text: str) -> tuple[str, str]:
    """The two halves of NAME=VALUE; UsageError where there is no equals sign."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is not NAME=VALUE", hint="Write, for instance, -p epochs=3.")
    return name.strip(), value.strip()
