"""What a grid keeps beside predictions: what was dealt to folds, and why a fold or an experiment has none."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from kitlib.artefacts import (
    Provenance,
    facts_of,
    fingerprint,
    is_complete,
    load_table,
    save_table,
    write_text,
)
from kitlib.terms import CELL_NAMES
from kitlib.training.experiment import Split
from kitlib.training.fold import FoldTask

FAILED_FILE, SKIPPED_FILE = "failed.txt", "skipped.txt"
ORACLE_FILE = "oracle.parquet"
DIED = "it was begun and not ended: its process was stopped, or ran out of memory"


def save_cases(folder: Path, split: Split, cases: pd.DataFrame, provenance: Provenance) -> str:
    """Save the rows of a split, as `case_table` makes them; returns their digest."""
    digest = fingerprint(cases.index.tolist(), cases.to_numpy().tolist())
    path = cases_path(folder, split)
    if not (is_complete(path) and facts_of(path).get("digest") == digest):
        save_table(path, cases, provenance, digest=digest)
    return digest


def load_cases(folder: Path, split: Split) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Labels (25 codes), the columns fold, study and shared, and the digest that `save_cases` gave."""
    path = cases_path(folder, split)
    table = load_table(path)
    return table[list(CELL_NAMES)], table.drop(columns=list(CELL_NAMES)), facts_of(path)["digest"]


def cases_path(folder: Path, split: Split) -> Path:
    """Where a grid's folder keeps the rows of a split."""
    return Path(folder) / "cases" / f"{split}.parquet"


@contextlib.contextmanager
def contained(task: FoldTask) -> Iterator[None]:
    """Turn a fold's failure, or its process's death, into a note in its folder; nothing else ends by it."""
    note = task.folder / FAILED_FILE
    write_text(note, DIED)
    try:
        yield
    except Exception as error:
        write_text(note, f"{type(error).__name__}: {error}")
    else:
        forget_failure(task.folder)


def failure(task_folder: Path) -> str:
    """Why a fold has no predictions: the note in its folder, "" where there is none."""
    return _text(task_folder / FAILED_FILE)


def forget_failure(task_folder: Path) -> None:
    """Take the note away, so that the fold is run again."""
    (task_folder / FAILED_FILE).unlink(missing_ok=True)


def note_skipped(folder: Path, reason: str) -> None:
    """Say in an experiment's folder why it was not run; an empty reason takes the note away."""
    if reason:
        write_text(folder / SKIPPED_FILE, reason)
    else:
        (folder / SKIPPED_FILE).unlink(missing_ok=True)


def skipped(folder: Path) -> str:
    """Why an experiment was not run, "" where nothing says so."""
    return _text(folder / SKIPPED_FILE)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
