"""Kaggle: what to upload, its rehearsal on this machine, and the ledger of submissions."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kitlib.commands import SOME_FAILED, Commands
from kitlib.commands.run import name_and_value
from kitlib.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from kitlib.kaggle.rehearse import Rehearsed

NO_OWNER = "your-name"
PHANTOMS: dict[str, Any] = {"studies": 16, "test_studies": 5, "seed": 2024, "size": "smoke"}


def add_kaggle(commands: Commands) -> None:
    """Add the command `kaggle` with its four verbs."""
    command = commands.add_parser("kaggle", help="build and rehearse Kaggle submissions, and keep a ledger")
    verbs = command.add_subparsers(required=True, metavar="build|rehearse|record|score")
    _add_build(verbs)
    _add_rehearse(verbs)
    recording = verbs.add_parser(
        "record",
        help="add a submission to the ledger",
        epilog="example: python -m kitlib kaggle record work/kaggle",
    )
    recording.add_argument("work", type=Path, help="folder of a finished run, or the kernels' output")
    recording.set_defaults(call=_record)
    scoring = verbs.add_parser(
        "score",
        help="add a leaderboard score, and plot it against CV",
        epilog="example: python -m kitlib kaggle score 1 0.41",
    )
    scoring.add_argument("id", type=int, help="number of the submission in the ledger")
    scoring.add_argument("value", type=float, help="its leaderboard score")
    scoring.add_argument(
        "--private", action="store_true", help="the score is from the private leaderboard (default: public)"
    )
    scoring.set_defaults(call=_score)
    for verb in (recording, scoring):
        verb.add_argument("--ledger", type=Path, help="ledger file (default: submissions/ledger.csv)")


def _add_build(verbs: Commands) -> None:
    building = verbs.add_parser(
        "build",
        help="make the datasets and kernels to upload, and check them",
        epilog="example: python -m kitlib kaggle build --out upload --owner me",
    )
    building.add_argument("--out", type=Path, required=True, help="folder to create")
    building.add_argument("--owner", default=NO_OWNER, help="your Kaggle username, as in its URLs")
    building.add_argument("--profile", default="kaggle", help="profile of the notebooks (default: kaggle)")
    building.add_argument(
        "--wheels",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="packages that Kaggle's image lacks",
    )
    building.add_argument(
        "-p", action="append", default=[], metavar="NAME=VALUE", help="override a parameter"
    )
    building.set_defaults(call=_build)


def _add_rehearse(verbs: Commands) -> None:
    rehearsing = verbs.add_parser(
        "rehearse",
        help="run a build here as Kaggle would, and give a verdict",
        epilog="example: python -m kitlib kaggle rehearse upload",
    )
    rehearsing.add_argument("build", type=Path, help="folder created by `kaggle build`")
    rehearsing.add_argument(
        "--data", type=Path, help="competition folder; all its test studies are hidden (default: phantoms)"
    )
    rehearsing.add_argument(
        "--out", type=Path, default=Path("work/rehearsal"), help="folder for the sessions"
    )
    rehearsing.add_argument(
        "--hours",
        type=float,
        default=9.0,
        help="time limit of a session; raise it without Kaggle's GPU (default: 9)",
    )
    rehearsing.set_defaults(call=_rehearse)


def _build(arguments: argparse.Namespace) -> int:
    from kitlib.kaggle.build import COMMANDS_FILE, build
    from kitlib.kaggle.lint import lint

    overrides = dict(map(name_and_value, arguments.p))
    build(arguments.out, arguments.owner, arguments.profile, overrides, arguments.wheels)
    if faults := lint(arguments.out):
        print("\n".join(faults))
        return SOME_FAILED
    print((arguments.out / COMMANDS_FILE).read_text(encoding="utf-8"), end="")
    if arguments.owner == NO_OWNER:
        print(f"The owner is {NO_OWNER!r}: build with --owner before you upload.")
    return 0


def _rehearse(arguments: argparse.Namespace) -> int:
    from kitlib.artefacts import write_text
    from kitlib.competition.root import find_root
    from kitlib.kaggle.image import Limits
    from kitlib.kaggle.lint import lint
    from kitlib.kaggle.rehearse import Rehearsal
    from kitlib.kaggle.session import namespaces_allowed

    limits = Limits(arguments.hours)
    build, out = arguments.build.absolute(), arguments.out.absolute()
    if faults := lint(build):
        print("\n".join(faults))
        return SOME_FAILED
    if not (isolated := namespaces_allowed()):
        print(
            "Namespaces are not allowed here: inputs are links, not read-only, and the network is reachable."
        )
    competition = find_root(arguments.data or _phantoms(out))
    rehearsed = Rehearsal(build, competition, out, isolated, limits).run()
    text = _as_text(rehearsed, arguments.hours)
    write_text(out / "rehearsal.txt", text)
    print(text, end="")
    return SOME_FAILED if rehearsed.against else 0


def _phantoms(out: Path) -> Path:
    from kitlib.phantom.archive import write_competition

    return write_competition(out / "phantoms", **PHANTOMS)


def _as_text(rehearsed: "Rehearsed", hours: float) -> str:
    """Versions that differ, sessions, score, time and memory, and the verdict last."""
    from kitlib.kaggle.image import HIDDEN_STUDIES, IMAGE_DATE, version_differences

    sessions = rehearsed.sessions
    rounded = sessions.round({"wall_s": 1, "peak_memory_mb": 0, "written_mb": 1, "projected_h": 2})
    verdict = "do not submit it" if rehearsed.against else "it can be submitted"
    projected = f"{HIDDEN_STUDIES} hidden studies {sessions['projected_h'].iloc[-1]:.2f} h"
    lines = [
        f"Versions that differ from Kaggle's image of {IMAGE_DATE}:",
        version_differences().to_string(index=False),
        "",
        rounded.to_string(index=False),
        "projected_h: Kaggle's studies on this machine; for training at most, as if all grew with them.",
        "",
        *(f"{name:10} {parts.total:.4f}" for name, parts in rehearsed.scores.items()),
        *(
            []
            if math.isnan(rehearsed.study_s)
            else [f"seconds per hidden study {rehearsed.study_s:.2f}", projected]
        ),
        f"peak memory {sessions['peak_memory_mb'].max():.0f} MB",
        *(f"against it: {reason}" for reason in rehearsed.against),
        f"verdict: {verdict}, at {hours:g} h per session",
    ]
    return "\n".join(lines) + "\n"


def _record(arguments: argparse.Namespace) -> None:
    from kitlib.kaggle.ledger import read_ledger, record

    file = _ledger(arguments)
    number = record(file, arguments.work)
    _show(read_ledger(file), file)
    print(f"submission {number}; when it is scored: python -m kitlib kaggle score {number} VALUE")


def _score(arguments: argparse.Namespace) -> None:
    from kitlib.kaggle.ledger import BOARDS, enter_score

    file = _ledger(arguments)
    _show(enter_score(file, arguments.id, arguments.value, BOARDS[arguments.private]), file)


def _show(table: "pd.DataFrame", file: Path) -> None:
    """Print a ledger, and plot it where the leaderboard has scored something."""
    from kitlib.kaggle.ledger import BOARDS
    from kitlib.report.figures.scores import leaderboard
    from kitlib.report.style import save_figure

    shown = table.drop(columns=["submission_sha256", "ensemble_sha256", "models"])
    print(shown.to_string(index=False, na_rep="-"))
    if table[list(BOARDS)].notna().any(axis=None):
        save_figure(leaderboard(table), file.with_suffix(".png"))
        print(f"CV against leaderboard: {file.with_suffix('.png')}")


def _ledger(arguments: argparse.Namespace) -> Path:
    from kitlib.kaggle.ledger import FILE
    from kitlib.run.data import repository

    if arguments.ledger:
        return arguments.ledger
    if (home := repository()) is None:
        raise UsageError("the ledger was not found", hint="Give --ledger FILE, or run in the repository.")
    return home / "submissions" / FILE
