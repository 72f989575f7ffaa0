"""Audit a competition folder: read its images study by study, in worker processes.

If a study's series do not settle how its levels are named, the localiser counts them in the images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from joblib import delayed
from tqdm.auto import tqdm

from kitlib.competition.root import Competition
from kitlib.localise.audit.findings import described
from kitlib.localise.audit.geometry import placed
from kitlib.localise.audit.landmarks import audit_points
from kitlib.localise.geometry import CanalPoints
from kitlib.localise.localiser import worker_localiser
from kitlib.localise.points import canal_of
from kitlib.localise.sources import NO_ID
from kitlib.machine import in_processes, retire_workers
from kitlib.mri.ledger import Ledger
from kitlib.mri.reading import read_study
from kitlib.terms import LEVELS, SAGITTAL_T1, SAGITTAL_T2


@dataclass(frozen=True, eq=False)
class FolderAudit:
    """The findings in a folder, and on how many studies the localiser was run."""

    findings: pd.DataFrame  # REPORT_COLUMNS
    asked: int = 0  # studies whose series leave the names of their levels in doubt
    counted: int = 0  # of these, studies in which the localiser was confident of its count

    def __str__(self) -> str:
        if not self.asked:
            return "the localiser was not used"
        return f"the localiser was run on {self.asked} studies and confident of its count in {self.counted}"


def audit_competition(competition: Competition, *, localiser: bool = True, workers: int = 1) -> FolderAudit:
    """Audit a folder's training landmarks, in patient millimetres if its images can be read.

    With `localiser`, levels are counted in doubtful studies: about one in ten, a third of a second each.
    """
    series = competition.series("train")
    points, images = described(competition.landmarks(), series), series[series["on_disk"]]
    study2rows = dict(iter(images.groupby("study_id")))
    if study2rows and len(points):
        studies = [
            (rows, study2rows.get(study_id, images[:0])) for study_id, rows in points.groupby("study_id")
        ]
        points = pd.concat(_in_workers(place_study, studies, "audit", workers)).sort_values("row")
    asked: dict[int, CanalPoints] = {}

    def locate(doubted: Sequence[int]) -> dict[int, CanalPoints]:
        todo = [(study2rows.get(study_id, images[:0]),) for study_id in doubted]
        retire_workers()
        asked.update(zip(doubted, _in_workers(count_levels, todo, "doubted studies", workers), strict=True))
        return asked

    findings = audit_points(points, competition.train_labels(), series, locate=locate if localiser else None)
    return FolderAudit(findings, len(asked), sum(map(bool, asked.values())))


def place_study(points: pd.DataFrame, series: pd.DataFrame) -> pd.DataFrame:
    """Place the described points of one study in the patient; `series` are its rows of the table."""
    pointed = series[series["series_id"].isin(points["series_id"])]
    return placed(points, lambda study_id: read_study(study_id, pointed, Ledger()))


def count_levels(series: pd.DataFrame) -> CanalPoints:
    """The canal points as the localiser counts a study's levels; {} if it is not confident.

    Sequences are not passed on: what the tables say of the study is in doubt.
    """
    sagittal = series[series["sequence"].isin([SAGITTAL_T1, SAGITTAL_T2])].assign(sequence=None)
    located = worker_localiser().locate_study(read_study(NO_ID, sagittal, Ledger()))
    if located.abstained:
        return {}
    return {level: place for level, place in canal_of(located.points).items() if level in LEVELS}


def _in_workers(work: Callable[..., Any], tasks: Sequence[tuple], name: str, workers: int) -> list[Any]:
    done = in_processes((delayed(work)(*task) for task in tasks), workers)
    return list(tqdm(done, name, len(tasks), unit="study", mininterval=1))
