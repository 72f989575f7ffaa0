import io

import pandas as pd
import pytest

from kitlib.mri.ledger import COLUMNS, Fault, Ledger

GAP = Fault("stack.gap", "kept", study_id=2**40, series_id=7, detail="9.0 mm")
LOST = Fault("series.missing", "none", study_id=1, row_ids=("1_a", "1_b"))
BARE = Fault("slice.pixels", "slice dropped", file="3.dcm")


def test_an_equal_fault_is_kept_once_and_order_stays():
    ledger = Ledger([GAP])
    ledger.add(LOST)
    ledger.extend(Ledger([GAP, BARE]))
    assert list(ledger) == [GAP, LOST, BARE]
    assert len(ledger) == 3


def test_an_empty_table_has_the_columns():
    assert tuple(Ledger().table().columns) == COLUMNS
    assert len(Ledger.from_table(Ledger().table())) == 0


@pytest.mark.parametrize("faults", [[GAP, LOST, BARE], [BARE], []])
def test_a_table_there_and_back(faults):
    ledger = Ledger(faults)
    assert list(Ledger.from_table(ledger.table())) == faults
    text = ledger.table().to_csv(index=False)
    assert list(Ledger.from_table(pd.read_csv(io.StringIO(text)))) == faults
    assert ledger.table()["study_id"].dtype == "Int64"


def test_row_ids_are_joined_by_a_space():
    assert Ledger([LOST]).table()["row_ids"].tolist() == ["1_a 1_b"]
