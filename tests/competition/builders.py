"""Small competitions to test with: labels, predictions, and folders in the competition's layout."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from kitlib.competition.submission import to_rows
from kitlib.terms import CELL_NAMES, EMPTY, SEQUENCES, SEVERITIES, condition2text, level2text


def make_labels(studies: int = 20, *, seed: int = 0, empty: float = 0.1) -> pd.DataFrame:
    """Random severity codes, a share of them empty."""
    random = np.random.default_rng(seed)
    codes = random.choice([0, 1, 2], p=[0.7, 0.2, 0.1], size=(studies, len(CELL_NAMES)))
    codes[random.random(codes.shape) < empty] = EMPTY
    study_ids = np.sort(random.choice(10**6, size=studies, replace=False))
    index = pd.Index(study_ids, name="study_id", dtype="int64")
    return pd.DataFrame(codes.astype(np.int8), index=index, columns=list(CELL_NAMES))


def make_predictions(study_ids: Iterable[int], *, seed: int = 0) -> pd.DataFrame:
    """Random rows that sum to 1."""
    study_ids = list(study_ids)
    random = np.random.default_rng(seed)
    return to_rows(study_ids, random.dirichlet([4, 1, 0.5], size=(len(study_ids), len(CELL_NAMES))))


def train_csv(labels: pd.DataFrame) -> str:
    """The labels as the text of `train.csv`."""
    code2severity = dict(enumerate(SEVERITIES)) | {EMPTY: ""}
    return labels.replace(code2severity).to_csv()


def series_csv(study2series: Mapping[int, Iterable[int]]) -> str:
    """The text of a series table whose series have each sequence in turn."""
    rows = [
        f"{study},{series},{SEQUENCES[index % 3]}"
        for study, all_series in study2series.items()
        for index, series in enumerate(all_series)
    ]
    return "\n".join(["study_id,series_id,series_description", *rows, ""])


def landmarks_csv(study_id: int = 7, series_id: int = 71) -> str:
    """One canal landmark per level."""
    condition = condition2text["spinal_canal_stenosis"]
    rows = [
        f"{study_id},{series_id},8,{condition},{level},{10.5 + row},20"
        for row, level in enumerate(level2text.values())
    ]
    return "\n".join(["study_id,series_id,instance_number,condition,level,x,y", *rows, ""])


def write_root(folder: Path, *, tables: Mapping[str, str] | None = None, series: Iterable[str] = ()) -> Path:
    """A folder with these tables (default: a `train.csv`) and empty series folders (`test_images/7/71`)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (tables or {"train.csv": train_csv(make_labels(3))}).items():
        (folder / name).write_text(text)
    for path in series:
        (folder / path).mkdir(parents=True)
    return folder
