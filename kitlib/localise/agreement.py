"""Agreement of a study's series: each counts the levels for itself, and one of them may be a level off."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from kitlib.localise.geometry import SPINE, CanalPoints

# Distances from each point of SPINE to the next, as shares of the graded ones' mean, and at each but the ends
# the turn in degrees, backwards on the way down. Graded levels: medians and spreads, annotators' scatter
# included, of 1,898 real series, which phantoms meet within 1 % and 4 degrees; neighbours: 400 phantoms.
GAP_SHARES = np.array([1.084, 1.075, 1.057, 1.0, 0.866, 0.951])
GAP_SHARES_SD = np.array([0.07, 0.06, 0.06, 0.06, 0.08, 0.09])
TURNS_DEG = np.array([3.1, 4.5, 9.7, 15.0, -0.5])
TURNS_SD_DEG = np.array([5.5, 5.7, 6.5, 8.1, 7.0])
TELLING_LOG_ODDS = 2.0


def disagreement_mm(one: CanalPoints, other: CanalPoints) -> float:
    """Median distance of the points of equal name of two series of a study; NaN where they share none."""
    return _distance_mm(one, other, 0)


def level_offset(one: CanalPoints, other: CanalPoints) -> int:
    """By how many levels `other` names places differently: 0, or 1 where its L1/L2 is one's L2/L3.

    Points must then fit at least twice as well as by name; at most one level is looked at.
    """
    by_name = _distance_mm(one, other, 0)
    fits = {shift: _distance_mm(one, other, shift) for shift in (-1, 1)}
    shift = min(fits, key=lambda key: np.nan_to_num(fits[key], nan=np.inf))
    return shift if fits[shift] < by_name / 2 else 0


def _distance_mm(one: CanalPoints, other: CanalPoints, shift: int) -> float:
    """Median distance of the other's points to those of one that lie `shift` levels lower."""
    pairs = [
        np.linalg.norm(other[name] - one[SPINE[index + shift]])
        for index, name in enumerate(SPINE)
        if name in other and 0 <= index + shift < len(SPINE) and SPINE[index + shift] in one
    ]
    return float(np.median(pairs)) if pairs else float("nan")


def mending_shifts(series: Mapping[int, CanalPoints]) -> dict[int, int] | None:
    """By how many levels each series' names must go down so that all agree; None where nothing tells.

    Series that name the places alike outvote others. Between equally many the spine's shape must tell:
    towards the sacrum gaps shrink and turns grow, beyond it they do not. It tells in 95 % of phantoms, and
    then always rightly, where points scatter by 1 mm on each axis; by 2 mm in 84 % and rightly in 98 %.
    """
    series = {key: points for key, points in series.items() if points}  # the others have no vote
    if not series:
        return {}
    first = next(iter(series.values()))
    offsets = {key: level_offset(first, points) for key, points in series.items()}
    votes = Counter(offsets.values())
    leading = [offset for offset, count in votes.items() if count == max(votes.values())]
    if len(leading) > 1:
        likely = _log_likelihoods(_fused(series, offsets), leading)
        leading = [leading[index] for index in np.argsort(-likely)]
        if not np.ptp(np.sort(likely)[-2:]) > TELLING_LOG_ODDS:
            return None
    return {key: offset - leading[0] for key, offset in offsets.items()}


def _fused(series: Mapping[int, CanalPoints], offsets: Mapping[int, int]) -> dict[int, np.ndarray]:
    """Mean places (3,) of all series by their index in SPINE, as the series of offset 0 count."""
    places: dict[int, list[np.ndarray]] = {}
    for key, points in series.items():
        for index, name in enumerate(SPINE):
            if name in points:
                places.setdefault(index + offsets[key], []).append(points[name])
    return {index: np.mean(places[index], axis=0) for index in sorted(places)}


def _log_likelihoods(places: Mapping[int, np.ndarray], offsets: Sequence[int]) -> np.ndarray:
    """How well gaps and turns fit names that are `offsets` off, (offsets,), by what all of these name."""
    shared = range(max(offsets), min(offsets) + len(SPINE))
    gaps = [index for index in shared[:-1] if {index, index + 1} <= places.keys()]
    turns = [index for index in gaps if index - 1 in gaps]
    if not gaps:
        return np.zeros(len(offsets))
    steps = {index: places[index + 1] - places[index] for index in gaps}
    lengths = np.array([np.linalg.norm(steps[index]) for index in gaps])
    slopes = {index: np.degrees(np.arctan2(steps[index][1], -steps[index][2])) for index in gaps}
    bends = np.array([slopes[index] - slopes[index - 1] for index in turns])
    likely = []
    for offset in offsets:
        named, turned = np.array(gaps) - offset, np.array(turns, dtype=int) - offset - 1
        usual = GAP_SHARES[named] / GAP_SHARES[named].mean()
        off = (lengths / lengths.mean() - usual) / GAP_SHARES_SD[named]
        bent = (bends - TURNS_DEG[turned]) / TURNS_SD_DEG[turned]
        likely.append(-0.5 * ((off**2).sum() + (bent**2).sum()))
    return np.array(likely)
