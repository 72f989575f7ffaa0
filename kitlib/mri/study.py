"""A study: its series, each read to stacks, and what the absence of a sequence touches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.limits import LIMITS, Limits
from kitlib.mri.series import read_series
from kitlib.mri.stack import Stack
from kitlib.terms import CELLS, SEQUENCES, group2sequence, row_id


@dataclass(frozen=True)
class Series:
    """One series of a study, and the folder that should hold its files."""

    study_id: int
    series_id: int
    sequence: str  # one of terms.SEQUENCES
    folder: Path


def read_study(
    series: Sequence[Series], ledger: Ledger, *, limits: Limits = LIMITS
) -> dict[int, list[Stack]]:
    """The stacks of each series id, [] for one that cannot be read; lacking sequences go to the ledger."""
    series2stacks = {
        one.series_id: read_series(
            one.folder, ledger, study_id=one.study_id, series_id=one.series_id, limits=limits
        )
        for one in series
    }
    for study_id in dict.fromkeys(one.study_id for one in series):
        readable = {
            one.sequence for one in series if one.study_id == study_id and series2stacks[one.series_id]
        }
        note_missing_sequences(study_id, readable, ledger)
    return series2stacks


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
