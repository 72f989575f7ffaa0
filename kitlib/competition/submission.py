"""Predictions as rows, and as the file that Kaggle scores: validated, and written atomically."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from kitlib.artefacts import write_text
from kitlib.competition import tables
from kitlib.errors import SubmissionError, TableError
from kitlib.terms import CELLS, PROBABILITIES, parse_row_id, row_ids

SUM_TOLERANCE = 2e-6  # three numbers with six decimals
REWRITE = "Write it with kitlib.competition.submission.write_submission."


def to_rows(study_ids: Iterable[int], probabilities: np.ndarray) -> pd.DataFrame:
    """Convert probabilities (n, 25, 3) to a table indexed by row_id, in the order of studies and CELLS."""
    index = pd.Index(_all_row_ids(study_ids), name="row_id", dtype=object)
    rows = np.reshape(probabilities, (len(index), len(PROBABILITIES)))
    return pd.DataFrame(rows, index=index, columns=list(PROBABILITIES))


def to_array(study_ids: Iterable[int], predictions: pd.DataFrame) -> np.ndarray:
    """Probabilities (n, 25, 3) of these studies, NaN where a row is missing; other studies are ignored."""
    rows = _probabilities(predictions).reindex(_all_row_ids(study_ids))
    return rows.to_numpy(np.float64).reshape(-1, len(CELLS), len(PROBABILITIES))


def write_submission(path: Path, predictions: pd.DataFrame) -> None:
    """Write predictions, normalised and sorted by row_id; writes nothing unless they are a valid submission.

    Raises SubmissionError if they are not.
    """
    rows = _probabilities(predictions).sort_index()
    rows = rows.div(rows.sum(axis=1, skipna=False), axis=0)
    try:
        study_ids = {parse_row_id(str(row))[0] for row in rows.index}
    except ValueError as error:
        raise SubmissionError(str(error), where=path, hint="Index predictions by row_id.") from None
    text = rows.to_csv(index_label="row_id", lineterminator="\n")
    _validate(text, study_ids, path)
    write_text(path, text)


def validate_submission(path: Path, study_ids: Iterable[int]) -> None:
    """Raise SubmissionError unless a file is the complete, valid submission for these studies.

    >>> validate_submission("competition/train.csv", [4003253])
    Traceback (most recent call last):
    kitlib.errors.SubmissionError: [data.submission] ...
    """
    try:
        text = tables.read_text(path)
    except TableError as error:
        raise SubmissionError(error.what, where=error.where, hint=REWRITE) from error
    _validate(text, study_ids, path)


def _validate(text: str, study_ids: Iterable[int], where: Path) -> None:
    if text.startswith(tables.BYTE_ORDER_MARK):
        raise SubmissionError("the file begins with a byte order mark", where=where, hint=REWRITE)
    try:
        rows = tables.parse_rows(text, tables.SUBMISSION_COLUMNS, where)
        table = tables.as_predictions(rows, where)
    except TableError as error:
        raise SubmissionError(error.what, where=error.where, hint=error.hint) from error
    if tuple(rows.columns) != tables.SUBMISSION_COLUMNS:
        what = f"the columns are in the order {', '.join(rows.columns)}"
        raise SubmissionError(what, where=where, hint=f"Use {', '.join(tables.SUBMISSION_COLUMNS)}.")
    _refuse_rows(table.index, sorted(_all_row_ids(set(study_ids))), where)
    values = table.to_numpy()
    _refuse_at(((values < 0) | (values > 1)).any(axis=1), table, "a probability is outside 0..1", where)
    sums = values.sum(axis=1)
    _refuse_at(abs(sums - 1) > SUM_TOLERANCE, table, "the three probabilities do not sum to 1", where)


def _refuse_rows(found: pd.Index, expected: list[str], where: Path) -> None:
    for fault, rows in (
        ("missing", sorted(set(expected).difference(found))),
        ("of no study or cell of the test set", sorted(set(found).difference(expected))),
    ):
        if rows:
            what = f"{len(rows)} of {len(expected)} rows are {fault}, the first is {rows[0]}"
            raise SubmissionError(what, where=where, hint=REWRITE)


def _refuse_at(bad: np.ndarray, table: pd.DataFrame, what: str, where: Path) -> None:
    if bad.any():
        row = table.index[bad][0]
        numbers = ", ".join(f"{number:g}" for number in table.loc[row])
        found = f"{what} in {bad.sum()} rows, first in {row}: {numbers}"
        raise SubmissionError(found, where=where, hint=REWRITE)


def _all_row_ids(study_ids: Iterable[int]) -> list[str]:
    return [row for study_id in study_ids for row in row_ids(study_id)]


def _probabilities(predictions: pd.DataFrame) -> pd.DataFrame:
    """The three columns of a predictions table; raises SubmissionError if one is missing or rows repeat."""
    missing = [name for name in PROBABILITIES if name not in predictions.columns]
    if missing:
        raise SubmissionError(f"predictions have no column {missing[0]}", hint="See terms.PROBABILITIES.")
    repeated = predictions.index.duplicated()
    if repeated.any():
        what = f"{repeated.sum()} rows stand twice, the first is {predictions.index[repeated][0]}"
        raise SubmissionError(what, hint="Average or choose between predictions of one cell first.")
    return predictions[list(PROBABILITIES)]
