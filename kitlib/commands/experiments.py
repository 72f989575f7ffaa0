"""Experiments: naming them, running a family of them as a grid, and writing the table of results."""

import argparse
import datetime
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kitlib.commands import SOME_FAILED, Commands, add_cluster
from kitlib.errors import StepError, UsageError

WEIGHTS = "each row says what its backbone was trained on"

if TYPE_CHECKING:
    import pandas as pd

    from kitlib.experiments.status import RunNote


def add_experiments(commands: Commands) -> None:
    """Add the command `experiments` with its three verbs."""
    command = commands.add_parser("experiments", help="list, run and tabulate the published systems")
    verbs = command.add_subparsers(required=True, metavar="list|run|table")
    _add_list(verbs)
    for verb in (_add_run(verbs), _add_table(verbs)):
        verb.add_argument(
            "--family",
            default="published",
            type=_family,
            help="experiments with this tag (default: published)",
        )
        verb.add_argument("--profile", default="demo", help="smoke, demo, bench or kaggle (default: demo)")
        verb.add_argument("--work", default="", help="folder of results (default: work/<profile>)")


def _add_list(verbs: Commands) -> None:
    listing = verbs.add_parser(
        "list",
        help="list the experiments",
        epilog="example: python -m kitlib experiments list --family published",
    )
    listing.add_argument(
        "--family", type=_family, help="only this tag, such as first or published (default: all)"
    )
    listing.set_defaults(call=_list)


def _add_run(verbs: Commands) -> argparse.ArgumentParser:
    running = verbs.add_parser(
        "run",
        help="fit what has not been fitted yet, on phantoms or a competition folder",
        epilog="example: python -m kitlib experiments run --profile demo",
    )
    running.add_argument("--data", default="", help="competition folder (default: Kaggle's, else phantoms)")
    running.add_argument(
        "--only", nargs="+", action="extend", default=[], metavar="NAME", help="run only these experiments"
    )
    running.add_argument("--workers", type=int, help="number of processes (default: one per core)")
    running.add_argument("--keep-models", action="store_true", help="save the fitted models too")
    add_cluster(running)
    running.set_defaults(call=_run)
    return running


def _add_table(verbs: Commands) -> argparse.ArgumentParser:
    table = verbs.add_parser(
        "table",
        help="write the table as CSV, Markdown and HTML",
        epilog="example: python -m kitlib experiments table --out results",
    )
    table.add_argument("--out", type=Path, help="folder to write to (default: <work>/experiments)")
    table.add_argument(
        "--results", type=Path, metavar="DIR", help="also write published_systems and missing_sequences there"
    )
    table.set_defaults(call=_table)
    return table


def _family(tag: str) -> str:
    """The tag; prints a note if it is spelt as in version 0.1."""
    if tag != "seeds":
        return tag
    print("--family seeds is now called --family published", file=sys.stderr)
    return "published"


def _list(arguments: argparse.Namespace) -> None:
    from kitlib.experiments.published import DEMO_TAG
    from kitlib.experiments.registry import experiments

    entries = experiments(arguments.family)
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        words = " ".join([*entry.about.tags, *(["LEAKS"] if entry.leaks else [])])
        print(f"{entry.name:{width}}  {words:20} {entry.about.text}")
    demo = sum(DEMO_TAG in entry.about.tags for entry in entries)
    print(f"{len(entries)} experiments, {demo} of them in the demo subset")


def _run(arguments: argparse.Namespace) -> int:
    from kitlib.run.grid import run_grid
    from kitlib.run.profiles import profile_named

    if arguments.workers is not None and arguments.workers < 1:
        raise UsageError("workers must be at least 1", hint="Leave out --workers for one per core.")
    outcome = run_grid(
        profile_named(arguments.profile),
        arguments.family,
        data_dir=arguments.data,
        work_dir=arguments.work,
        only=arguments.only,
        workers=arguments.workers,
        keep_models=arguments.keep_models,
        command=_command("run", arguments, here=False),
    )
    for state, reasons in (("skipped", outcome.skipped), ("failed", outcome.failed)):
        for name, reason in reasons.items():
            print(f"{state} {name}: {reason}")
    if outcome.unreadable:
        print(f"{outcome.unreadable} studies have no readable series: models saw nothing of them")
    print(
        f"{outcome.fits} fits done in {outcome.folder}; {len(outcome.failed)} experiments failed, "
        f"{len(outcome.skipped)} were skipped"
    )
    return SOME_FAILED if outcome.failed else 0


def _table(arguments: argparse.Namespace) -> None:
    from kitlib.experiments.status import RunNote, rows_path
    from kitlib.report.pages.published import write_dated, write_grid
    from kitlib.run import layout
    from kitlib.run.data import resolve_work
    from kitlib.run.grid import grid_results
    from kitlib.run.profiles import profile_named
    from kitlib.run.studies import grid_experiments

    profile = profile_named(arguments.profile)
    entries = grid_experiments(profile, arguments.family)
    folder = resolve_work(profile, arguments.work) / layout.GRID
    hint = f"Run `{_command('run', arguments)}`."
    if not rows_path(folder, "studies").is_file():
        raise StepError("no experiment has been run here", where=folder, hint=hint)
    note = RunNote.of(folder)
    if note.key.settings != profile.results():
        raise StepError(
            f"the last run here did not use the settings of {profile.name!r}", where=folder, hint=hint
        )
    found, out = grid_results(folder, entries), arguments.out or folder
    said = [*_joined(note.commands), _command("table", arguments, here=False)]
    commands = ", ".join(f"`{one}`" for one in said)
    data = _data(found.baselines, note)
    write_grid(out, found, f"{data}, {datetime.date.today()}. Made by {commands}.")
    if arguments.results:
        write_dated(arguments.results, found, {"made by": commands, "data": data, "weights": WEIGHTS})
    states = found.experiments["state"].iloc[: len(entries)]
    done, failed = ((states == state).sum() for state in ("done", "failed"))
    print(f"{done} of {len(entries)} experiments done, {failed} failed: table in {out}")


def _command(verb: str, arguments: argparse.Namespace, *, here: bool = True) -> str:
    """The command of a verb with those options on which the table depends, as it is given `here`."""
    words = ["python", "-m", "kitlib", "experiments", verb]
    for name in ("family", "profile", "data", "work", "only"):
        if not (value := getattr(arguments, name, None)) or (name == "work" and not here):
            continue
        if name == "data" and not here:
            value = "DIR"
        words += [f"--{name}", *([value] if isinstance(value, str) else value)]
    return shlex.join(words)


def _joined(commands: Iterable[str]) -> list[str]:
    """Commands that name experiments to run, which end with them, as one; `run` and `run --only` stay two."""
    names: dict[tuple[str, str], list[str]] = {}
    for start, only, named in (command.partition(" --only ") for command in commands):
        names.setdefault((start, only), []).extend(named.split())
    return [start + only + " ".join(dict.fromkeys(named)) for (start, only), named in names.items()]


def _data(baselines: "pd.DataFrame", note: "RunNote") -> str:
    """What the grid ran on."""
    drawn = "phantoms" if "oracle" in baselines["experiment"].tolist() else "studies"
    unread = f" ({note.unreadable} without a readable series)" if note.unreadable else ""
    return f"{int(baselines['rows'].iloc[0])} {drawn}{unread}"
