"""A bench's rows survive a kill at any byte, and rows of other code are not mixed with them."""

from pathlib import Path

import pytest

from kitlib.faults.journal import Journal

ROWS = [{"number": number, "text": "eins, \u201czwei\u201d\n", "far": float("inf")} for number in range(4)]


def test_rows_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "key")
    assert journal.rows("part", 3, lambda after: ROWS[after:3]) == ROWS[:3]
    assert journal.rows("part", 4, lambda after: ROWS[after:]) == ROWS
    assert journal.rows("part", 2, lambda _: pytest.fail("made again")) == ROWS[:2]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 0.9, 1.0])
def test_a_file_cut_off_anywhere_is_completed(tmp_path: Path, share: float) -> None:
    journal, file = Journal(tmp_path, "key"), tmp_path / "part.jsonl"
    journal.rows("part", 4, lambda after: ROWS[after:])
    whole = file.read_bytes()
    file.write_bytes(whole[: round(share * len(whole))])
    assert journal.rows("part", 4, lambda after: ROWS[after:]) == ROWS
    assert file.read_bytes() == whole


def test_rows_of_another_key_are_made_anew(tmp_path: Path) -> None:
    Journal(tmp_path, "old").rows("part", 1, lambda _: [{"number": -1}])
    assert Journal(tmp_path, "new").rows("part", 4, lambda after: ROWS[after:]) == ROWS
