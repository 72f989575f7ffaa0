"""What runs record besides predictions: what they were made from, and why a fold or experiment has none."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kitlib.artefacts import (
    Provenance,
    discard,
    facts_of,
    is_complete,
    load_table,
    load_text,
    save_table,
    save_text,
    write_text,
)
from kitlib.errors import ArtefactError
from kitlib.experiments.experiment import SplitName
from kitlib.experiments.fold import FoldTask
from kitlib.terms import CELL_NAMES

UNFINISHED_FILE, SKIPPED_FILE = "unfinished.txt", "skipped.txt"
ORACLE_FILE = "oracle.parquet"
BEGUN = "begun"
DIED = "its process was killed twice, the second time while running alone: it may need too much memory"


@dataclass(frozen=True)
class RunKey:
    """What all results in one table have in common; saved among the facts of everything a run writes."""

    data: str
    """Fingerprint of all studies with their images, labels and folds."""
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, path: Path) -> "RunKey":
        """The key of an artefact; raises ArtefactError if it does not exist."""
        facts = facts_of(path)
        return cls(facts.get("data", ""), facts.get("settings", {}))

    @property
    def facts(self) -> dict[str, Any]:
        """The facts saved with an artefact, from which `of` reads the key."""
        return {"data": self.data, "settings": dict(self.settings)}

    def save(self, path: Path, table: pd.DataFrame, **facts: Any) -> None:
        """Save a table as a result of this run."""
        save_table(path, table, Provenance(self.settings, {"data": self.data}), **self.facts, **facts)

    def mismatch(self, path: Path) -> str:
        """Why an artefact does not match this key, "" if it does."""
        other = RunKey.of(path)
        if other.settings != self.settings:
            return "made with other settings"
        return "" if other.data == self.data else "made on other data"


@dataclass(frozen=True)
class RunNote:
    """Record of the runs that filled a grid's folder."""

    key: RunKey
    commands: list[str]
    unreadable: int
    """Number of studies without a readable series."""

    @classmethod
    def of(cls, folder: Path) -> "RunNote":
        """The note of the last run; raises ArtefactError if there was none."""
        facts = facts_of(path := rows_path(folder, "studies"))
        return cls(RunKey.of(path), facts.get("commands", []), facts.get("unreadable", 0))


def begin_run(folder: Path, rows: pd.DataFrame, key: RunKey, *, command: str, unreadable: int) -> None:
    """Save the rows of whole studies with the run's note; the commands of runs with the same key add up."""
    path = rows_path(folder, "studies")
    goes_on = is_complete(path) and not key.mismatch(path)
    commands = [*(RunNote.of(folder).commands if goes_on else []), command]
    key.save(path, rows, commands=list(dict.fromkeys(commands)), unreadable=unreadable)


def load_rows(folder: Path, split: SplitName) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Load the labels (25 codes) of a split's rows, and their columns fold, study and shared."""
    table = load_table(rows_path(folder, split))
    return table[list(CELL_NAMES)], table.drop(columns=list(CELL_NAMES))


def rows_path(folder: Path, split: SplitName) -> Path:
    """The file of a split's rows in a grid's folder."""
    return Path(folder) / "rows" / f"{split}.parquet"


def record(task: FoldTask, text: str) -> None:
    """Record in a fold's folder why it has no predictions, with the facts they would have had."""
    save_text(task.folder / UNFINISHED_FILE, text, Provenance(seed=task.seed), **task.facts)


def noted(task_folder: Path) -> str:
    """The recorded reason why a fold has no predictions, or ""; BEGUN while it is fitted and after a kill."""
    try:
        return load_text(task_folder / UNFINISHED_FILE)
    except (ArtefactError, FileNotFoundError):  # absent, or removed or rewritten while being read
        return ""


def failure(task_folder: Path) -> str:
    """Why a fold failed, in one line, or "" if it did not; the file also has the traceback."""
    return "" if (text := noted(task_folder)) == BEGUN else text.partition("\n")[0]


def clear(task_folder: Path) -> None:
    """Remove the note of a fold, so that it is run again."""
    discard(task_folder / UNFINISHED_FILE)


def record_skipped(folder: Path, reason: str) -> None:
    """Record in an experiment's folder why it was skipped; an empty reason removes the note."""
    if reason:
        write_text(folder / SKIPPED_FILE, reason)
    else:
        (folder / SKIPPED_FILE).unlink(missing_ok=True)


def skipped(folder: Path) -> str:
    """The recorded reason why an experiment was skipped, or ""."""
    try:
        return (folder / SKIPPED_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
