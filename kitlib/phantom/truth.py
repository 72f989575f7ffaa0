"""What a folder of phantoms knows of itself: its marker, and one file of truth a study.

Light to import: the steps that only read a truth need not load what draws it.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kitlib.errors import DataError
from kitlib.terms import CELL_NAMES

VERSION = 5  # of what is drawn: a folder made by another version is not resumed
MARKER = "phantom.json"
TRUTHS = "phantom_truths"


def read_marker(root: Path) -> dict[str, Any]:
    """What was asked of a folder of phantoms, nothing where it is none; DataError if it does not parse."""
    marker = root / MARKER
    if not marker.is_file():
        return {}
    try:
        return dict(json.loads(marker.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"what these phantoms are does not parse: {error}",
            where=marker,
            hint="Choose another folder, or delete the one that it is in.",
        ) from error


def differences(made: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """In what phantoms that were made are others than those asked for; "" where in nothing."""
    return ", ".join(
        f"{name} {made.get(name)}, not {value}" for name, value in asked.items() if made.get(name) != value
    )


def truth_file(root: Path, study_id: int) -> Path:
    """Where the truth of a study is kept: what the tables are made of, true grades, places and openings."""
    return root / TRUTHS / f"{study_id}.json"


def read_truth(root: Path, study_id: int) -> dict[str, Any]:
    """The truth of a study; DataError where the folder holds none."""
    file = truth_file(root, study_id)
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"no truth of study {study_id}: {error}", where=file, hint="Draw the phantoms again."
        ) from error


def true_grades(root: Path, study_ids: Iterable[int]) -> pd.DataFrame:
    """True severities, continuous in [0, 3): index study_id, the 25 columns of CELL_NAMES."""
    grades = {study_id: read_truth(root, study_id)["grades"] for study_id in study_ids}
    return pd.DataFrame.from_dict(grades, orient="index", columns=list(CELL_NAMES)).rename_axis("study_id")
