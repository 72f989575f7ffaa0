"""Running the notebooks, and the page about a run."""

import argparse
from pathlib import Path

from kitlib.commands import Commands
from kitlib.errors import UsageError


def add_run(commands: Commands) -> None:
    """Add the command `run`."""
    command = commands.add_parser("run", help="execute the six notebooks")
    command.add_argument("--profile", default="demo", help="smoke, demo, bench or kaggle (default: demo)")
    command.add_argument(
        "--data", default="", help="competition folder (default: Kaggle's mount, else phantoms)"
    )
    command.add_argument("--work", default="", help="folder of results (default: work/<profile>)")
    command.add_argument("--from", type=int, dest="first", default=1, metavar="N", help="first step")
    command.add_argument("--to", type=int, dest="last", default=6, metavar="N", help="last step")
    command.add_argument("--only", type=int, metavar="N", help="this step alone")
    command.add_argument("--force", action="store_true", help="run steps even if nothing has changed")
    command.add_argument("--chapters", action="store_true", help="run optional chapters, such as 04a, too")
    command.add_argument("--results", type=Path, metavar="DIR", help="write the scores as a page there")
    command.add_argument("--pages", type=Path, metavar="DIR", help="render the executed notebooks there")
    command.add_argument("-p", action="append", default=[], metavar="NAME=VALUE", help="override a parameter")
    command.set_defaults(call=_run)


def add_report(commands: Commands) -> None:
    """Add the command `report`."""
    command = commands.add_parser("report", help="write the page about a run: results, figures, ledger, ...")
    command.add_argument("--profile", default="demo", help="smoke, demo, bench or kaggle (default: demo)")
    command.add_argument("--work", default="", help="folder of results (default: work/<profile>)")
    command.add_argument("--out", type=Path, help="page to write (default: report.html in that folder)")
    command.set_defaults(call=_report)


def _report(arguments: argparse.Namespace) -> None:
    from kitlib.report.pages.html import refuse_unwritable
    from kitlib.report.pages.run import write_run_page
    from kitlib.run.data import resolve_work
    from kitlib.run.profiles import profile_named

    work = resolve_work(profile_named(arguments.profile), arguments.work)
    out = arguments.out or work / "report.html"
    refuse_unwritable(out)
    write_run_page(out, work)
    print(f"report in {out}")


def _run(arguments: argparse.Namespace) -> None:
    from kitlib.run.runner import run

    for folder in (arguments.pages, arguments.results):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)  # before minutes of work
    work = run(
        arguments.profile,
        data_dir=arguments.data,
        work_dir=arguments.work,
        first=arguments.only or arguments.first,
        last=arguments.only or arguments.last,
        force=arguments.force,
        optional=arguments.chapters,
        overrides=dict(_pair(text) for text in arguments.p),
    )
    if arguments.pages is not None:
        _render(work, arguments.pages)
    if arguments.results is not None:
        _write_results(work, arguments)


def _write_results(work: Path, arguments: argparse.Namespace) -> None:
    """The scores of a run as `<profile>.md`: out of fold and, where their truth is known, on test studies."""
    from kitlib.artefacts import load_table, write_text
    from kitlib.report.pages.experiments import results_page
    from kitlib.report.pages.run import heading2scores, run_facts
    from kitlib.run.profiles import profile_named

    profile, of_run = profile_named(arguments.profile), run_facts(work)
    options = "".join(f" -p {text}" for text in arguments.p)
    phantoms = f", phantoms of seed {profile.seed}" if profile.phantom_studies and not arguments.data else ""
    facts = {
        "made by": f"`python -m kitlib run --profile {profile.name}{options}`",
        "data": of_run["data"] + phantoms,
        "weights": of_run["weights"],
    }
    found = {heading: file.under(work) for heading, file in heading2scores.items()}
    tables = {heading: load_table(path) for heading, path in found.items() if path.is_file()}
    out = arguments.results / f"{arguments.profile}.md"
    write_text(out, results_page(f"The run of the profile {arguments.profile}", facts, tables))
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


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is not NAME=VALUE", hint="Write, for instance, -p epochs=3.")
    return name.strip(), value.strip()
