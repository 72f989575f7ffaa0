"""A landmark table put right after an audit."""

import pandas as pd

from kitlib.competition.tables import LANDMARK_COLUMNS
from kitlib.errors import DataError


def mend(landmarks: pd.DataFrame, report: pd.DataFrame) -> pd.DataFrame:
    """The audited table with sides and levels renamed and what cannot be mended left out.

    Findings to look at change nothing. A renamed level is where the point lies; whether the reader's grade
    was meant for that level or for the name is not known. DataError if the report is of another table.
    """
    table = landmarks.reset_index(drop=True)
    findings = report[report["row"].notna()]
    rows = findings["row"].astype("int64").to_numpy()
    keys = list(LANDMARK_COLUMNS[:5])
    in_range = bool((rows < len(table)).all())
    if not in_range or (table.loc[rows, keys].to_numpy() != findings[keys].to_numpy()).any():
        raise DataError("the report is not of this landmark table", hint="Audit this table first.")
    for name in ("condition", "level"):
        renamed = findings[(findings["action"] == "mend") & (findings[name] != findings[f"mended_{name}"])]
        table.loc[renamed["row"].astype("int64"), name] = renamed[f"mended_{name}"].to_numpy()
    gone = rows[(findings["action"] == "drop").to_numpy()]
    return table[~table.index.isin(gone)].reset_index(drop=True)


def counts(landmarks: pd.DataFrame, report: pd.DataFrame) -> str:
    """What `mend` does to a table, in words: "12 of 950 points dropped, 8 mended"."""
    gone = set(report.loc[report["action"] == "drop", "row"].dropna())
    renamed = set(report.loc[report["action"] == "mend", "row"].dropna()) - gone
    return f"{len(gone)} of {len(landmarks)} points dropped, {len(renamed)} mended"
