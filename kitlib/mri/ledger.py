"""The ledger of faults: what was wrong with the data, where, and what was done about it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import pandas as pd

DOUBTFUL = frozenset(
    {
        "series.contradicted",  # by its tags it is another sequence than described
        "series.contrasts",  # the one that is read may not be the one described
        "series.few_slices",
        "series.incomplete",  # what is lacking may be the part that matters, as in the next
        "series.looks",  # inverted, clipped, noise or a copy
        "series.too_large",
        "series.overlap",
        "series.strangers",
        "slice.sign",  # bright may be dark
        "slice.stream",
        "slice.unused_bits",
        "stack.ambiguous",
        "stack.greys",
        "stack.uneven",  # places or images are not where they seem
        "study.strangers",
    }
)
"""Codes of what is wrong with images that are read all the same, and may be other than they seem.

Rows that such images grade say so by their rung. A new code is added here, and told in docs/own_study.md. Not
here is what was mended by geometry, what was left out and told, and `stack.gap`: of one block of slices a
disc, an axial series has gaps by plan.
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
    row_ids: tuple[str, ...] = ()  # submission rows it touches, () where none are known to

    @property
    def doubts(self) -> bool:
        """Whether it leaves images in doubt that are read, see DOUBTFUL.

        >>> Fault("slice.sign", "slice kept").doubts, Fault("slice.pixels", "slice dropped").doubts
        (True, False)
        """
        return self.code in DOUBTFUL


COLUMNS = tuple(field.name for field in fields(Fault))
ID_TYPES = {"study_id": "Int64", "series_id": "Int64"}


class Ledger:
    """Faults in the order they were found; an equal fault is kept once.

    >>> ledger = Ledger()
    >>> read_series("nowhere", ledger, study_id=7, series_id=70)
    []
    >>> ledger.table()[["code", "action", "series_id"]].values.tolist()
    [['series.missing', 'series skipped', 70]]
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = dict.fromkeys(faults)

    def add(self, fault: Fault) -> None:
        """Note a fault, unless an equal one stands here already."""
        self._faults.setdefault(fault)

    def extend(self, faults: Iterable[Fault]) -> None:
        """Note several faults, such as another ledger's."""
        for fault in faults:
            self.add(fault)

    def __len__(self) -> int:
        return len(self._faults)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def table(self) -> pd.DataFrame:
        """One row a fault; ids are nullable integers and row ids are joined by a space."""
        rows = [
            # A file may have any name; a table is kept as text.
            {
                **vars(fault),
                "file": as_text(fault.file),
                "row_ids": " ".join(fault.row_ids),
            }
            for fault in self
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).astype(ID_TYPES)


def as_text(name: str) -> str:
    """A file's name as a table can hold it: what is no text in it becomes question marks."""
    return name.encode(errors="replace").decode()
