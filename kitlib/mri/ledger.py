"""The ledger of faults: what was wrong with the data, where, and what was done about it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import pandas as pd

DOUBTFUL = frozenset(
    {
        "series.contradicted",  # by its tags it is another sequence than described
        "series.contrasts",  # the contrast that is read may not be the one described
        "series.few_slices",
        "series.incomplete",  # the missing part may be the one that matters, as in series.too_large
        "series.looks",  # inverted, clipped, noise or a copy
        "series.too_large",
        "series.overlap",
        "series.strangers",
        "slice.sign",  # bright may be dark
        "slice.stream",
        "slice.unused_bits",
        "stack.ambiguous",
        "stack.greys",
        "stack.uneven",  # slices or images may not be where they seem
        "study.strangers",
    }
)
"""Codes of faults in images that are read all the same and may not be what they seem.

Submission rows graded on such images are marked by their rung. Add new codes here and document them in
docs/own_study.md. Not included are faults corrected by geometry, data left out and reported, and `stack.gap`:
an axial series with one block of slices per disc has gaps by design.
"""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with the input, and the action taken."""

    code: str  # such as "slice.pixels", "series.missing", "stack.gap"
    action: str  # what was done: "slice dropped", "rows filled with the prior"
    study_id: int | None = None
    series_id: int | None = None
    file: str = ""  # file name inside the series: never a tag, never a whole path
    detail: str = ""
    row_ids: tuple[str, ...] = ()  # submission rows affected, () if none are known

    @property
    def doubts(self) -> bool:
        """Whether it leaves images that are read in doubt, see DOUBTFUL.

        >>> Fault("slice.sign", "slice kept").doubts, Fault("slice.pixels", "slice dropped").doubts
        (True, False)
        """
        return self.code in DOUBTFUL


COLUMNS = tuple(field.name for field in fields(Fault))
ID_TYPES = {"study_id": "Int64", "series_id": "Int64"}


class Ledger:
    """Faults in the order they were found, without duplicates.

    >>> ledger = Ledger()
    >>> read_series("nowhere", ledger, study_id=7, series_id=70)
    []
    >>> ledger.table()[["code", "action", "series_id"]].values.tolist()
    [['series.missing', 'series skipped', 70]]
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = dict.fromkeys(faults)

    def add(self, fault: Fault) -> None:
        """Record a fault, unless an equal one is already recorded."""
        self._faults.setdefault(fault)

    def extend(self, faults: Iterable[Fault]) -> None:
        """Record several faults, such as another ledger's."""
        for fault in faults:
            self.add(fault)

    def __len__(self) -> int:
        return len(self._faults)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def table(self) -> pd.DataFrame:
        """One row per fault; ids are nullable integers and row ids are joined by spaces."""
        rows = [
            # A file name may be any bytes, but a table must be valid text.
            {
                **vars(fault),
                "file": as_text(fault.file),
                "row_ids": " ".join(fault.row_ids),
            }
            for fault in self
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).astype(ID_TYPES)


def as_text(name: str) -> str:
    """A file name as a table can hold it: what is not valid text becomes question marks."""
    return name.encode(errors="replace").decode()
