"""Checking and scoring submissions."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kitlib.commands import Commands

if TYPE_CHECKING:
    from kitlib.competition.metric import Score


def add_validate(commands: Commands) -> None:
    """Add the command `validate`."""
    command = commands.add_parser(
        "validate",
        help="reject a submission that Kaggle would reject",
        epilog="example: python -m kitlib validate submission.csv --data DIR",
    )
    command.add_argument("file", type=Path, help="submission to check")
    command.add_argument("--data", type=Path, required=True, help="competition folder")
    command.set_defaults(call=_validate)


def _validate(arguments: argparse.Namespace) -> None:
    from kitlib.competition.root import find_root
    from kitlib.competition.submission import validate_submission

    study_ids = find_root(arguments.data).test_study_ids()
    validate_submission(arguments.file, study_ids)
    print(f"valid: {25 * len(study_ids)} rows of {len(study_ids)} studies")


def add_score(commands: Commands) -> None:
    """Add the command `score`."""
    command = commands.add_parser(
        "score",
        help="score predictions with the competition's metric",
        epilog="example: python -m kitlib score submission.csv --labels train.csv",
    )
    command.add_argument("file", type=Path, help="predictions to score")
    command.add_argument("--labels", type=Path, required=True, help="table with the columns of train.csv")
    command.set_defaults(call=_score)


def _score(arguments: argparse.Namespace) -> None:
    from kitlib.competition.metric import score
    from kitlib.competition.priors import Prior
    from kitlib.competition.tables import read_predictions, read_train_labels
    from kitlib.evaluate.baselines import uniform

    labels = read_train_labels(arguments.labels)
    rows = {
        "this file": read_predictions(arguments.file),
        "prior of these labels": Prior.fit(labels).predict(labels.index),
        "1/3": uniform(labels.index),
    }
    print_scores({name: score(labels, predictions) for name, predictions in rows.items()})


def print_scores(name2score: Mapping[str, "Score"]) -> None:
    """Each score with its four parts, one line each."""
    print(f"{'':22} {'score':>8} {'spinal':>8} {'foram.':>8} {'subart.':>8} {'any sev.':>8}")
    for name, parts in name2score.items():
        values = (parts.total, parts.spinal, parts.foraminal, parts.subarticular, parts.any_severe_spinal)
        print(f"{name:22} " + " ".join(f"{value:8.4f}" for value in values))
