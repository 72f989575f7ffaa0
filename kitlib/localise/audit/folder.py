"""The audit of a competition folder: its images are read study by study, in worker processes.

Where a study's series do not settle how its levels are named, the localiser counts them in the images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from kitlib.competition.root import Competition
from kitlib.localise.audit.findings import described
from kitlib.localise.audit.geometry import placed
from kitlib.localise.audit.landmarks import audit_points
from kitlib.localise.localiser import worker_localiser
from kitlib.machine import retire_workers
from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from kitlib.terms import LEVELS, SAGITTAL_T1, SAGITTAL_T2

Places = dict[str, np.ndarray]
"""Level to the canal's place (3,) in mm."""


@dataclass(frozen=True, eq=False)
class FolderAudit:
    """What an audit of a folder found, and in how many studies it asked the localiser."""

    findings: pd.DataFrame  # REPORT_COLUMNS
    asked: int = 0  # studies whose series leave the names of their levels in doubt
    counted: int = 0  # of these, studies in which the localiser was sure of its count

    def __str__(self) -> str:
        if not self.asked:
            return "the localiser was not asked"
        return f"the localiser was asked about {self.asked} studies and sure of its count in {self.counted}"


def audit_competition(competition: Competition, *, localiser: bool = True, workers: int = 1) -> FolderAudit:
    """The audit of a folder's training landmarks, in patient millimetres where its images can be read.

    With `localiser` it counts the levels of studies in doubt: one study in ten or so, a third of a second
    each.
    """
    series = competition.series("train")
    points, folders = described(competition.landmarks(), series), _folders(series)
    studies = [(rows, folders.get(rows["study_id"].iloc[0], {})) for _, rows in points.groupby("study_id")]
    if folders and studies:
        points = pd.concat(_in_workers(place_study, studies, "audit", workers)).sort_values("row")
    asked: dict[int, Places] = {}

    def locate(doubted: Sequence[int]) -> dict[int, Places]:
        sagittal = _folders(series[series["sequence"].isin([SAGITTAL_T1, SAGITTAL_T2])])
        todo = [(sagittal.get(study_id, {}),) for study_id in doubted]
        retire_workers()
        asked.update(zip(doubted, _in_workers(count_levels, todo, "doubted studies", workers), strict=True))
        return asked

    findings = audit_points(points, competition.train_labels(), series, locate=locate if localiser else None)
    return FolderAudit(findings, len(asked), sum(map(bool, asked.values())))


def place_study(points: pd.DataFrame, folders: Mapping[int, Path]) -> pd.DataFrame:
    """The described points of one study, placed in the patient; `folders` are its series'."""

    def stacks_of(_: int, series_id: int) -> list[Any]:
        return read_series(folders[series_id], Ledger()) if series_id in folders else []

    return placed(points, stacks_of)


def count_levels(folders: Mapping[int, Path]) -> Places:
    """The canal's places as the localiser counts the levels of a study's series; {} where it is not sure."""
    stacks = {series_id: read_series(folder, Ledger()) for series_id, folder in folders.items()}
    located = worker_localiser().locate_study(stacks)
    if located.abstained:
        return {}
    canal = (one for one in located.points if one.landmark.landmark == "canal")
    return {one.landmark.level: one.patient_mm for one in canal if one.landmark.level in LEVELS}


def _folders(series: pd.DataFrame) -> dict[int, dict[int, Path]]:
    """By study, then by series, the folders that are there."""
    found: dict[int, dict[int, Path]] = {}
    here = series[series["on_disk"]]
    for study_id, series_id, folder in zip(*(here[name] for name in ("study_id", "series_id", "folder"))):
        found.setdefault(int(study_id), {})[int(series_id)] = Path(folder)
    return found


def _in_workers(work: Callable[..., Any], tasks: Sequence[tuple], name: str, workers: int) -> list[Any]:
    done = Parallel(n_jobs=workers, return_as="generator")(delayed(work)(*task) for task in tasks)
    return list(tqdm(done, name, len(tasks), unit="study", mininterval=1))
