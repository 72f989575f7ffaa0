"""Predicting without notebooks: the study in any folder, or all test studies of a competition."""

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kitlib.commands import Commands
from kitlib.errors import UsageError
from kitlib.machine import limit_threads

if TYPE_CHECKING:
    from kitlib.mri.ledger import Fault
    from kitlib.predict.folder import StudyResult
    from kitlib.predict.predictor import Predictor
    from kitlib.predict.stream import Handling


def add_predict(commands: Commands) -> None:
    """Add the command `predict`."""
    command = commands.add_parser(
        "predict",
        help="predict one study or a test folder, from DICOM to rows",
        epilog="example: python -m kitlib predict FOLDER --out rows.csv --report page.html",
    )
    command.add_argument("folder", type=Path, nargs="?", help="DICOM of one study, in any folder layout")
    command.add_argument("--study", type=Path, help="same as FOLDER")
    command.add_argument(
        "--data", type=Path, help="instead, a competition folder, to predict all its test studies"
    )
    command.add_argument("--work", type=Path, help="folder of a finished run (default: the shipped models)")
    command.add_argument("--out", type=Path, help="CSV file to write the rows to")
    command.add_argument("--report", type=Path, help="HTML page about the study to write")
    command.add_argument(
        "--strict",
        action=argparse.BooleanOptionalAction,
        help="stop with a traceback at an unexpected exception (default: yes for one study, no for many)",
    )
    command.set_defaults(call=_predict)


def _predict(arguments: argparse.Namespace) -> None:
    limit_threads()  # as in notebooks: sums of as many parts, to the last digit the same rows
    from kitlib.artefacts import drafts_of, sweep
    from kitlib.predict.stream import Handling

    folders = [folder for folder in (arguments.folder, arguments.study, arguments.data) if folder is not None]
    if len(folders) != 1:
        what = "several folders to predict" if folders else "nothing to predict"
        raise UsageError(what, hint="Give the folder of one study, or --data.")
    strict = arguments.data is None if arguments.strict is None else arguments.strict
    for path in filter(None, (arguments.out, arguments.report)):
        sweep(drafts_of(path))  # of a command that was killed
    handling = Handling(strict, arguments.out.with_suffix(".errors.log") if arguments.out else None)
    if arguments.data:
        _predict_many(arguments, handling)
    else:
        _predict_one(folders[0], arguments, handling)


def _predictor(work: Path | None) -> "Predictor":
    from kitlib.predict.predictor import Predictor
    from kitlib.run.finished import finished_predictor

    return Predictor.shipped() if work is None else finished_predictor(work)


def _predict_many(arguments: argparse.Namespace, handling: "Handling") -> None:
    from kitlib.competition.root import find_root
    from kitlib.predict.stream import predict_competition

    if arguments.out is None or arguments.report is not None:
        raise UsageError(
            "--data requires --out and does not allow --report", hint="Or give one study's folder."
        )
    predictor = _predictor(arguments.work)
    result = predict_competition(predictor, find_root(arguments.data), out=arguments.out, handling=handling)
    _say_rows(result.predictions["rung"], arguments.out)
    _say_faults(result.ledger)


def _predict_one(folder: Path, arguments: argparse.Namespace, handling: "Handling") -> None:
    from kitlib.competition.submission import write_submission
    from kitlib.predict.folder import predict_folder

    if arguments.report is not None:
        from kitlib.report.pages.html import refuse_unwritable

        refuse_unwritable(arguments.report)
    result = predict_folder(_predictor(arguments.work), folder, handling)
    if arguments.out is None:
        _say_severities(result)
    else:
        write_submission(arguments.out, result.rows)
        _say_rows(result.prediction.rungs, arguments.out)
    if arguments.report is not None:
        from kitlib.artefacts import write_text
        from kitlib.report.pages.study import study_page

        write_text(arguments.report, study_page(result))
        print(f"report in {arguments.report}")
    _say_faults(result.ledger)


def _say_severities(result: "StudyResult") -> None:
    print(f"study {result.study.study_id}: {', '.join(result.study.sequences) or 'no image'}")
    print(result.severities.to_string())
    print("the most likely severity with its probability, and the measured opening in mm")


def _say_rows(rungs: Iterable[str], out: Path) -> None:
    counts = Counter(rungs)
    words = ", ".join(f"{count} {rung}" for rung, count in counts.most_common())
    print(f"{counts.total()} rows in {out}: {words}")


def _say_faults(faults: "Iterable[Fault]") -> None:
    """A line for each kind of fault, with its detail where it is not one of many slices."""
    found: Counter[tuple] = Counter()
    for fault in faults:
        is_said = fault.detail and not fault.code.startswith(("slice.", "stack."))
        found[fault.study_id, fault.code, fault.action, f" ({fault.detail})" if is_said else ""] += 1
    for (study_id, code, action, detail), count in found.items():
        whose = "test set" if study_id is None else f"study {study_id}"
        print(f"{whose}: {count} x {code}, {action}{detail}")
