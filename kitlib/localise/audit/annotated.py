"""Slices of a competition folder for the localiser to learn on, with the points that annotators set there.

All points of a study are carried into the patient's millimetres and from there onto every slice of every
series, so that a foramen marked on T1 teaches on T2 too. What nobody marked is unknown, not absent.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from kitlib.competition.root import Competition
from kitlib.errors import DataError
from kitlib.localise.train.samples import POOL_PX, Pool, channel_targets, one_sample, slice_points
from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from kitlib.mri.stack import Stack
from kitlib.prepare.volumes import prepare
from kitlib.terms import AXIAL_T2, LANDMARKS, SAGITTAL_T1, SAGITTAL_T2, Cell, Kind, Landmark, group2place

SLICE_FILLS = 0.9  # thickness is in no header that is sure to be there: a share of the step between slices
LONE_SLICE_MM = 4.0
kind2sequences: dict[Kind, tuple[str, ...]] = {
    "sagittal": (SAGITTAL_T1, SAGITTAL_T2),
    "axial": (AXIAL_T2,),
}


def annotated_pool(
    competition: Competition,
    kind: Kind,
    *,
    points: pd.DataFrame | None = None,
    each: int = 4,
    seed: int = 2024,
    workers: int = 1,
) -> Pool:
    """`each` slices of every stack of the plane in the training studies that have points.

    `points` is a table as `read_landmarks` gives it, such as a mended one; without it the folder's own.
    Unreadable series are left out (the ledger of preparing the studies names them); DataError where nothing
    is left.
    """
    marks = competition.landmarks() if points is None else points
    series = competition.series("train")
    series = series[series["on_disk"] & series["study_id"].isin(marks["study_id"])]
    marks_of = dict(iter(marks.groupby("study_id")))
    studies = list(series.groupby("study_id"))
    drawn = Parallel(n_jobs=workers, return_as="generator")(
        delayed(study_samples)(kind, rows, marks_of[study_id], each, seed) for study_id, rows in studies
    )
    parts = [one for some in tqdm(drawn, f"{kind} studies", len(studies), mininterval=1) for one in some]
    if not parts:
        raise DataError(f"no {kind} slice to learn on", where=competition.root, hint="Are the images there?")
    return Pool.joined(parts)


def study_samples(kind: Kind, series: pd.DataFrame, points: pd.DataFrame, each: int, seed: int) -> list[Pool]:
    """Slices of one study's `series` with what its `points` tell of them."""
    ledger, study_id = Ledger(), int(series["study_id"].iloc[0])
    rng = np.random.default_rng((seed, study_id))
    sequences = dict(zip(series["series_id"], series["sequence"]))
    stacks = {one: read_series(Path(folder), ledger) for one, folder in zip(sequences, series["folder"])}
    places_mm = marked_mm(points, stacks)
    return [
        sample
        for one, sequence in sequences.items()
        if sequence in kind2sequences[kind]
        for stack in prepare(stacks[one], POOL_PX)
        for sample in _stack_samples(kind, stack, places_mm, study_id, each, rng)
    ]


def marked_mm(points: pd.DataFrame, stacks: dict[int, list[Stack]]) -> np.ndarray:
    """Patient positions (27, 3) of LANDMARKS as a study's points mark them; NaN where none does."""
    places_mm = np.full((len(LANDMARKS), 3), np.nan)
    columns = ("series_id", "instance_number", "condition", "level", "x", "y")
    for series_id, instance, condition, level, x, y in zip(*(points[name] for name in columns)):
        cell = Cell(condition, level)
        row = LANDMARKS.index(Landmark(group2place[cell.group], level, cell.side))
        for stack in stacks.get(series_id, []):
            found = np.flatnonzero(stack.instance_numbers == instance)
            if len(found):
                places_mm[row] = stack.to_patient(x, y, found[0])
                break
    return places_mm


def _stack_samples(
    kind: Kind, stack: Stack, places_mm: np.ndarray, study_id: int, each: int, rng: np.random.Generator
) -> list[Pool]:
    """At most `each` slices: half of them those that show most, the others any."""
    thickness_mm = SLICE_FILLS * stack.step_mm if len(stack) > 1 else LONE_SLICE_MM
    samples = []
    for index in range(len(stack)):
        points, within = slice_points(stack, index, places_mm)
        targets = channel_targets(kind, points, within, thickness_mm)
        samples.append(one_sample(stack.pixels[index], stack.spacing_mm, targets, study_id))
    shown = np.array([np.nansum(one.visibility) for one in samples])
    order = np.argsort(-shown - rng.random(len(samples)) / 100)
    best, others = order[: (each + 1) // 2], rng.permutation(order[(each + 1) // 2 :])
    known = [one for one in [*best, *others[: each // 2]] if not np.isnan(samples[one].visibility).all()]
    return [samples[one] for one in known]
