"""The 25 cells and their names."""

import subprocess
import sys

import pytest

from kitlib import terms
from kitlib.terms import (
    CELL_NAMES,
    CELLS,
    CONDITIONS,
    LEVELS,
    Cell,
    mirrored_cells,
    number_of,
    parse_row_id,
    row_id,
    row_ids,
)


def test_the_cells_are_the_columns_of_the_competition_in_order():
    assert len(set(CELL_NAMES)) == 25
    assert CELL_NAMES[0] == "spinal_canal_stenosis_l1_l2"
    assert CELL_NAMES[5] == "left_neural_foraminal_narrowing_l1_l2"
    assert CELL_NAMES[-1] == "right_subarticular_stenosis_l5_s1"
    assert [(cell.condition, cell.level) for cell in CELLS] == [
        (c, level) for c in CONDITIONS for level in LEVELS
    ]


def test_side_and_group_follow_from_the_condition():
    sides = [(cell.side, cell.group) for cell in CELLS if cell.level == "l4_l5"]
    assert sides == [
        (None, "spinal"),
        ("left", "foraminal"),
        ("right", "foraminal"),
        ("left", "subarticular"),
        ("right", "subarticular"),
    ]
    assert set(terms.group2sequence) == set(terms.GROUPS)
    assert set(terms.group2sequence.values()) == set(terms.SEQUENCES)


def test_the_landmark_tables_spelling():
    assert terms.level2text["l5_s1"] == "L5/S1"
    assert terms.condition2text["left_neural_foraminal_narrowing"] == "Left Neural Foraminal Narrowing"


def test_a_row_id_and_back():
    for study_id in (0, 7, 4290709089):
        assert [parse_row_id(row) for row in row_ids(study_id)] == [(study_id, cell) for cell in CELLS]
    cell = Cell("left_subarticular_stenosis", "l1_l2")
    assert row_id(44036939, cell) == "44036939_left_subarticular_stenosis_l1_l2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "7_",
        "_spinal_canal_stenosis_l1_l2",
        "7_spinal",
        "x_" + CELL_NAMES[0],
        "-7_" + CELL_NAMES[0],
        f"{'9' * 19}_{CELL_NAMES[0]}",
        "٣_" + CELL_NAMES[0],
        f"7_{CELL_NAMES[0]} ",
    ],
)
def test_what_is_no_row_id_is_refused(text):
    with pytest.raises(ValueError, match="<study_id>_<condition>_<level>"):
        parse_row_id(text)


def test_a_number_is_one_that_fits_an_id():
    assert [number_of(name) for name in ("0", "123", "007", "9" * 18)] == [0, 123, 7, 10**18 - 1]
    hostile = ("", "-1", "+1", "1.2.3", "Smith", "9" * 19, "0" * 999 + "1", "²", "٣", "1\n", " 1")
    assert [number_of(name) for name in hostile] == [None] * len(hostile)


def test_the_low_floors_load_without_torch():
    rooms = "kitlib.terms, kitlib.errors, kitlib.artefacts, kitlib.machine, kitlib.competition.root"
    code = f"import sys, {rooms}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_mirrored_cells_have_the_other_side_and_all_else_the_same():
    assert [mirrored_cells[index] for index in mirrored_cells] == list(range(25))
    for cell, index in zip(CELLS, mirrored_cells, strict=True):
        other = CELLS[index]
        assert (other.level, other.group) == (cell.level, cell.group)
        assert {cell.side, other.side} in ({None}, {"left", "right"})
