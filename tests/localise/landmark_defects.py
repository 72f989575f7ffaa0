"""Injected defects of a landmark table, each with the keys by which an audit must report it."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from kitlib.localise.audit.findings import condition2place, condition2sequence
from kitlib.terms import LEVELS, other_side

Injected = tuple[pd.DataFrame, set[tuple]]
CELL = ["study_id", "condition", "level"]
FAR_PX = 3000


def cells(rows: pd.DataFrame) -> set[tuple]:
    return set(rows[CELL].itertuples(index=False, name=None))


def places(rows: pd.DataFrame) -> set[tuple]:
    """Study, place and level; both sides of a pair share a key."""
    return {(study, condition2place[condition], level) for study, condition, level in cells(rows)}


def sources(rows: pd.DataFrame) -> set[tuple]:
    """Series and place, whose levels are named together."""
    return set(zip(rows["series_id"].tolist(), rows["condition"].map(condition2place)))


def swap_sides(landmarks: pd.DataFrame, rng: np.random.Generator, rate: float) -> Injected:
    """Exchange left and right of some pairs: single levels, or all of a study."""
    pairs = landmarks[landmarks["condition"].map(condition2place) != "canal"]
    place = pairs["condition"].map(condition2place)
    complete = pairs.groupby([pairs["study_id"], place, pairs["level"]])["x"].transform("size") == 2
    wanted = _drawn(pairs[CELL[0]].astype(str) + place, rng, rate / 2)
    wanted |= _drawn(pairs[CELL[0]].astype(str) + place + pairs["level"], rng, rate / 2)
    chosen = pairs[wanted & complete]
    swapped = landmarks.copy()
    swapped.loc[chosen.index, "condition"] = chosen["condition"].map(other_side)
    return swapped, places(chosen)


def shift_levels(landmarks: pd.DataFrame, rng: np.random.Generator, rate: float) -> Injected:
    """Shift a sagittal series of some studies one level down or up, the last point beyond the others."""
    sagittal = landmarks[landmarks["condition"].map(condition2place) != "recess"]
    chosen = [rng.choice(ids.unique()) for _, ids in sagittal.groupby("study_id")["series_id"]]
    return _shifted(landmarks, sagittal[sagittal["series_id"].isin(_some(chosen, rng, rate))], rng)


def shift_any_levels(landmarks: pd.DataFrame, rng: np.random.Generator, rate: float) -> Injected:
    """The same for any sagittal series, so that both of a study may be off."""
    sagittal = landmarks[landmarks["condition"].map(condition2place) != "recess"]
    chosen = _some(sagittal["series_id"].unique().tolist(), rng, rate)
    return _shifted(landmarks, sagittal[sagittal["series_id"].isin(chosen)], rng)


def shift_both_levels(landmarks: pd.DataFrame, rng: np.random.Generator, rate: float) -> Injected:
    """The same for all sagittal series of some studies, in the same direction: they agree with each other."""
    sagittal = landmarks[landmarks["condition"].map(condition2place) != "recess"]
    chosen = _some(sagittal["study_id"].unique().tolist(), rng, rate)
    return _shifted(landmarks, sagittal[sagittal["study_id"].isin(chosen)], rng, together="study_id")


def _some(ids: list[int], rng: np.random.Generator, rate: float) -> list[int]:
    return [one for one in ids if rng.random() < rate]


def _shifted(
    landmarks: pd.DataFrame, chosen: pd.DataFrame, rng: np.random.Generator, together: str = "series_id"
) -> Injected:
    shifted, spot = landmarks.copy(), ["instance_number", "x", "y"]
    for _, rows in chosen.groupby(together):
        way = rng.choice([-1, 1])
        for _, line in rows.groupby(["series_id", "condition"]):
            rank = line["level"].map(LEVELS.index)
            line = line.loc[(rank * way).sort_values().index]
            spots = line[spot].to_numpy(float)
            if len(line) > 1:
                last = [spots[-1, 0], *(2 * spots[-1, 1:] - spots[-2, 1:])]
                shifted.loc[line.index, spot] = np.vstack([spots[1:], last])
    shifted["instance_number"] = shifted["instance_number"].astype(int)
    return shifted, sources(chosen)


def forget(landmarks: pd.DataFrame, rng: np.random.Generator, rate: float) -> Injected:
    gone = rng.random(len(landmarks)) < rate
    return landmarks[~gone].reset_index(drop=True), cells(landmarks[gone])


def push_outside(landmarks: pd.DataFrame, rng: np.random.Generator, rate: float) -> Injected:
    chosen = landmarks[rng.random(len(landmarks)) < rate]
    pushed = landmarks.copy()
    far = rng.choice([-1.0, 1.0], len(chosen)) * rng.uniform(1, FAR_PX, len(chosen))
    pushed.loc[chosen.index, "x"] = np.where(far < 0, far, FAR_PX + far)
    return pushed, cells(chosen)


def repeat(landmarks: pd.DataFrame, rng: np.random.Generator, rate: float) -> Injected:
    chosen = landmarks[rng.random(len(landmarks)) < rate]
    again = chosen.assign(x=chosen["x"] + rng.normal(0, 2, len(chosen)))
    return pd.concat([landmarks, again], ignore_index=True), cells(chosen)


def misfile(landmarks: pd.DataFrame, rng: np.random.Generator, rate: float, series: pd.DataFrame) -> Injected:
    """Move some points to a series of another sequence of their study."""
    moved, chosen = landmarks.copy(), []
    for row in landmarks[rng.random(len(landmarks)) < rate].itertuples():
        others = series[
            (series["study_id"] == row.study_id) & (series["sequence"] != condition2sequence[row.condition])
        ]
        if len(others):
            moved.loc[row.Index, "series_id"] = rng.choice(others["series_id"].to_numpy())
            chosen.append(row.Index)
    return moved, cells(landmarks.loc[chosen])


def displace(landmarks: pd.DataFrame, rng: np.random.Generator, rate: float) -> Injected:
    """Move single points, at most one per condition, to the point of the next level."""
    displaced, chosen = landmarks.copy(), []
    for _, line in landmarks.groupby(["study_id", "series_id", "condition"]):
        if len(line) == len(LEVELS) and rng.random() < rate:
            own, other = rng.permutation(len(line))[:2]
            own, other = line.index[own], line.index[min(own + 1, 4) if own < 4 else own - 1]
            spot = ["instance_number", "x", "y"]
            displaced.loc[own, spot] = line.loc[other, spot]
            chosen.append(own)
    displaced["instance_number"] = displaced["instance_number"].astype(int)
    return displaced, cells(landmarks.loc[chosen])


def _drawn(names: pd.Series, rng: np.random.Generator, rate: float) -> pd.Series:
    """The same random draw for all rows with the same name."""
    unique = names.unique()
    return names.map(dict(zip(unique, rng.random(len(unique)) < rate))).astype(bool)


def recall_and_precision(
    report: pd.DataFrame, codes: str | tuple[str, ...], injected: set[tuple], keys: Callable
) -> tuple[float, float]:
    """Recall and precision under these codes: shares of injected defects found, and of findings injected."""
    named = keys(report[report["code"].isin([codes] if isinstance(codes, str) else codes)])
    hits = len(named & injected)
    return hits / max(1, len(injected)), hits / max(1, len(named))
