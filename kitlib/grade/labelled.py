"""Labelled places on single images: a table of them as views to learn on, and as they are graded."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kitlib.competition.tables import few, severity2code
from kitlib.errors import TableError
from kitlib.grade.samples import SLICES, ViewSamples
from kitlib.grade.table import COLUMNS, Cut, cut_places, read_places
from kitlib.prepare.views import MARGIN_PX
from kitlib.terms import EMPTY, SEVERITIES

LABELS = ("study_id", "severity")
"""What a labelled table has beside COLUMNS. Places without a severity are left out."""
HINT = f"Its columns: {', '.join((*COLUMNS, *LABELS))}; a severity is one of {', '.join(SEVERITIES)}."


@dataclass(frozen=True, eq=False)
class LabelledViews:
    """Labelled places that can be seen."""

    lines: np.ndarray  # (n,) of the table
    samples: ViewSamples  # whose persons number the studies, and whose openings are unknown
    problems: tuple[str, ...]  # of the rows that cannot be seen

    def only(self, lines: np.ndarray) -> ViewSamples:
        """The views of these lines."""
        return self.samples.take(np.isin(self.lines, lines))


def read_labelled(file: Path, *, slices: int = SLICES, px: int = MARGIN_PX) -> LabelledViews:
    """The places of a CSV file with COLUMNS and LABELS; TableError where nothing can be learnt from it.

    That is where a severity is no word of SEVERITIES, and where there are not two studies and two severities.
    `slices` and `px` are as `cut_view` takes them.
    """
    rows, problems = _labelled_rows(file)
    cuts = list(cut_places(rows, Path(file).parent, problems, slices=slices, px=px))
    rows = rows.loc[[cut.line for cut in cuts]]
    for name in LABELS:
        if (count := rows[name].nunique()) < 2:
            told = f"; {problems[0]}" if problems else ""
            what = f"{len(rows)} labelled places can be seen, of {count} {name}{told}"
            raise TableError(what, where=file, hint="There must be two at least, to learn from and to judge.")
    return LabelledViews(rows.index.to_numpy(), _samples(rows, cuts), tuple(problems))


def _labelled_rows(file: Path) -> tuple[pd.DataFrame, list[str]]:
    rows, ragged = read_places(file)
    missing = [name for name in LABELS if name not in rows.columns]
    if missing:
        raise TableError(f"columns {few(missing)} are missing", where=file, hint=HINT)
    whole = rows.drop(list(ragged))
    unknown = whole[~whole["severity"].isin(severity2code)]
    if len(unknown):
        raise TableError(f"the severity in line {unknown.index[0]} is unfit", where=file, hint=HINT)
    problems = [f"line {line}: {what}" for line, what in ragged.items()]
    return whole[whole["severity"].map(severity2code) != EMPTY], problems


def _samples(rows: pd.DataFrame, cuts: list[Cut]) -> ViewSamples:
    return ViewSamples(
        images=np.stack([cut.images for cut in cuts]),
        present=np.stack([cut.present for cut in cuts]),
        cells=np.array([cut.cell for cut in cuts]),
        views=np.array([cut.view for cut in cuts]),
        severities=rows["severity"].map(severity2code).to_numpy(np.int64),
        openings_mm=np.full(len(rows), np.nan, np.float32),
        persons=rows["study_id"].factorize()[0].astype(np.int64),
    )
