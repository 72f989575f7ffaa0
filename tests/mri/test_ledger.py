import os
import re
from pathlib import Path

import pytest

from kitlib.mri import ledger
from kitlib.mri.ledger import COLUMNS, DOUBTFUL, Fault, Ledger

GAP = Fault("stack.gap", "kept", study_id=2**40, series_id=7, detail="9.0 mm")
LOST = Fault("series.missing", "none", study_id=1, row_ids=("1_a", "1_b"))
BARE = Fault("slice.pixels", "slice dropped", file="3.dcm")


def test_an_equal_fault_is_kept_once_and_order_stays():
    noted = Ledger([GAP])
    noted.add(LOST)
    noted.extend(Ledger([GAP, BARE]))
    assert list(noted) == [GAP, LOST, BARE]
    assert len(noted) == 3


def test_an_empty_table_has_the_columns():
    assert tuple(Ledger().table().columns) == COLUMNS
    assert len(Ledger().table()) == 0


def test_a_fault_is_a_row_and_unknown_ids_are_missing():
    table = Ledger([GAP, LOST, BARE]).table()
    assert table["code"].tolist() == ["stack.gap", "series.missing", "slice.pixels"]
    assert table["study_id"].dtype == "Int64"
    assert table["study_id"].tolist()[:2] == [2**40, 1]
    assert table["study_id"].isna().tolist() == [False, False, True]


def test_row_ids_are_joined_by_a_space():
    assert Ledger([LOST]).table()["row_ids"].tolist() == ["1_a 1_b"]


@pytest.mark.parametrize("code", sorted(DOUBTFUL))
def test_every_doubtful_code_is_one_that_the_reader_notes(code):
    reader = Path(ledger.__file__).parent.rglob("*.py")
    noted = [path for path in reader if path.name != "ledger.py"]
    assert any(re.search(f'"{code}"', path.read_text(encoding="utf-8")) for path in noted)


def test_only_doubtful_codes_leave_images_in_doubt():
    assert Fault("slice.sign", "slice kept").doubts
    assert not any(fault.doubts for fault in (GAP, LOST, BARE))


def test_a_file_whose_name_is_no_text_stands_in_a_table_that_can_be_kept():
    table = Ledger([Fault("slice.pixels", "slice dropped", 7, 70, file=os.fsdecode(b"a\xff.dcm"))]).table()
    assert table["file"].tolist() == ["a?.dcm"]
    assert table.to_parquet()
