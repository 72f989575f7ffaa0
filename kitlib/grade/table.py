"""Grade a table of places on single images: one row per place, with its point in pixels."""

import csv
import io
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from kitlib.competition.tables import BYTE_ORDER_MARK, few, read_text, text2level
from kitlib.errors import DataError, KitError, TableError
from kitlib.grade.images import read_image
from kitlib.grade.network import Grader
from kitlib.localise.sources import array_stack
from kitlib.prepare.views import VIEW_PX, VIEWS, View, cut_view
from kitlib.terms import AXIAL_T2, PROBABILITIES, Landmark, landmark2cell

COLUMNS = ("image", "sequence", "place", "level", "side", "x", "y", "spacing_mm")
"""Required columns. `spacing_mm` is the pixel spacing along a row; the optional `spacing_y_mm` is that along
a column. `x` and `y` are measured from the centre of the first pixel; other columns are kept."""
GRADES = (*PROBABILITIES, "opening_mm")
SPACING_MM = 0.05, 5.0
AT_ONCE = 512
Row = Mapping[Hashable, str]
SIDES = {"canal": ("",), "foramen": ("left", "right"), "recess": ("left", "right")}


class Cut(NamedTuple):
    """The view cut for one row."""

    line: int
    cell: int  # index into CELLS
    view: int  # index into VIEWS
    images: np.ndarray  # (slices, px, px) uint8
    present: np.ndarray  # (slices,) bool


@dataclass(frozen=True, eq=False)
class GradedTable:
    """The table with GRADES, empty for rows that could not be graded, and the reasons."""

    rows: pd.DataFrame
    problems: tuple[str, ...]


def grade_table(file: Path, grader: Grader) -> GradedTable:
    """Grade each row of a CSV file with COLUMNS, next to its images. Raises TableError if it is not one."""
    rows, ragged = read_places(file)
    grades = pd.DataFrame(np.nan, index=rows.index, columns=list(GRADES))
    problems = [f"line {line}: {what}" for line, what in ragged.items()]
    waiting: list[Cut] = []
    for cut in cut_places(rows.drop(list(ragged)), Path(file).parent, problems):
        waiting.append(cut)
        if len(waiting) == AT_ONCE:
            _grade(waiting, grader, grades)
            waiting = []
    _grade(waiting, grader, grades)
    return GradedTable(pd.concat([rows, grades], axis=1), tuple(problems))


def read_places(file: Path) -> tuple[pd.DataFrame, dict[int, str]]:
    """Read the rows as text, by line, and the problems of lines whose length differs from the header."""
    hint = f"Its columns: {', '.join(COLUMNS)}."
    reader = csv.reader(io.StringIO(read_text(file).removeprefix(BYTE_ORDER_MARK), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        filled = [(reader.line_num, [field.strip() for field in fields]) for fields in reader if fields]
    except csv.Error as error:
        what = f"line {reader.line_num} is not CSV: {error}"
        raise TableError(what, where=file, hint=hint) from error
    missing = [name for name in COLUMNS if name not in header]
    surplus = [name for name in header if name in GRADES or header.count(name) > 1]
    if missing or surplus:
        what = f"columns {few(missing)} are missing" if missing else f"{len(surplus)} columns cannot be kept"
        raise TableError(what, where=file, hint=hint)
    if not filled:
        raise TableError("there is no row", where=file, hint=hint)
    count = len(header)
    ragged = {
        line: f"{len(fields)} fields, where the header has {count}"
        for line, fields in filled
        if len(fields) != count
    }
    texts = {line: (fields + [""] * count)[:count] for line, fields in filled}
    return pd.DataFrame.from_dict(texts, orient="index", columns=header), ragged


def cut_places(
    rows: pd.DataFrame, folder: Path, problems: list[str], *, slices: int = 0, px: int = VIEW_PX
) -> Iterator[Cut]:
    """Cut a view for each row that can be graded; the others are added to `problems`. Images are read once.

    `slices` and `px` are as for `cut_view`; by default as many slices as the image has.
    """
    for name, own in tqdm(rows.groupby("image", sort=False), desc="images", mininterval=1):
        image: np.ndarray | KitError
        try:
            image = read_image(folder / str(name))
        except KitError as error:
            image = error
        for line, row in zip(own.index, own.to_dict("records")):
            try:
                if isinstance(image, KitError):
                    raise image
                yield Cut(line, *_view(row, image, slices or len(image), px))
            except KitError as error:
                problems.append(f"line {line}: {error}")


def _view(row: Row, image: np.ndarray, slices: int, px: int) -> tuple[int, int, np.ndarray, np.ndarray]:
    """The row's cell and view, its images and which are present. Raises DataError if nothing is visible."""
    view, landmark = _named(row)
    across = _number(row, "spacing_mm", SPACING_MM)
    down = _number(row, "spacing_y_mm", SPACING_MM) if row.get("spacing_y_mm") else across
    count, height, width = image.shape
    x, y = (
        _number(row, name, (-reach, size + reach))
        for name, size, reach in (
            ("x", width, view.side_mm / 3 / across),
            ("y", height, view.side_mm / 3 / down),
        )
    )
    beside = math.ceil(max(-x, -y, x - width + 1, y - height + 1, 0))  # some places lie just off their image
    image = np.pad(image, [(0, 0), (beside, beside), (beside, beside)])
    stack = array_stack(image, (down, across), axial=view.sequence == AXIAL_T2)
    point_mm = stack.to_patient(x + beside, y + beside, count // 2)
    shown = cut_view([stack], view, landmark, point_mm, slices=slices, px=px)
    if shown is None or len(np.unique(shown[0])) < 3:  # at most the black padding and one grey value
        raise DataError("nothing is visible at this place", where=row["image"])
    return landmark2cell[landmark], VIEWS.index(view), *shown


def _named(row: Row) -> tuple[View, Landmark]:
    view = View(row["place"], row["sequence"])  # type: ignore[arg-type]  # looked up below
    if view not in VIEWS:
        known = ", ".join(view.text for view in VIEWS)
        raise DataError("this place is not graded on this sequence", hint=f"Supported: {known}.")
    if row["side"] not in SIDES[row["place"]]:
        known = " or ".join(map(repr, SIDES[row["place"]]))
        raise DataError(f"the side of a {row['place']} is unfit", hint=f"It must be {known}.")
    if row["level"] not in text2level:
        raise DataError("the level is unfit", hint=f"It must be one of {', '.join(text2level)}.")
    return view, Landmark(view.place, text2level[row["level"]], row["side"] or None)  # type: ignore[arg-type]


def _number(row: Row, name: str, limits: tuple[float, float]) -> float:
    text = row[name]
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not limits[0] <= number <= limits[1]:
        raise DataError(
            f"{name} is {'unfit' if text else 'empty'}",
            hint=f"It must be a number from {limits[0]} to {limits[1]}.",
        )
    return number


def _grade(waiting: list[Cut], grader: Grader, grades: pd.DataFrame) -> None:
    """Grade views with the same number of slices together, and write the grades into their rows."""
    for slices in {len(cut.images) for cut in waiting}:
        alike = [cut for cut in waiting if len(cut.images) == slices]
        lines, cells, views, images, present = map(list, zip(*alike))
        probabilities, openings_mm = grader.grade(
            np.stack(images), np.stack(present), np.array(views), np.array(cells)
        )
        grades.loc[lines] = np.column_stack([probabilities, openings_mm])
