"""The vocabulary: conditions, levels, severities and sequences, and the 25 cells to grade.

Spelling follows the competition's tables.
"""

import re
from typing import Literal, NamedTuple

Group = Literal["spinal", "foraminal", "subarticular"]
Side = Literal["left", "right"]

CONDITIONS = (
    "spinal_canal_stenosis",
    "left_neural_foraminal_narrowing",
    "right_neural_foraminal_narrowing",
    "left_subarticular_stenosis",
    "right_subarticular_stenosis",
)
LEVELS = ("l1_l2", "l2_l3", "l3_l4", "l4_l5", "l5_s1")
SEVERITIES = ("Normal/Mild", "Moderate", "Severe")
SEVERITY_WEIGHTS = (1, 2, 4)
PROBABILITIES = ("normal_mild", "moderate", "severe")
"""Probability columns of a prediction, in the order of SEVERITIES."""

SAGITTAL_T1 = "Sagittal T1"
SAGITTAL_T2 = "Sagittal T2/STIR"
AXIAL_T2 = "Axial T2"
SEQUENCES = (SAGITTAL_T1, SAGITTAL_T2, AXIAL_T2)
GROUPS: tuple[Group, ...] = ("spinal", "foraminal", "subarticular")

EMPTY = -1
"""The code of an unlabelled cell, where severities are coded 0, 1, 2."""

group2sequence: dict[Group, str] = {"spinal": SAGITTAL_T2, "foraminal": SAGITTAL_T1, "subarticular": AXIAL_T2}
"""The sequence on which the annotators graded each group of conditions."""


def level_text(level: str) -> str:
    """The landmark table's name of a level: `L1/L2` for `l1_l2`; also for levels that are not graded."""
    return level.upper().replace("_", "/")


level2text = {level: level_text(level) for level in LEVELS}

condition2text = {condition: condition.replace("_", " ").title() for condition in CONDITIONS}
"""Names in the landmark table, such as `Spinal Canal Stenosis` for `spinal_canal_stenosis`."""


class Cell(NamedTuple):
    """What is graded: a condition (including its side, if any) at a level."""

    condition: str
    level: str

    @property
    def name(self) -> str:
        """The cell's column in `train.csv`."""
        return f"{self.condition}_{self.level}"

    @property
    def side(self) -> Side | None:
        """The patient's side, or None for the spinal canal."""
        if self.condition.startswith("left_"):
            return "left"
        return "right" if self.condition.startswith("right_") else None

    @property
    def group(self) -> Group:
        """The condition group whose log loss includes this cell."""
        if self.side is None:
            return "spinal"
        return "foraminal" if "foraminal" in self.condition else "subarticular"


CELLS = tuple(Cell(condition, level) for condition in CONDITIONS for level in LEVELS)
"""The 25 cells in the column order of `train.csv`."""

Place = Literal["canal", "foramen", "recess"]
group2place: dict[Group, Place] = {"spinal": "canal", "foraminal": "foramen", "subarticular": "recess"}
ABOVE, BELOW = "t12_l1", "s1_s2"
"""The levels adjacent to the graded ones, which show a localiser where these end."""


class Landmark(NamedTuple):
    """A point that a localiser finds."""

    place: Place
    level: str
    side: Side | None


LANDMARKS = (
    *(Landmark("canal", level, None) for level in (ABOVE, *LEVELS, BELOW)),
    *(Landmark("foramen", level, side) for side in ("left", "right") for level in LEVELS),
    *(Landmark("recess", level, side) for side in ("left", "right") for level in LEVELS),
)
"""The 27 landmarks, in the order used by all arrays."""


def landmark_of(cell: Cell) -> Landmark:
    """The landmark at which a cell is graded."""
    return Landmark(group2place[cell.group], cell.level, cell.side)


landmark2cell = {landmark_of(cell): number for number, cell in enumerate(CELLS)}
"""The index into CELLS of the cell graded at each landmark."""

other_side = {
    condition: condition.replace("left_", "right_")
    if condition.startswith("left_")
    else condition.replace("right_", "left_")
    for condition in CONDITIONS
}
"""The condition each becomes when left and right are swapped; the spinal canal's stays the same."""

mirrored_cells = [CELLS.index(Cell(other_side[cell.condition], cell.level)) for cell in CELLS]
"""The index of the cell that each of the 25 becomes when left and right are swapped."""

CELL_NAMES = tuple(cell.name for cell in CELLS)

NUMBER = "0{0,18}[0-9]{1,18}"  # fits int64


def number_of(name: str) -> int | None:
    """Parse the id of a study or series from a folder or field name; None if the name is not an id."""
    return int(name) if re.fullmatch(NUMBER, name) else None


def row_id(study_id: int, cell: Cell) -> str:
    """The submission row id of one cell of one study."""
    return f"{study_id}_{cell.name}"


def row_ids(study_id: int) -> list[str]:
    """The 25 row ids of a study, in the order of CELLS."""
    return [row_id(study_id, cell) for cell in CELLS]


def parse_row_id(text: str) -> tuple[int, Cell]:
    """Split a row id into study id and cell; raises ValueError if it is malformed."""
    study, _, name = text.partition("_")
    study_id = number_of(study)
    if study_id is None or name not in CELL_NAMES:
        raise ValueError(f"{text!r} is not <study_id>_<condition>_<level>")
    return study_id, CELLS[CELL_NAMES.index(name)]
