"""Find studies and series on disk: in folders named by a number, or else by the headers of the files.

Bad folders never raise: what cannot be read goes to the ledger.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path

from kitlib.errors import DataError
from kitlib.mri.folder import list_folder
from kitlib.mri.ledger import Fault, Ledger
from kitlib.terms import number_of

Report = Callable[[str], None]


def numbered(parent: Path, ledger: Ledger, study_id: int | None = None) -> dict[int, Path]:
    """The sub-folders named by a number, by that number: all studies, or the series of one study.

    Folders with other names are ignored.
    """
    found: dict[int, Path] = {}
    for entry in _entries(parent, partial(_report, ledger, study_id, None)):
        number = number_of(entry.name)
        report = partial(_report, ledger, study_id, number)
        if number is None:
            if re.fullmatch("-?[0-9]+", entry.name):
                report("a number below 0 or of more than 18 digits")
        elif _is_folder(entry, report):
            if number in found:
                report("another folder has the same number")
            found[number] = Path(entry.path)  # 7 comes after 007
    return dict(sorted(found.items()))


def series_in(study: Path, study_id: int, ledger: Ledger) -> dict[int, str]:
    """The folders of a study's series, by series id."""
    return {series_id: str(folder) for series_id, folder in numbered(study, ledger, study_id).items()}


def series_anyhow(
    study: Path, study_id: int, ledger: Ledger, described: Collection[int]
) -> Mapping[int, str | tuple[Path, ...]]:
    """As `series_in`; if no table describes any of these folders, files grouped by series in the headers."""
    folders = series_in(study, study_id, ledger)
    if not folders.keys().isdisjoint(described):
        return folders
    try:
        listing = list_folder(study)
    except DataError:  # no image at all: the expected series will be reported missing one by one
        return folders
    ledger.extend(replace(fault, study_id=study_id) for fault in listing.faults)
    return listing.series


def _report(ledger: Ledger, study_id: int | None, number: int | None, why: str) -> None:
    study, series = (number, None) if study_id is None else (study_id, number)
    ledger.add(Fault("folder.unreadable", "left unread", study, series, detail=why))


def _entries(parent: Path, report: Report) -> list[os.DirEntry]:
    """The entries of a folder, by name; empty if there is no such folder."""
    try:
        # One disk request per folder, not one per entry: there can be 8,000 on a network mount.
        with os.scandir(parent) as entries:
            return sorted(entries, key=attrgetter("name"))
    except FileNotFoundError:
        return []
    except OSError as error:
        report(type(error).__name__)
        return []


def _is_folder(entry: os.DirEntry, report: Report) -> bool:
    """Whether an entry is a folder, other than a link to a folder that contains it."""
    try:
        if not entry.is_dir():
            return False
    except OSError as error:  # a link that leads to itself
        report(type(error).__name__)
        return False
    here = Path(entry.path)
    leads_back = entry.is_symlink() and here.parent.resolve().is_relative_to(here.resolve())
    if leads_back:
        report("a link that leads back")
    return not leads_back
