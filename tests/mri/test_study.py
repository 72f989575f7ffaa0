from kitlib.mri.ledger import Ledger
from kitlib.mri.study import note_missing_sequences
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES


def test_a_lacking_sequence_names_the_rows_it_leaves_bare():
    ledger = Ledger()
    note_missing_sequences(7, {SAGITTAL_T2}, ledger)
    sequence2rows = {fault.detail: fault.row_ids for fault in ledger if fault.code == "study.sequence"}
    assert sorted(sequence2rows) == [f"no {AXIAL_T2}", f"no {SAGITTAL_T1}"]
    assert len(sequence2rows[f"no {SAGITTAL_T1}"]) == 10
    assert all(row.startswith("7_") and "foraminal" in row for row in sequence2rows[f"no {SAGITTAL_T1}"])
    assert all("subarticular" in row for row in sequence2rows[f"no {AXIAL_T2}"])


def test_a_study_without_series_leaves_all_rows_bare_and_a_whole_one_none():
    ledger = Ledger()
    note_missing_sequences(5, SEQUENCES, ledger)
    assert not len(ledger)
    note_missing_sequences(5, [], ledger)
    assert len(ledger) == len(SEQUENCES)
    assert len({row for fault in ledger for row in fault.row_ids}) == 25
