"""Running the notebooks, and predicting without them."""

import argparse
from collections import Counter
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


def _run(arguments: argparse.Namespace) -> None:
    from kitlib.run.runner import run

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
    from kitlib.artefacts import load_json, load_table, write_text
    from kitlib.report.pages.experiments import results_page
    from kitlib.run import layout
    from kitlib.run.profiles import profile_named

    profile, folds = profile_named(arguments.profile), load_table(layout.FOLDS.under(work))["fold"]
    options = "".join(f" -p {text}" for text in arguments.p)
    phantoms = f", phantoms of seed {profile.seed}" if profile.phantom_studies and not arguments.data else ""
    inputs = load_json(layout.INPUTS.under(work)).values()
    made = {f"{spec.get('backbone', spec['kind'])}, weights {spec.get('weights', 'none')}" for spec in inputs}
    facts = {
        "made by": f"`python -m kitlib run --profile {profile.name}{options}`",
        "data": f"{len(folds)} studies in {folds.nunique()} folds of whole studies{phantoms}",
        "weights": "; ".join(sorted(made)),
    }
    tables = {"Out of fold": load_table(layout.SCORES.under(work))}
    if (of_test := layout.TEST_SCORES.under(work)).is_file():
        tables["Test studies, which no earlier step has read"] = load_table(of_test)
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


def add_predict(commands: Commands) -> None:
    """Add the command `predict`."""
    command = commands.add_parser("predict", help="predict a test folder, or one study, from DICOM to rows")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="competition folder, all of whose test studies are predicted")
    what.add_argument("--study", type=Path, help="folder of one study, which holds one folder a series")
    command.add_argument("--work", type=Path, required=True, help="folder of a finished run, with its models")
    command.add_argument("--out", type=Path, required=True, help="CSV file to write")
    command.add_argument(
        "--strict",
        action=argparse.BooleanOptionalAction,
        help="end with the traceback of an unexpected exception (default: of one study, yes; of many, no)",
    )
    command.set_defaults(call=_predict)


def _predict(arguments: argparse.Namespace) -> None:
    from kitlib.predict.stream import Handling
    from kitlib.run.finished import predict_data, predict_one_study

    strict = arguments.study is not None if arguments.strict is None else arguments.strict
    handling = Handling(strict, arguments.out.with_suffix(".errors.log"))
    if arguments.data:
        result = predict_data(arguments.data, arguments.work, arguments.out, handling)
    else:
        result = predict_one_study(arguments.study, arguments.work, arguments.out, handling)
    counts = result.predictions["rung"].value_counts()
    rungs = ", ".join(f"{count} {rung}" for rung, count in counts.items())
    print(f"{len(result.predictions)} rows in {arguments.out}: {rungs}")
    faults = Counter((fault.study_id, fault.code, fault.action) for fault in result.ledger)
    for (study_id, code, action), count in faults.items():
        print(f"study {study_id}: {count} x {code}, {action}")
