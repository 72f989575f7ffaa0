"""What runs keep beside predictions: from what they were made, and why a fold or an experiment has none."""

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
DIED = "its process was killed twice, the second time with no other beside it: it may want too much memory"


@dataclass(frozen=True)
class RunKey:
    """What all results in one table have in common; whatever a run saves keeps it among its facts."""

    data: str
    """All studies with their images, labels and folds, in sixteen digits."""
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, path: Path) -> "RunKey":
        """The key of an artefact; ArtefactError where there is none."""
        facts = facts_of(path)
        return cls(facts.get("data", ""), facts.get("settings", {}))

    @property
    def facts(self) -> dict[str, Any]:
        """What is kept beside an artefact, for `of`."""
        return {"data": self.data, "settings": dict(self.settings)}

    def save(self, path: Path, table: pd.DataFrame, **facts: Any) -> None:
        """Save a table as one of this run."""
        save_table(path, table, Provenance(self.settings, {"data": self.data}), **self.facts, **facts)

    def mismatch(self, path: Path) -> str:
        """Why an artefact does not belong beside others of this key, "" where it does."""
        other = RunKey.of(path)
        if other.settings != self.settings:
            return "made with other settings"
        return "" if other.data == self.data else "made on other data"


@dataclass(frozen=True)
class RunNote:
    """What a grid's folder says of the runs that filled it."""

    key: RunKey
    commands: list[str]
    unreadable: int
    """Studies without a series that could be read."""

    @classmethod
    def of(cls, folder: Path) -> "RunNote":
        """The note of the last run; ArtefactError where there was none."""
        facts = facts_of(path := rows_path(folder, "studies"))
        return cls(RunKey.of(path), facts.get("commands", []), facts.get("unreadable", 0))


def begin_run(folder: Path, rows: pd.DataFrame, key: RunKey, *, command: str, unreadable: int) -> None:
    """Save the rows of whole studies with the note of the run; runs of one key add up."""
    path = rows_path(folder, "studies")
    goes_on = is_complete(path) and not key.mismatch(path)
    commands = [*(RunNote.of(folder).commands if goes_on else []), command]
    key.save(path, rows, commands=list(dict.fromkeys(commands)), unreadable=unreadable)


def load_rows(folder: Path, split: SplitName) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels (25 codes) of a split's rows, and the columns fold, study and shared."""
    table = load_table(rows_path(folder, split))
    return table[list(CELL_NAMES)], table.drop(columns=list(CELL_NAMES))


def rows_path(folder: Path, split: SplitName) -> Path:
    """Where a grid's folder keeps the rows of a split."""
    return Path(folder) / "rows" / f"{split}.parquet"


def record(task: FoldTask, text: str) -> None:
    """Say in a fold's folder why it has no predictions, with the facts that these would have."""
    save_text(task.folder / UNFINISHED_FILE, text, Provenance(seed=task.seed), **task.facts)


def noted(task_folder: Path) -> str:
    """Why a fold has no predictions, "" where nothing says so; BEGUN while it is fitted, and after a kill."""
    try:
        return load_text(task_folder / UNFINISHED_FILE)
    except (ArtefactError, FileNotFoundError):  # none, or taken away or written anew while it is read
        return ""


def failure(task_folder: Path) -> str:
    """Why a fold failed, in a line, "" where it did not; its file has the traceback too."""
    return "" if (text := noted(task_folder)) == BEGUN else text.partition("\n")[0]


def clear(task_folder: Path) -> None:
    """Take the note of a fold away, so that it is run again."""
    discard(task_folder / UNFINISHED_FILE)


def record_skipped(folder: Path, reason: str) -> None:
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
