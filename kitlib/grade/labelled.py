"""Labelled places on single images: read a table of them as views for training or evaluation."""

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
"""Columns of a labelled table in addition to COLUMNS. Places without a severity are skipped."""
HINT = f"Its columns: {', '.join((*COLUMNS, *LABELS))}; a severity is one of {', '.join(SEVERITIES)}."


@dataclass(frozen=True, eq=False)
class LabelledViews:
    """Labelled places whose views could be cut."""

    lines: np.ndarray  # (n,) of the table
    samples: ViewSamples  # `persons` number the studies; openings are unknown
    problems: tuple[str, ...]  # of the rows that could not be cut

    def only(self, lines: np.ndarray) -> ViewSamples:
        """Select the views of these lines."""
        return self.samples.take(np.isin(self.lines, lines))


def read_labelled(file: Path, *, slices: int = SLICES, px: int = MARGIN_PX) -> LabelledViews:
    """Read the places of a CSV file with COLUMNS and LABELS. `slices` and `px` are as for `cut_view`.

    Raises TableError if a severity is not in SEVERITIES, or there are fewer than two studies or severities.
    """
    rows, problems = _labelled_rows(file)
    cuts = list(cut_places(rows, Path(file).parent, problems, slices=slices, px=px))
    rows = rows.loc[[cut.line for cut in cuts]]
    for name in LABELS:
        if (count := rows[name].nunique()) < 2:
            problem = f"; {problems[0]}" if problems else ""
            what = f"{len(rows)} labelled places can be seen, of {count} {name}{problem}"
            raise TableError(what, where=file, hint="At least two are needed, to train on and to evaluate.")
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
