"""What a grid keeps beside predictions: what was dealt to folds, and why a fold or an experiment has none."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kitlib.artefacts import (
    Provenance,
    discard,
    facts_of,
    is_complete,
    load_table,
    load_text,
    save_text,
    write_text,
)
from kitlib.errors import ArtefactError
from kitlib.experiments.experiment import Split
from kitlib.experiments.fold import FoldTask
from kitlib.experiments.run_key import Origin
from kitlib.terms import CELL_NAMES

UNFINISHED_FILE, SKIPPED_FILE = "unfinished.txt", "skipped.txt"
ORACLE_FILE = "oracle.parquet"
BEGUN = "begun"
DIED = "its process was killed twice, the second time with no other beside it: it may want too much memory"


@dataclass(frozen=True)
class RunNote:
    """What a grid's folder says of the runs that filled it."""

    origin: Origin
    commands: list[str]
    unreadable: int
    """Studies without a series that could be read."""

    @classmethod
    def of(cls, folder: Path) -> "RunNote":
        """The note of the last run; ArtefactError where there was none."""
        facts = facts_of(path := cases_path(folder, "studies"))
        return cls(Origin.of(path), facts.get("commands", []), facts.get("unreadable", 0))


def begin_run(folder: Path, cases: pd.DataFrame, origin: Origin, *, command: str, unreadable: int) -> None:
    """Save the rows of whole studies with the note of the run; runs of one origin add up."""
    path = cases_path(folder, "studies")
    goes_on = is_complete(path) and not origin.objection(path)
    commands = [*(RunNote.of(folder).commands if goes_on else []), command]
    origin.save(path, cases, commands=list(dict.fromkeys(commands)), unreadable=unreadable)


def load_cases(folder: Path, split: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels (25 codes) of a split's rows, and the columns fold, study and shared."""
    table = load_table(cases_path(folder, split))
    return table[list(CELL_NAMES)], table.drop(columns=list(CELL_NAMES))


def cases_path(folder: Path, split: Split) -> Path:
    """Where a grid's folder keeps the rows of a split."""
    return Path(folder) / "cases" / f"{split}.parquet"


@contextlib.contextmanager
def contained(task: FoldTask) -> Iterator[None]:
    """Turn a fold's failure into a note in its folder: nothing else ends by it.

    A process that dies inside leaves the note that the fold was begun.
    """
    note(task, BEGUN)
    try:
        yield
    except Exception as error:
        note(task, f"{type(error).__name__}: {error}")
    else:
        forget(task.folder)


def note(task: FoldTask, text: str) -> None:
    """Say in a fold's folder why it has no predictions, with the facts that these would have."""
    save_text(task.folder / UNFINISHED_FILE, text, Provenance(seed=task.seed), **task.facts)


def is_begun(task_folder: Path) -> bool:
    """Whether a fold is under way, or was when its process ended."""
    return _noted(task_folder) == BEGUN


def failure(task_folder: Path) -> str:
    """Why a fold failed, "" where it did not."""
    return "" if is_begun(task_folder) else _noted(task_folder)


def forget(task_folder: Path) -> None:
    """Take the note of a fold away, so that it is run again."""
    discard(task_folder / UNFINISHED_FILE)


def note_skipped(folder: Path, reason: str) -> None:
    """Say in an experiment's folder why it was not run; an empty reason takes the note away."""
    if reason:
        write_text(folder / SKIPPED_FILE, reason)
    else:
        (folder / SKIPPED_FILE).unlink(missing_ok=True)


def skipped(folder: Path) -> str:
    """Why an experiment was not run, "" where nothing says so."""
    try:
        return (folder / SKIPPED_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _noted(task_folder: Path) -> str:
    try:
        return load_text(task_folder / UNFINISHED_FILE)
    except (ArtefactError, FileNotFoundError):  # none, or taken away or written anew while it is read
        return ""
