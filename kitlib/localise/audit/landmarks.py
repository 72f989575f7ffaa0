"""Audit a landmark table: find points that cannot be where, or what, the table says.

A table alone shows points that are missing, duplicated, on the wrong sequence, out of order or on the wrong
side of one image. With each series' stacks, points are compared in patient millimetres, which also shows
sides swapped across series and series labelled a level too high or too low.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from kitlib.artefacts import Provenance, save_json
from kitlib.errors import DataError, UsageError
from kitlib.localise.audit import geometry as audit_geometry
from kitlib.localise.audit import tables as audit_tables
from kitlib.localise.audit.findings import (
    CODES,
    KEY_COLUMNS,
    REPORT_COLUMNS,
    described,
    found,
    joined,
    without,
)
from kitlib.localise.audit.geometry import Locate, StudyOf

SIZE_COLUMNS = ("study_id", "series_id", "instance_number", "height", "width")


def audit(
    labels: pd.DataFrame,
    landmarks: pd.DataFrame,
    series: pd.DataFrame,
    *,
    sizes: pd.DataFrame | None = None,
    study_of: StudyOf | None = None,
    locate: Locate | None = None,
) -> pd.DataFrame:
    """Audit landmarks: one row per faulty point (REPORT_COLUMNS), by study; tables as from `Competition`.

    `sizes` (SIZE_COLUMNS) are those of the images. `study_of(study_id)` returns a study as read, not
    resampled, as x and y are native pixels, without series that do not exist. `locate` runs a localiser on
    studies whose series do not settle how the levels are named; its vote counts twice, and breaks ties.
    """
    points = described(landmarks, series)
    if sizes is not None:
        points = _with_sizes(points, sizes)
    if study_of is not None:
        points = audit_geometry.placed(points, study_of)
    return audit_points(points, labels, series, locate=locate)


def audit_points(
    points: pd.DataFrame, labels: pd.DataFrame, series: pd.DataFrame, *, locate: Locate | None = None
) -> pd.DataFrame:
    """Audit points that are `described`, and `placed` if their images were read."""
    findings, unfit = audit_tables.unmatched(points, labels, series), audit_tables.unfit(points)
    points = without(points, unfit)
    if "x_mm" in points:
        detail = "the series was read and lacks the instance"
        unfit.append(found(points[points["absent"]], "image.missing", detail, "drop"))
        points = points[~points["absent"]]
        findings += audit_geometry.in_patient(points, locate)
        points = points[points["x_mm"].isna()]  # unread images can be judged by the table alone
    return joined([*findings, *unfit, *audit_tables.in_pixels(points)])


def summary(report: pd.DataFrame) -> pd.DataFrame:
    """Count each of CODES: points, places (sides of a pair counted once), series, studies and actions."""
    places = report.assign(group=report["condition"].str.removeprefix("left_").str.removeprefix("right_"))
    rows = {}
    for code in CODES:
        own = places[places["code"] == code]
        rows[code] = {
            "points": len(own),
            "places": len(own[["study_id", "group", "level"]].drop_duplicates()),
            "series": len(own[["study_id", "series_id"]].dropna().drop_duplicates()),
            "studies": own["study_id"].nunique(),
            **{action: int((own["action"] == action).sum()) for action in ("mend", "drop", "look")},
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("code")


def save_report(path: Path, report: pd.DataFrame, provenance: Provenance, **facts: Any) -> None:
    """Save a report as JSON: `summary` by code, `facts`, and `findings` with ids, cell, detail and action."""
    plain = report[list(REPORT_COLUMNS)].astype(object).where(report.notna(), None)
    counts = {code: row.to_dict() for code, row in summary(report).iterrows()}
    save_json(path, {"summary": counts, "findings": plain.to_dict(orient="records"), **facts}, provenance)


def mend(landmarks: pd.DataFrame, report: pd.DataFrame) -> pd.DataFrame:
    """Correct the sides and levels of an audited table, and drop points that cannot be corrected.

    Findings with the action "look" change nothing. A corrected level is where the point lies; whether the
    reader's grade was meant for that level or for the original name is unknown. Raises DataError if the
    report is of another table.
    """
    table = landmarks.reset_index(drop=True)
    findings = report[report["row"].notna()]
    rows = findings["row"].astype("int64").to_numpy()
    keys = list(KEY_COLUMNS)
    in_range = bool((rows < len(table)).all())
    if not in_range or (table.loc[rows, keys].to_numpy() != findings[keys].to_numpy()).any():
        raise DataError("the report is not of this landmark table", hint="Audit this table first.")
    for name in ("condition", "level"):
        renamed = findings[(findings["action"] == "mend") & (findings[name] != findings[f"mended_{name}"])]
        table.loc[renamed["row"].astype("int64"), name] = renamed[f"mended_{name}"].to_numpy()
    gone = rows[(findings["action"] == "drop").to_numpy()]
    return table[~table.index.isin(gone)].reset_index(drop=True)


def mend_counts(landmarks: pd.DataFrame, report: pd.DataFrame) -> str:
    """Describe what `mend` does to a table: "12 of 950 points dropped, 8 mended"."""
    gone = set(report.loc[report["action"] == "drop", "row"].dropna())
    renamed = set(report.loc[report["action"] == "mend", "row"].dropna()) - gone
    return f"{len(gone)} of {len(landmarks)} points dropped, {len(renamed)} mended"


def _with_sizes(points: pd.DataFrame, sizes: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in SIZE_COLUMNS if name not in sizes]
    if missing:
        raise UsageError(f"the table of image sizes lacks {missing[0]}", hint=f"It has {SIZE_COLUMNS}.")
    keys = list(SIZE_COLUMNS[:3])
    one_each = sizes[list(SIZE_COLUMNS)].drop_duplicates(keys)
    return points.drop(columns=["height", "width"]).merge(one_each, how="left", on=keys)
