"""The input and output of an audit: points with their sequence, and rows of its report."""

from collections.abc import Sequence
from typing import Literal

import pandas as pd

from kitlib.competition.tables import LANDMARK_COLUMNS
from kitlib.errors import UsageError
from kitlib.terms import CONDITIONS, LEVELS, Cell, group2place, group2sequence

Action = Literal["mend", "drop", "look"]

CODES = {
    "point.missing": "a label without a point",
    "label.missing": "a point without a label",
    "point.doubled": "another point stands for the same cell",
    "series.unknown": "the series is not described in this study",
    "sequence.wrong": "the condition is not graded on this sequence",
    "image.missing": "the series has no such instance",
    "image.outside": "the point lies beside the image",
    "side.swapped": "left and right are exchanged",
    "side.crossed": "left lies right of right, in two series that pixels alone cannot compare",
    "level.off_by_one": "the series is named a level too high or too low",
    "level.disagree": "two series name the levels differently, and nothing tells which is right",
    "level.misplaced": "the point is out of line with the other levels of its condition",
}
KEY_COLUMNS = LANDMARK_COLUMNS[:5]
REPORT_COLUMNS = ("code", *KEY_COLUMNS, "detail", "action", "mended_condition", "mended_level", "row")
"""`row` is the point's row in the landmark table, counted from 0; missing if the point is missing."""

condition2side = {condition: Cell(condition, LEVELS[0]).side for condition in CONDITIONS}
condition2group = {condition: Cell(condition, LEVELS[0]).group for condition in CONDITIONS}
condition2place = {condition: group2place[group] for condition, group in condition2group.items()}
condition2sequence = {condition: group2sequence[group] for condition, group in condition2group.items()}
ID_TYPES = dict.fromkeys(("study_id", "series_id", "instance_number", "row"), "Int64")


def described(landmarks: pd.DataFrame, series: pd.DataFrame) -> pd.DataFrame:
    """Add to points their row, sequence, place, side, rank (0 to 4 from L1/L2), empty height and width."""
    if unknown := [name for name in LANDMARK_COLUMNS if name not in landmarks]:
        raise UsageError(f"the landmark table lacks {unknown[0]}", hint=f"It has {LANDMARK_COLUMNS}.")
    keys = ["study_id", "series_id"]
    sequences = series[[*keys, "sequence"]].drop_duplicates(keys)
    points = landmarks[list(LANDMARK_COLUMNS)].assign(row=range(len(landmarks)))
    points = points.merge(sequences, how="left", on=keys)
    return points.assign(
        place=points["condition"].map(condition2place),
        side=points["condition"].map(condition2side),
        rank=points["level"].map(dict(zip(LEVELS, range(len(LEVELS))))),
        height=float("nan"),
        width=float("nan"),
    )


def found(
    points: pd.DataFrame,
    code: str,
    detail: str | pd.Series,
    action: Action | pd.Series,
    *,
    condition: pd.Series | None = None,
    level: pd.Series | None = None,
) -> pd.DataFrame:
    """Build report rows for these points; `condition` and `level` are the corrected names."""
    mended = {"mended_condition": condition, "mended_level": level}
    rows = points.assign(code=code, detail=detail, action=action, **mended)
    return rows.reindex(columns=list(REPORT_COLUMNS))


def without(points: pd.DataFrame, findings: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The points without any of these findings."""
    rows = {row for table in findings for row in table["row"]}
    return points[~points["row"].isin(rows)]


def joined(findings: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join several reports into one, sorted by study, code and cell; ids are nullable integers."""
    empty = pd.DataFrame(columns=list(REPORT_COLUMNS), dtype=object)
    report = pd.concat([empty, *(table.astype(object) for table in findings if len(table))])
    report = report.astype(ID_TYPES).astype({"condition": object, "level": object})
    order = ["study_id", "code", "condition", "level", "row"]
    return report.sort_values(order, ignore_index=True)
