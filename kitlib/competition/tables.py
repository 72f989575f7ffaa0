"""Read the competition's tables: the result is valid, or a TableError says what is wrong and where.

Every field is read as text and then converted by the rule of its column, so nothing is guessed: an id never
passes through a float, and an unknown word never becomes an empty label.

A test set cannot be corrected, so its lists of studies and series are read line by line: a line that cannot
be understood affects at most its own study, and is recorded in the ledger. Such a table may come from a
spreadsheet, in UTF-16 or with other separators, and may have extra columns.
"""

import codecs
import csv
import gzip
import io
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from kitlib.errors import TableError
from kitlib.mri.ledger import Fault, Ledger
from kitlib.terms import (
    CELL_NAMES,
    EMPTY,
    NUMBER,
    PROBABILITIES,
    SEQUENCES,
    SEVERITIES,
    condition2text,
    level2text,
    number_of,
    parse_row_id,
)

# Nine times the competition's largest table; this stops gzip bombs.
MAX_TABLE_BYTES = 32 * 2**20
BYTE_ORDER_MARK = "\ufeff"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SEPARATORS = ",;\t"
ROW_ID_PATTERN = f"(?:0|[1-9][0-9]{{0,17}})_(?:{'|'.join(CELL_NAMES)})"

SUBMISSION_COLUMNS = ("row_id", *PROBABILITIES)
SERIES_COLUMNS = ("study_id", "series_id", "series_description")
LANDMARK_COLUMNS = ("study_id", "series_id", "instance_number", "condition", "level", "x", "y")

severity2code = {severity: code for code, severity in enumerate(SEVERITIES)} | {"": EMPTY}
text2condition = {text: condition for condition, text in condition2text.items()}
text2level = {text: level for level, text in level2text.items()}

FETCH_AGAIN = "Compare it with the competition's file of that name, or fetch it again."
LINE, LEFT_OUT, IDENTIFIED_OTHERWISE = "table.line", "line left out", "sequence identified without the table"
UNDESCRIBED = "undescribed"
"""The sequence of a series that no table names; no model uses such a series as it is."""


def read_train_labels(path: Path) -> pd.DataFrame:
    """Severity codes (int8; EMPTY where unlabelled) by study_id (sorted) and the 25 columns CELL_NAMES."""
    rows = parse_rows(read_text(path), ("study_id", *CELL_NAMES), path)
    study_ids = _ids(rows, "study_id", path)
    _refuse_repeated(study_ids.to_frame(), path)
    codes = {name: _words(rows, name, severity2code, path).to_numpy(np.int8) for name in CELL_NAMES}
    return pd.DataFrame(codes, index=pd.Index(study_ids)).sort_index()


def read_series_descriptions(path: Path, ledger: Ledger | None = None) -> pd.DataFrame:
    """Read study_id, series_id and sequence of every series, once each and in the file's order.

    The sequence is one of SEQUENCES, or UNDESCRIBED if lines contradict each other or name another. A line
    that names no series is left out. All of this goes to the ledger. Raises TableError if the file is not
    such a table.
    """
    ledger = Ledger() if ledger is None else ledger
    descriptions: dict[tuple[int, int], list[str]] = defaultdict(list)
    first: dict[tuple[int | None, int | None], int] = {}
    for number, fields in _lines(path, SERIES_COLUMNS):
        study_id, series_id = number_of(fields["study_id"]), number_of(fields["series_id"])
        if study_id is None or series_id is None:
            number = first.setdefault((study_id, series_id), number)  # junk may have millions of lines
            what = f"line {number} is the first that names no study and series"
            ledger.add(Fault(LINE, LEFT_OUT, study_id, series_id, detail=what))
        else:
            descriptions[study_id, series_id].append(fields["series_description"])
    rows = [(*key, _sequence(key, texts, ledger)) for key, texts in descriptions.items()]
    return series_table(rows)


def series_table(rows: Iterable[tuple[int, int, str]] = ()) -> pd.DataFrame:
    """Build a table of study_id, series_id (int64) and sequence."""
    table = pd.DataFrame(rows, columns=["study_id", "series_id", "sequence"])
    return table.astype({"study_id": np.int64, "series_id": np.int64})


def read_studies(path: Path, ledger: Ledger) -> list[int]:
    """Read the studies that have a row in a table like `sample_submission.csv`.

    Recorded in the ledger are rows of no study or cell, and study ids with leading zeros, which written rows
    do not have. Raises TableError if the file is not such a table.
    """
    found: dict[int, None] = {}
    first = 0
    for number, fields in _lines(path, SUBMISSION_COLUMNS[:1]):
        try:
            study_id = parse_row_id(fields["row_id"])[0]
            if not fields["row_id"].startswith(f"{study_id}_"):
                what = "the sample has zeros before the study's number"
                ledger.add(Fault(LINE, "rows written without them", study_id, detail=what))
            found.setdefault(study_id)
        except ValueError:
            first = first or number
            what = f"line {first} of the sample is the first that names no study and cell"
            ledger.add(Fault(LINE, LEFT_OUT, detail=what))
    return list(found)


def read_landmarks(path: Path) -> pd.DataFrame:
    """Read landmarks, with condition and level spelled as in CELLS; x and y in pixels of the instance."""
    rows = parse_rows(read_text(path), LANDMARK_COLUMNS, path)
    ids = {name: _ids(rows, name, path) for name in ("study_id", "series_id", "instance_number")}
    words = {
        "condition": _words(rows, "condition", text2condition, path),
        "level": _words(rows, "level", text2level, path),
    }
    pixels = {name: _numbers(rows, name, path) for name in ("x", "y")}
    return pd.DataFrame({**ids, **words, **pixels}).reset_index(drop=True)


def read_predictions(path: Path) -> pd.DataFrame:
    """Read a table like `sample_submission.csv`, rows in the file's order; see `as_predictions`."""
    return as_predictions(parse_rows(read_text(path), SUBMISSION_COLUMNS, path), path)


def as_predictions(rows: pd.DataFrame, where: Path) -> pd.DataFrame:
    """Convert rows of text to three finite numbers per row_id; row ids must be well formed and unique."""
    _refuse_unlike(ROW_ID_PATTERN, rows["row_id"], "<study_id>_<condition>_<level>", where)
    _refuse_repeated(rows[["row_id"]], where)
    numbers = {name: _numbers(rows, name, where) for name in rows.columns.drop("row_id")}
    return pd.DataFrame(numbers).set_index(pd.Index(rows["row_id"]))


def read_text(path: Path) -> str:
    """Read a table's text, unpacked if .gz; raises TableError if it is missing, too large or not UTF-8."""
    content = _content(path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TableError(f"not a text in UTF-8: {error.reason}", where=path, hint=FETCH_AGAIN) from error


def _content(path: Path) -> bytes:
    """Read the bytes of a table, unpacked."""
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            content = file.read(MAX_TABLE_BYTES + 1)
    except FileNotFoundError:
        raise TableError("the file is missing", where=path, hint=FETCH_AGAIN) from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error  # without the path, which `where` gives
        raise TableError(f"the file cannot be read: {reason}", where=path, hint=FETCH_AGAIN) from error
    if len(content) > MAX_TABLE_BYTES:
        limit = f"the table is larger than {MAX_TABLE_BYTES // 2**20} MB"
        raise TableError(limit, where=path, hint="No table of the competition is that large.")
    return content


def parse_rows(text: str, columns: Sequence[str], where: Path) -> pd.DataFrame:
    """Parse all fields as text, columns in the file's order, indexed by line number.

    Raises TableError unless the columns are exactly these.
    """
    reader = csv.reader(io.StringIO(text.removeprefix(BYTE_ORDER_MARK), newline=""), strict=True)
    try:
        lines = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        what = f"line {reader.line_num} is not CSV: {error}"
        raise TableError(what, where=where, hint=FETCH_AGAIN) from error
    header = _take_header(lines, columns, where)
    for number, row in lines:
        if len(row) != len(header):
            what = f"line {number} has {len(row)} fields, the header has {len(header)}"
            raise TableError(what, where=where, hint=FETCH_AGAIN)
    index = pd.Index([number for number, _ in lines], name="line")
    return pd.DataFrame([row for _, row in lines], index=index, columns=header, dtype=object)


def _lines(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the fields, by column, of each line that is not blank; fields are stripped.

    A line that is truncated or not valid CSV has empty fields for what is missing; bytes that cannot be
    decoded become replacement characters. Raises TableError if one of the columns is missing or repeated, or
    if there is no line below the header.
    """
    content = _content(path)
    encoding = "utf-16" if content.startswith(UTF_16) else "utf-8"
    texts = content.decode(encoding, "replace").removeprefix(BYTE_ORDER_MARK).splitlines()
    separator = max(SEPARATORS, key=next(filter(str.strip, texts), "").count)
    lines = [
        (number, fields)
        for number, line in enumerate(texts, start=1)
        if any(fields := _fields(line, separator))
    ]
    header = _take_header(lines, columns, path, exact=False)
    last = len(header) - 1
    for number, fields in lines:
        row = [*fields[:last], separator.join(fields[last:])]  # a field may have lost its quotes
        yield number, dict(zip_longest(header, row, fillvalue=""))


def _fields(line: str, separator: str) -> list[str]:
    """The stripped fields of a line; the line itself if it is not valid CSV."""
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=separator, strict=True), [])]
    except csv.Error:
        return [line]


def _sequence(series: tuple[int, int], descriptions: Sequence[str], ledger: Ledger) -> str:
    """The sequence on which the lines of one series (study_id, series_id) agree, else UNDESCRIBED."""
    first, *others = descriptions
    if others:
        agree = set(others) == {first}
        what = "lines repeat each other" if agree else "lines contradict each other"
        ledger.add(Fault(LINE, "read once" if agree else IDENTIFIED_OTHERWISE, *series, detail=what))
        first = first if agree else UNDESCRIBED
    elif first not in SEQUENCES:
        what = "it is called by none of the competition's words"
        ledger.add(Fault(LINE, IDENTIFIED_OTHERWISE, *series, detail=what))
    return first if first in SEQUENCES else UNDESCRIBED


def _take_header(
    lines: list[tuple[int, list[str]]], columns: Sequence[str], where: Path, *, exact: bool = True
) -> list[str]:
    """Pop the header off the numbered lines; raises TableError unless it has these columns and lines follow.

    Other columns are allowed unless `exact`.
    """
    if not lines:
        raise TableError("the file is empty", where=where, hint=FETCH_AGAIN)
    header = lines.pop(0)[1]
    _refuse_columns(header, columns, where, exact)
    if not lines:
        raise TableError("there is a header and no row below it", where=where, hint=FETCH_AGAIN)
    return header


def _refuse_columns(header: list[str], columns: Sequence[str], where: Path, exact: bool) -> None:
    count = Counter(header)  # a line may have millions of fields
    missing = [name for name in columns if name not in count]
    surplus = [name for name in header if (count[name] > 1 if name in columns else exact)]
    if missing or surplus:
        listed = [f"missing columns {few(missing)}"] if missing else []
        listed += [f"{len(surplus)} surplus or repeated columns"] if surplus else []
        indexed = any(name == "" or name.startswith("Unnamed") for name in surplus)
        hint = "Write it without the table's index." if indexed else FETCH_AGAIN
        raise TableError("; ".join(listed), where=where, hint=hint)


def few(names: Sequence[str]) -> str:
    """The first five names, quoted and truncated, for a message."""
    return ", ".join(repr(name[:40]) for name in names[:5]) + (", ..." if len(names) > 5 else "")


def _refuse(bad: np.ndarray, texts: pd.Series, expected: str, where: Path) -> None:
    """Raise TableError for the first line where `bad` is true, without quoting its content."""
    if bad.any():
        first = int(np.argmax(bad))
        found = "unfit" if texts.iloc[first] else "empty"
        what = f"{texts.name} is {found} in line {texts.index[first]}"
        raise TableError(what, where=where, hint=f"It must be {expected}.")


def _refuse_unlike(pattern: str, texts: pd.Series, expected: str, where: Path) -> None:
    _refuse(~texts.str.fullmatch(pattern).to_numpy(bool), texts, expected, where)


def _refuse_repeated(keys: pd.DataFrame, where: Path) -> None:
    repeated = keys.duplicated().to_numpy()
    if repeated.any():
        again = int(np.argmax(repeated))
        first = int(np.argmax((keys == keys.iloc[again]).all(axis=1).to_numpy()))
        named = ", ".join(f"{name} {value}" for name, value in keys.iloc[again].items())
        what = f"{named} stands in line {keys.index[first]} and again in line {keys.index[again]}"
        raise TableError(what, where=where, hint="Keep one of them.")


def _ids(rows: pd.DataFrame, column: str, where: Path) -> pd.Series:
    """Convert a column to int64."""
    expected = "a whole number of at most 18 digits; a spreadsheet may have rewritten it"
    _refuse_unlike(NUMBER, rows[column], expected, where)
    return rows[column].astype(np.int64)


def _words(rows: pd.DataFrame, column: str, word2value: Mapping, where: Path) -> pd.Series:
    """Map a column of known words to their values."""
    allowed = ", ".join(repr(word) if word else "empty" for word in word2value)
    _refuse(~rows[column].isin(word2value).to_numpy(), rows[column], f"one of {allowed}", where)
    return rows[column].map(word2value)


def _numbers(rows: pd.DataFrame, column: str, where: Path) -> pd.Series:
    numbers = pd.to_numeric(rows[column], errors="coerce").astype(np.float64)
    _refuse(~np.isfinite(numbers.to_numpy()), rows[column], "a finite number", where)
    return numbers
