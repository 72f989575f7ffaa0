"""Training slices for the localiser from a competition folder, with the annotators' points.

All points of a study are converted to patient millimetres and from there to every slice of every series, so
that a foramen marked on T1 is a target on T2 too. Unmarked points are unknown, not absent.
"""

import numpy as np
import pandas as pd
from joblib import delayed
from tqdm.auto import tqdm

from kitlib.competition.root import Competition
from kitlib.errors import DataError
from kitlib.localise.train.samples import POOL_PX, Pool, stack_samples
from kitlib.machine import in_processes
from kitlib.mri.ledger import Ledger
from kitlib.mri.naming import plane2sequences
from kitlib.mri.reading import read_study
from kitlib.mri.stack import Plane
from kitlib.mri.study import Study
from kitlib.prepare.volumes import prepare
from kitlib.terms import LANDMARKS, Cell, landmark_of

SLICE_FILLS = 0.9  # slice thickness as a share of the step: no header is sure to give it
LONE_SLICE_MM = 4.0


def annotated_pool(
    competition: Competition,
    plane: Plane,
    *,
    points: pd.DataFrame | None = None,
    each: int = 4,
    seed: int = 2024,
    workers: int = 1,
) -> Pool:
    """Draw `each` slices of every stack of the plane from the training studies that have points.

    `points` is a table as from `read_landmarks`, such as a corrected one; by default the folder's own.
    Unreadable series are left out (the ledger of preparing the studies lists them). Raises DataError if
    nothing is left.
    """
    marks = competition.landmarks() if points is None else points
    series = competition.series("train")
    series = series[series["on_disk"] & series["study_id"].isin(marks["study_id"])]
    marks_of = dict(iter(marks.groupby("study_id")))
    studies = list(series.groupby("study_id"))
    drawn = in_processes(
        (delayed(study_samples)(plane, rows, marks_of[study_id], each, seed) for study_id, rows in studies),
        workers,
    )
    parts = [pool for pools in tqdm(drawn, f"{plane} studies", len(studies), mininterval=1) for pool in pools]
    if not parts:
        raise DataError(f"no {plane} slice to train on", where=competition.root, hint="Are the images there?")
    return Pool.joined(parts)


def study_samples(plane: Plane, rows: pd.DataFrame, points: pd.DataFrame, each: int, seed: int) -> list[Pool]:
    """Draw slices of one study's series (`rows`), with targets from its `points`."""
    study_id = int(rows["study_id"].iloc[0])
    rng = np.random.default_rng((seed, study_id))
    study = read_study(study_id, rows, Ledger())
    points_mm = marked_mm(points, study)
    drawn = []
    for series in study.series:
        if series.sequence in plane2sequences[plane]:
            for stack in prepare(series.stacks, POOL_PX):
                thickness_mm = SLICE_FILLS * stack.step_mm if len(stack) > 1 else LONE_SLICE_MM
                samples = stack_samples(plane, stack, points_mm, thickness_mm, study_id)
                drawn += _drawn(samples, each, rng)
    return drawn


def marked_mm(points: pd.DataFrame, study: Study) -> np.ndarray:
    """Patient points (27, 3) of LANDMARKS as marked by a study's annotators; NaN where unmarked."""
    points_mm = np.full((len(LANDMARKS), 3), np.nan)
    columns = ("series_id", "instance_number", "condition", "level", "x", "y")
    for series_id, number, condition, level, x, y in zip(*(points[name] for name in columns)):
        if found := study.instance(series_id, number):
            cell, (stack, index) = Cell(condition, level), found
            points_mm[LANDMARKS.index(landmark_of(cell))] = stack.to_patient(x, y, index)
    return points_mm


def _drawn(samples: list[Pool], each: int, rng: np.random.Generator) -> list[Pool]:
    """Draw at most `each` slices: half of them those that show most, the others at random."""
    shown = np.array([np.nansum(sample.visibility) for sample in samples])
    order = np.argsort(-shown - rng.random(len(samples)) / 100)
    best, others = order[: (each + 1) // 2], rng.permutation(order[(each + 1) // 2 :])
    chosen = [samples[index] for index in (*best, *others[: each // 2])]
    return [sample for sample in chosen if not np.isnan(sample.visibility).all()]
