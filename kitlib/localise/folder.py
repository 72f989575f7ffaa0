"""Read the study in any folder; a competition's tables identify its series, or else tags and pixels."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pandas as pd

from kitlib.competition.root import sequences_around
from kitlib.competition.tables import UNDESCRIBED
from kitlib.errors import KitError
from kitlib.localise.contrast import identified_by_canal
from kitlib.mri.folder import list_folder
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.reading import Prepare, read_study
from kitlib.mri.study import Study
from kitlib.terms import number_of


def study_rows(folder: Path, ledger: Ledger) -> tuple[int, pd.DataFrame]:
    """The id of the study in a folder, and its series (series_id, sequence, folder) for `read_study`.

    The folder may have any name and layout. Within a competition's `train_images` or `test_images`, even as a
    link, tables give the sequences. The id is the folder's name or, if that is not a number, derived from the
    study's identifier. Raises DataError if there is nothing to read.
    """
    folder = Path(os.path.normpath(Path(folder).absolute()))  # not resolved: a link's own name counts
    listing = list_folder(folder)
    number = number_of(folder.name)
    study_id = _derived(listing.study_uid) if number is None else number
    ledger.extend(replace(fault, study_id=study_id) for fault in listing.faults)
    described: dict[int, str] = {}
    try:
        described = sequences_around(folder)
    except KitError as error:
        ledger.add(Fault("study.tables", "sequences identified without them", study_id, detail=error.what))
    absent = {series_id: str(folder / str(series_id)) for series_id in described.keys() - listing.series}
    rows = [
        (series_id, described.get(series_id, UNDESCRIBED), source)
        for series_id, source in sorted({**listing.series, **absent}.items())
    ]
    return study_id, pd.DataFrame(rows, columns=["series_id", "sequence", "folder"])


def read_folder(folder: Path, ledger: Ledger, *, prepare: Prepare | None = None) -> Study:
    """Read the study in a folder, as `study_rows` lists it and `read_study` reads it."""
    study_id, rows = study_rows(folder, ledger)
    return read_study(study_id, rows, ledger, prepare=prepare, identify=identified_by_canal)


def _derived(study_uid: str) -> int:
    """Derive a nine-digit id for a study whose folder has none: the same wherever it is stored."""
    return 10**8 + int(hashlib.sha256(study_uid.encode()).hexdigest(), 16) % (9 * 10**8)
