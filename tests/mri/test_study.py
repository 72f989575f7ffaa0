from kitlib.mri.ledger import Ledger
from kitlib.mri.study import Series, note_missing_sequences, read_study
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES
from tests.mri.builders import AXIAL, make_series


def test_a_study_is_its_series(tmp_path):
    series = [
        Series(1, 10, SAGITTAL_T1, make_series(tmp_path / "10")),
        Series(1, 20, SAGITTAL_T2, make_series(tmp_path / "20")),
        Series(1, 30, AXIAL_T2, make_series(tmp_path / "30", orientation=AXIAL)),
        Series(1, 40, AXIAL_T2, tmp_path / "40"),
    ]
    ledger = Ledger()
    series2stacks = read_study(series, ledger)
    assert list(series2stacks) == [10, 20, 30, 40]
    assert [len(stacks) for stacks in series2stacks.values()] == [1, 1, 1, 0]
    # The second axial series is absent, and yet no rows are bare: the first one has them.
    assert [(fault.code, fault.series_id, fault.row_ids) for fault in ledger] == [("series.missing", 40, ())]


def test_a_sequence_that_cannot_be_read_names_the_rows_it_leaves_bare(tmp_path):
    series = [
        Series(7, 10, SAGITTAL_T1, make_series(tmp_path / "10", missing="PixelData")),
        Series(7, 20, SAGITTAL_T2, make_series(tmp_path / "20")),
    ]
    ledger = Ledger()
    read_study(series, ledger)
    sequence2rows = {fault.detail: fault.row_ids for fault in ledger if fault.code == "study.sequence"}
    assert sorted(sequence2rows) == [f"no {AXIAL_T2}", f"no {SAGITTAL_T1}"]
    assert len(sequence2rows[f"no {SAGITTAL_T1}"]) == 10
    assert all(row.startswith("7_") and "foraminal" in row for row in sequence2rows[f"no {SAGITTAL_T1}"])
    assert all("subarticular" in row for row in sequence2rows[f"no {AXIAL_T2}"])


def test_a_study_without_series_leaves_all_rows_bare():
    assert read_study([], Ledger()) == {}
    ledger = Ledger()
    note_missing_sequences(5, [], ledger)
    assert len(ledger) == len(SEQUENCES)
    assert len({row for fault in ledger for row in fault.row_ids}) == 25
