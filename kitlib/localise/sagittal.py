"""The sagittal series of a study: choose the one that counts the levels, and take points from each."""

from dataclasses import dataclass, replace

import numpy as np

from kitlib.localise.geometry import SPINE, CanalPoints
from kitlib.localise.points import Point, point_on
from kitlib.localise.spine import LEAST_SEEN, Maps, Spine, find_foramina, find_recess
from kitlib.mri.stack import Stack
from kitlib.mri.study import Series
from kitlib.terms import SAGITTAL_T2, Landmark

SURE = 0.85  # confidence in the count below which the localiser abstains
SAME_POINT_MM = 12.0  # up to here T1 and T2 show the same point: patients move less, levels lie further apart
SECOND_WEIGHT = 0.5  # of another series' evidence: it shows the same spine to the same network

DISAGREE = "the sagittal series count the levels differently"


@dataclass(frozen=True, eq=False)
class SagittalSeries:
    """A sagittal series with its heatmaps and the spine found in it."""

    series: Series  # with the one stack that was read
    maps: Maps
    spine: Spine | None

    @property
    def mass(self) -> float:
        """How much of a canal it shows: the total mass of its points."""
        return float(self.spine.mass.sum()) if self.spine else 0.0

    @property
    def shown(self) -> Spine:
        """The spine; only for series that show one."""
        assert self.spine is not None, "a series without a canal is not counted"
        return self.spine


def counted(sagittal: list[SagittalSeries]) -> tuple[SagittalSeries, Spine, str | None]:
    """The lead series, its canal points with the evidence of the others, and a reason for doubt or None."""
    lead = preferred(sagittal, SAGITTAL_T2)
    spine = lead.shown
    for series in sagittal:
        if series is lead:
            continue
        other = series.shown
        apart_mm = disagreement_mm(spine.canal_mm, other.canal_mm)
        if apart_mm <= SAME_POINT_MM and level_offset(spine.canal_mm, other.canal_mm) == 0:
            spine = spine.with_evidence(SECOND_WEIGHT * other.log_odds)
            continue
        if other.log_odds > spine.log_odds:
            # The other count is more likely, so its points are taken too.
            lead, spine, other = series, other, spine
        doubtful = other.confidence < SURE
        spine = spine.with_evidence(-other.log_odds)
        if not doubtful or spine.confidence < SURE:
            return lead, spine, DISAGREE
    return lead, spine, None


def disagreement_mm(canal_mm: CanalPoints, other_mm: CanalPoints, shift: int = 0) -> float:
    """Median distance of another series' points to those `shift` levels lower; NaN without pairs."""
    pairs = [
        np.linalg.norm(other_mm[name] - canal_mm[SPINE[index + shift]])
        for index, name in enumerate(SPINE)
        if name in other_mm and 0 <= index + shift < len(SPINE) and SPINE[index + shift] in canal_mm
    ]
    return float(np.median(pairs)) if pairs else float("nan")


def level_offset(canal_mm: CanalPoints, other_mm: CanalPoints) -> int:
    """By how many levels the names differ: 0, 1 if the other's L1/L2 is the first's L2/L3, or else -1.

    Shifted points must fit more than twice as well as those of equal name; only one level is tried.
    """
    fits = {shift: disagreement_mm(canal_mm, other_mm, shift) for shift in (-1, 1)}
    shift = min(fits, key=lambda key: np.nan_to_num(fits[key], nan=np.inf))
    return shift if fits[shift] < disagreement_mm(canal_mm, other_mm) / 2 else 0


def preferred(sagittal: list[SagittalSeries], sequence: str) -> SagittalSeries:
    """The first series of a sequence, else of unknown sequence, else any; given in order of canal mass."""
    ranks = {sequence: 0, None: 1}
    return min(sagittal, key=lambda series: ranks.get(series.series.sequence, 2))


def canal_points(lead: SagittalSeries, spine: Spine) -> list[Point]:
    """Place the canal points on the slices of a series."""
    found = (
        point_on(lead.series, Landmark("canal", level, None), point_mm, spine.confidence * mass)
        for level, point_mm, mass in zip(SPINE, spine.points_mm, spine.mass)
        if mass > 0
    )
    return list(filter(None, found))


def foramen_points(sagittal: list[SagittalSeries], spine: Spine) -> list[Point]:
    """Find each foramen on the first series that shows it."""
    found: dict[Landmark, Point] = {}
    for series in sagittal:
        for landmark, seen in find_foramina(series.maps, spine.canal_mm).items():
            point = point_on(series.series, landmark, seen.point_mm, spine.confidence * seen.mass)
            if point is not None:
                found.setdefault(landmark, point)
    return list(found.values())


def recess_point(guess: Point, stack: Stack, maps: Maps, confidence: float) -> Point:
    """The recess seen near the guess on its slice, or else the guess itself."""
    seen = find_recess(maps, guess.patient_mm, guess.landmark.side or "left")
    if seen.mass < LEAST_SEEN:
        return guess
    col, row, _ = stack.to_pixel(seen.point_mm)
    return replace(
        guess, x=float(col), y=float(row), patient_mm=seen.point_mm, confidence=confidence * seen.mass
    )
