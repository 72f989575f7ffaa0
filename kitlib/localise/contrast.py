"""Tell T1 from T2 by the pixels: is the canal brighter than the vertebrae and discs in front of it?

Fluid is dark on T1 and bright on T2 and STIR, with marrow in between, whatever the scanner. On 52 phantoms
the ratio of medians is .26 to .93 on sagittal T1 and 1.01 to 4.5 on sagittal T2 and STIR; of 383 single
mid-sagittal slices of patients, 380 are on the right side of 1 (docs/own_study.md).
"""

from collections.abc import Callable

import numpy as np

from kitlib.localise.geometry import BACK, CanalPoints
from kitlib.localise.localiser import shipped_localiser
from kitlib.localise.spine import Spine
from kitlib.mri.study import Series, Study
from kitlib.terms import AXIAL_T2, LEVELS, SAGITTAL_T1, SAGITTAL_T2

BRIGHTER = 1.0  # canal brightness, relative to what lies in front, above which a series is T2
PLAINLY = np.log(1.1)  # distance of the log ratio from that, to contradict a description
CANAL_MM, FRONT_MM = (-3.0, 0.0, 3.0), (16.0, 20.0, 24.0, 28.0, 32.0)  # in front of the canal's middle
ALONG = 60  # sampled places from L1/L2 to L5/S1
REACH_MM = 3.0  # from a slice to a place that it still shows
LEAST_PLACES = 20  # in view, of canal and front each


def identified_by_canal(
    study: Study, spine_of: Callable[[Series], Spine | None] | None = None
) -> dict[int, str]:
    """Identify the sequences of undescribed series by their pixels, if possible; {} if no canal is found.

    `spine_of` finds the canal on a series; if None, the shipped localiser does.
    """
    spine_of = spine_of or shipped_localiser().spine_of
    spines = [spine for series in study.series if (spine := spine_of(series)) is not None]
    if not spines:
        return {}
    canal_mm = max(spines, key=lambda spine: float(spine.mass.sum())).canal_mm
    found = {}
    for series in study.series:
        ratio = canal_brightness(series, canal_mm) if series.sequence is None else float("nan")
        if np.isfinite(ratio):
            is_t2, is_sagittal = ratio > BRIGHTER, series.stacks[0].plane == "sagittal"
            if is_sagittal or is_t2:
                found[series.series_id] = (SAGITTAL_T2 if is_sagittal else AXIAL_T2) if is_t2 else SAGITTAL_T1
    return found


def contradicted_by_canal(study: Study, canal_mm: CanalPoints) -> list[int]:
    """The series described as sagittal T1 or T2 whose pixels clearly show the other."""
    sequence2sign = {SAGITTAL_T1: -1, SAGITTAL_T2: 1}
    return [
        series.series_id
        for series in study.series
        if series.sequence in sequence2sign
        and sequence2sign[series.sequence] * np.log(canal_brightness(series, canal_mm) / BRIGHTER) < -PLAINLY
    ]


def canal_brightness(series: Series, canal_mm: CanalPoints) -> float:
    """Median grey of the canal relative to that of what lies in front; NaN if too little is in view."""
    points_mm = np.array([canal_mm[level] for level in LEVELS if level in canal_mm]).reshape(-1, 3)
    if len(points_mm) < 2:
        return float("nan")
    steps = np.linspace(0, len(points_mm) - 1, ALONG)
    line_mm = np.stack([np.interp(steps, np.arange(len(points_mm)), axis) for axis in points_mm.T], axis=1)
    canal, front = (
        np.concatenate([_greys(series, line_mm - away_mm * BACK) for away_mm in places])
        for places in (CANAL_MM, FRONT_MM)
    )
    if min(len(canal), len(front)) < LEAST_PLACES or not np.median(front) > 0:
        return float("nan")
    return float(np.median(canal) / np.median(front))


def _greys(series: Series, points_mm: np.ndarray) -> np.ndarray:
    """The grey values (n,) at those of the places (m, 3) that slices of the series show."""
    found = []
    for stack in series.stacks:
        height, width = stack.pixels.shape[1:]
        column, row, _ = np.rint(stack.to_pixel(points_mm)).astype(int).T
        away_mm = np.abs(stack.positions_mm[:, None] - points_mm @ stack.normal)
        nearest = away_mm.argmin(axis=0)
        shown = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        shown &= away_mm.min(axis=0) <= REACH_MM
        found.append(stack.pixels[nearest[shown], row[shown], column[shown]].astype(float))
    return np.concatenate(found) if found else np.zeros(0)
