"""What the absence of a sequence from a study touches."""

from collections.abc import Iterable

from kitlib.mri.ledger import Fault, Ledger
from kitlib.terms import CELLS, SEQUENCES, group2sequence, row_id


def note_missing_sequences(study_id: int, readable: Iterable[str], ledger: Ledger) -> None:
    """A fault for each sequence that a study lacks, with the rows of the conditions graded on it."""
    for sequence in SEQUENCES:
        if sequence not in readable:
            rows = tuple(row_id(study_id, cell) for cell in CELLS if group2sequence[cell.group] == sequence)
            ledger.add(
                Fault(
                    "study.sequence", "study read without it", study_id, detail=f"no {sequence}", row_ids=rows
                )
            )
