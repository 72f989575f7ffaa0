"""`python -m kitlib`: the kit from the command line. Rooms are imported when their command is called."""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kitlib import __version__
from kitlib.errors import KitError, UsageError

if TYPE_CHECKING:
    from kitlib.competition.metric import Score

    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

REFUSED, INTERRUPTED = 2, 130
DRAWN_STUDIES = 2000  # for the marks of labels without images


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command: exit code 0, 2 with one line for the kit's own errors, 130 when interrupted."""
    arguments = build_parser().parse_args(argv)
    try:
        arguments.call(arguments)
    except KitError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="python -m kitlib", description="From lumbar MRI to a submission.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_run, _add_phantom, _add_pretrain, _add_predict, _add_validate, _add_score):
        add(commands)
    return parser


def _add_run(commands: "Commands") -> None:
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
    command.add_argument("-p", action="append", default=[], metavar="NAME=VALUE", help="override a parameter")
    command.set_defaults(call=_run)


def _run(arguments: argparse.Namespace) -> None:
    from kitlib.run.runner import run

    run(
        arguments.profile,
        data_dir=arguments.data,
        work_dir=arguments.work,
        first=arguments.only or arguments.first,
        last=arguments.only or arguments.last,
        force=arguments.force,
        overrides=dict(_pair(text) for text in arguments.p),
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is not NAME=VALUE", hint="Write, for instance, -p epochs=3.")
    return name.strip(), value.strip()


def _add_phantom(commands: "Commands") -> None:
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
        from kitlib.report.phantom_page import write_page

        write_page(arguments.page, real=arguments.real, seed=arguments.seed, size=arguments.size)
        print(f"page in {arguments.page}")


def _write_phantoms(arguments: argparse.Namespace) -> None:
    from kitlib.phantom.archive import write_competition
    from kitlib.phantom.study import MISSING_RATE

    rate = MISSING_RATE if arguments.missing_rate is None else arguments.missing_rate
    root = write_competition(
        arguments.out,
        studies=arguments.studies,
        test_studies=arguments.test_studies,
        seed=arguments.seed,
        size=arguments.size,
        workers=arguments.workers,
        missing_rate=rate,
        defects=arguments.defect,
    )
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
    _print_scores(marks)


def _add_pretrain(commands: "Commands") -> None:
    command = commands.add_parser("pretrain", help="train the shipped backbone on phantoms")
    command.add_argument("--studies", type=int, required=True)
    command.add_argument("--epochs", type=int, required=True)
    command.add_argument("--seed", type=int, default=2024)
    command.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    command.set_defaults(call=_pretrain)


def _pretrain(arguments: argparse.Namespace) -> None:
    from kitlib.embed.pretrain import pretrain

    pretrain(studies=arguments.studies, epochs=arguments.epochs, seed=arguments.seed, out=arguments.out)
    print(f"weights in {arguments.out}")


def _add_predict(commands: "Commands") -> None:
    command = commands.add_parser("predict", help="predict a test folder, or one study, from DICOM to rows")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="competition folder, all of whose test studies are predicted")
    what.add_argument("--study", type=Path, help="folder of one study, which holds one folder a series")
    command.add_argument("--work", type=Path, required=True, help="folder of a finished run, with its models")
    command.add_argument("--out", type=Path, required=True, help="CSV file to write")
    command.set_defaults(call=_predict)


def _predict(arguments: argparse.Namespace) -> None:
    from kitlib.run.predict import predict_data, predict_one_study

    if arguments.data:
        result = predict_data(arguments.data, arguments.work, arguments.out)
    else:
        result = predict_one_study(arguments.study, arguments.work, arguments.out)
    rungs = result.predictions["rung"].value_counts()
    print(
        f"{len(result.predictions)} rows in {arguments.out}: "
        + ", ".join(f"{n} {r}" for r, n in rungs.items())
    )
    faults = Counter((fault.study_id, fault.code, fault.action) for fault in result.ledger)
    for (study_id, code, action), count in faults.items():
        print(f"study {study_id}: {count} x {code}, {action}")


def _add_validate(commands: "Commands") -> None:
    command = commands.add_parser("validate", help="refuse a submission that Kaggle would refuse")
    command.add_argument("file", type=Path)
    command.add_argument("--data", type=Path, required=True, help="competition folder")
    command.set_defaults(call=_validate)


def _validate(arguments: argparse.Namespace) -> None:
    from kitlib.competition.root import find_root
    from kitlib.competition.submission import validate_submission

    study_ids = find_root(arguments.data).test_study_ids()
    validate_submission(arguments.file, study_ids)
    print(f"valid: {25 * len(study_ids)} rows of {len(study_ids)} studies")


def _add_score(commands: "Commands") -> None:
    command = commands.add_parser("score", help="score predictions by the competition's metric")
    command.add_argument("file", type=Path)
    command.add_argument("--labels", type=Path, required=True, help="table with the columns of train.csv")
    command.set_defaults(call=_score)


def _score(arguments: argparse.Namespace) -> None:
    from kitlib.competition.metric import score
    from kitlib.competition.priors import Prior
    from kitlib.competition.tables import read_predictions, read_train_labels
    from kitlib.ensemble.scores import thirds

    labels = read_train_labels(arguments.labels)
    rows = {
        "this file": read_predictions(arguments.file),
        "prior of these labels": Prior.fit(labels).predict(labels.index),
        "1/3": thirds(labels.index),
    }
    _print_scores({name: score(labels, predictions) for name, predictions in rows.items()})


def _print_scores(name2score: Mapping[str, "Score"]) -> None:
    """Each score with its four parts, one line each."""
    print(f"{'':22} {'score':>8} {'spinal':>8} {'foram.':>8} {'subart.':>8} {'any sev.':>8}")
    for name, parts in name2score.items():
        values = (parts.total, parts.spinal, parts.foraminal, parts.subarticular, parts.any_severe_spinal)
        print(f"{name:22} " + " ".join(f"{value:8.4f}" for value in values))
