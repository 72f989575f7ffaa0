"""The truth of a folder of phantoms: a marker file, and one truth file per study.

Fast to import: steps that only read a truth do not load the code that draws it.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kitlib.errors import DataError
from kitlib.terms import CELL_NAMES

VERSION = 5  # of the drawing code: a folder made by another version is not resumed
MARKER = "phantom.json"
TRUTHS = "phantom_truths"


def read_marker(root: Path) -> dict[str, Any]:
    """Read the request that made a folder of phantoms; empty for other folders.

    Raises DataError if it does not parse.
    """
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
    """Describe how existing phantoms differ from the requested ones; "" if they do not."""
    return ", ".join(
        f"{name} {made.get(name)}, not {value}" for name, value in asked.items() if made.get(name) != value
    )


def truth_file(root: Path, study_id: int) -> Path:
    """Return the path of a study's truth: the contents of the tables, true grades, places and openings."""
    return root / TRUTHS / f"{study_id}.json"


def read_truth(root: Path, study_id: int) -> dict[str, Any]:
    """Read the truth of a study. Raises DataError if the folder has none."""
    file = truth_file(root, study_id)
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"no truth of study {study_id}: {error}", where=file, hint="Draw the phantoms again."
        ) from error


def true_grades(root: Path, study_ids: Iterable[int]) -> pd.DataFrame:
    """Read true severities, continuous in [0, 3): index study_id, the 25 columns of CELL_NAMES."""
    grades = {study_id: read_truth(root, study_id)["grades"] for study_id in study_ids}
    return pd.DataFrame.from_dict(grades, orient="index", columns=list(CELL_NAMES)).rename_axis("study_id")
