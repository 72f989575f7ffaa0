"""Audit landmarks in patient millimetres: missing images, swapped sides, and how series name the levels."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd
from scipy.interpolate import make_interp_spline

from kitlib.localise.audit.findings import found, without
from kitlib.localise.audit.tables import FORAMEN_ABOVE, TELLING_PAIRS, both_rows, misplaced, pairs_of, swapped
from kitlib.localise.geometry import CanalPoints
from kitlib.mri.study import Series, Study
from kitlib.terms import LEVELS

StudyOf = Callable[[int], Study]
"""A study by its id, in native pixels."""
Locate = Callable[[Sequence[int]], Mapping[int, CanalPoints]]
"""From studies to canal points (3,) in mm by level, as a localiser counts; {} if it is not confident."""

MM_COLUMNS = ["x_mm", "y_mm", "z_mm"]
ABOVE_CANAL = {"canal": 0.0, "foramen": FORAMEN_ABOVE, "recess": 0.0}
"""How many levels a place lies above the canal point of its level: medians of phantoms."""
ACROSS_MM = 3.0  # beyond the middle; half of this is the scatter of annotators
REFERENCE_LEVELS = 3  # a curve through fewer points does not follow the spine
VOICES = 3  # T1, T2 and axial: two that agree may both be wrong
LOCALISER_VOICES = 2  # T1 and T2 were often labelled together, whereas a localiser counts independently
TELLING_VOTES = 2  # of two conditions that differ, either may be right
CLEARLY = 2.0  # times as far from its own level as from another: slanting L5/S1 discs alone come near 1
BEYOND, FINE = 2, 0.05  # levels by which a curve extends beyond its ends, and its step


@dataclass(frozen=True, eq=False)
class _Source:
    """The points of one place in one series, or a localiser's: one vote on how to name the levels."""

    rows: pd.DataFrame
    place: str
    rank: np.ndarray  # (L,) ascending, unique
    points_mm: np.ndarray  # (L, 2) towards back and head; averaged over sides, ignoring left and right


def placed(points: pd.DataFrame, study_of: StudyOf) -> pd.DataFrame:
    """Add to points x_mm, y_mm, z_mm, their image's height and width, and `absent`: no such instance."""
    result = points.assign(**dict.fromkeys(MM_COLUMNS, np.nan), absent=False)
    for study_id, rows in _by_study(points):
        for series in study_of(study_id).series:
            own = rows[rows["series_id"] == series.series_id]
            if series.stacks and len(own):
                marks = own[["instance_number", "x", "y"]].to_numpy(float)
                values = np.array([_in_patient(series, *mark) for mark in marks])
                result.loc[own.index, [*MM_COLUMNS, "height", "width"]] = values
                result.loc[own.index, "absent"] = np.isnan(values).any(axis=1)
    return result


def in_patient(points: pd.DataFrame, locate: Locate | None) -> list[pd.DataFrame]:
    """Check sides, order and level names of the points whose patient position is known.

    `locate` is called once, for the studies whose series do not settle how the levels are named.
    """
    points = points[points["x_mm"].notna()]
    if points.empty:
        return []
    sides = [*_swapped_sides(points, "foramen"), *_swapped_sides(points, "recess")]
    odd = misplaced(points.assign(depth=-points["z_mm"]), ["study_id", "condition"])
    points = without(points, odd)  # swapped points still show how levels are named
    sources = {
        study_id: [_source(part, str(place)) for (_, place), part in rows.groupby(["series_id", "place"])]
        for study_id, rows in _by_study(points)
    }
    doubted = [study_id for study_id, own in sources.items() if _is_doubted(own)]
    located = locate(doubted) if locate and doubted else {}
    named = [odd for key, own in sources.items() for odd in _misnamed(own, located.get(key, {}))]
    elsewhere = [_elsewhere(rows) for _, rows in _by_study(without(points, named))]
    return [*sides, *odd, *named, *elsewhere]


def _by_study(points: pd.DataFrame) -> list[tuple[int, pd.DataFrame]]:
    return [(int(rows["study_id"].iloc[0]), rows) for _, rows in points.groupby("study_id")]


def _in_patient(series: Series, number: float, x: float, y: float) -> list[float]:
    """x, y, z in mm of a point, then the image's height and width; NaN if the series lacks the instance."""
    found = series.instance(number)
    if found is None:
        return [np.nan] * 5
    stack, index = found
    return [*stack.to_patient(x, y, index), *stack.pixels.shape[1:]]


def _swapped_sides(points: pd.DataFrame, place: str) -> list[pd.DataFrame]:
    """Find pairs whose left lies right of right, and unpaired points on the wrong side of the middle."""
    pairs = pairs_of(points, place)
    crossed = both_rows(points, pairs[pairs["x_mm_left"] < pairs["x_mm_right"]])
    middles = pairs.assign(x_mm=(pairs["x_mm_left"] + pairs["x_mm_right"]) / 2, rank=pairs["rank_left"])
    lone = points[(points["place"] == place) & ~points["row"].isin(both_rows(points, pairs)["row"])]
    findings = [swapped(crossed, "left lies right of right")]
    for study_id, rows in _by_study(lone):
        known = middles[middles["study_id"] == study_id].sort_values("rank")
        if len(known) >= TELLING_PAIRS:
            away_mm = rows["x_mm"] - np.interp(rows["rank"], known["rank"], known["x_mm"])
            across = away_mm * np.where(rows["side"] == "left", 1, -1) < -ACROSS_MM
            findings.append(swapped(rows[across], "lies on the other side of the other levels' middle"))
    return findings


def _source(rows: pd.DataFrame, place: str) -> _Source:
    means = rows.groupby("rank")[["y_mm", "z_mm"]].mean()
    return _Source(rows, place, means.index.to_numpy(), means.to_numpy())


def _is_doubted(sources: list[_Source]) -> bool:
    """Whether a study's sources name its levels differently, or are too few to confirm each other."""
    shifts = _shifts(sources)
    return len(set(shifts)) > 1 or 0 < len(shifts) < VOICES


def _misnamed(sources: list[_Source], located: CanalPoints) -> list[pd.DataFrame]:
    """Find sources of a study that name its levels unlike the majority, or all if there is none."""
    ranks = [rank for rank, level in enumerate(LEVELS) if level in located]
    if ranks:
        points_mm = np.array([located[LEVELS[rank]] for rank in ranks])[:, 1:]
        counted = _Source(sources[0].rows[:0], "canal", np.array(ranks), points_mm)
        sources = [*sources, *[counted] * LOCALISER_VOICES]
    shifts = _shifts(sources)
    usual = _majority(shifts, shifts[-1] if ranks else None) if shifts else None
    findings = []
    for source, shift in zip(sources, shifts):
        if usual is None:
            detail = f"{shift - shifts[0]:+d} levels against the study's first series"
            findings.append(found(source.rows, "level.disagree", detail, "drop"))
        elif shift != usual:
            findings.append(_renamed(source.rows, shift - usual))
    return findings


def _shifts(sources: list[_Source]) -> list[int]:
    """By how many levels each source lies lower than the fullest one; [] if that has too few levels."""
    reference = max(sources, key=lambda source: (len(source.rank), source.place == "canal"), default=None)
    if reference is None or len(reference.rank) < REFERENCE_LEVELS:
        return []
    return [_shift(source, reference) for source in sources]


def _shift(source: _Source, reference: _Source) -> int:
    """How many levels lower a source's points lie than the reference's points of the same name."""
    fine = np.arange(-BEYOND, len(LEVELS) - 1 + BEYOND + FINE, FINE)
    curve = make_interp_spline(reference.rank, reference.points_mm, k=1)(fine)
    away = np.linalg.norm(curve[:, None] - source.points_mm, axis=2)
    lower = fine[away.argmin(axis=0)] - source.rank
    return round(float(np.median(lower)) + ABOVE_CANAL[source.place] - ABOVE_CANAL[reference.place])


def _majority(shifts: Sequence[int], decisive: int | None) -> int | None:
    """The shift with most votes; ties go to the decisive one, or None if it is not among them."""
    votes = Counter(shifts)
    best = [shift for shift, count in votes.items() if count == max(votes.values())]
    if len(best) > 1:
        return decisive if decisive in best else None
    return best[0]


def _renamed(points: pd.DataFrame, lower: int) -> pd.DataFrame:
    """Findings for points that lie some levels lower than named; dropped if outside the graded levels."""
    rank2level = dict(enumerate(LEVELS))
    level = points["rank"].map(lambda rank: rank2level.get(int(rank) + lower))
    action = level.map(lambda name: "mend" if name else "drop")
    detail = f"lies {abs(lower)} level{'s' * (abs(lower) > 1)} {'below' if lower > 0 else 'above'} its name"
    return found(points, "level.off_by_one", detail, action, condition=points["condition"], level=level)


def _elsewhere(points: pd.DataFrame) -> pd.DataFrame:
    """Findings for points that most other conditions of the study place at another level."""
    names = points["condition"].unique().tolist()
    points_mm, rows = np.full((len(names), len(LEVELS), 2), np.nan), np.full((len(names), len(LEVELS)), -1)
    at = points["condition"].map(names.index).to_numpy(), points["rank"].to_numpy()
    points_mm[at], rows[at] = points[["y_mm", "z_mm"]].to_numpy(), points["row"].to_numpy()
    against, voters = np.zeros(rows.shape), np.zeros(rows.shape)
    for name, other in permutations(range(len(names)), 2):
        shared = np.flatnonzero((rows[[name, other]] >= 0).all(axis=0))
        if len(shared) >= REFERENCE_LEVELS:
            against[name, shared] += _moved(points_mm[name, shared], points_mm[other, shared])
            voters[name, shared] += 1
    odd = rows[(against >= TELLING_VOTES) & (against > voters / 2)]
    detail = "most other conditions place it at another level"
    return found(points[points["row"].isin(odd)], "level.misplaced", detail, "drop")


def _moved(points_mm: np.ndarray, others_mm: np.ndarray) -> np.ndarray:
    """Mask (L,) of a condition's points (L, 2) clearly nearer to another level of the other condition."""
    away = (points_mm - np.median(points_mm - others_mm, axis=0))[:, None] - others_mm
    away_mm = np.linalg.norm(away, axis=2)
    return np.diagonal(away_mm) > CLEARLY * away_mm.min(axis=1)
