"""The sagittal series of a study: which of them counts the levels, and what each of them shows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kitlib.localise.agreement import disagreement_mm, level_offset
from kitlib.localise.geometry import SPINE, point_on
from kitlib.localise.heatmaps import Maps
from kitlib.localise.points import Point
from kitlib.localise.spine import LEAST_SEEN, Spine, find_foramina, find_recess
from kitlib.mri.stack import Stack
from kitlib.terms import SAGITTAL_T2, Landmark

SURE = 0.9  # confidence in the count below which the localiser abstains
SAME_PLACE_MM = 12.0  # T1 and T2 mean the same point: patients move by less, levels lie further apart
SECOND_WEIGHT = 0.5  # of another series' evidence: it shows the same spine to the same network

DISAGREE = "the sagittal series count the levels differently"


@dataclass(frozen=True, eq=False)
class View:
    """A sagittal series that was read."""

    series_id: int
    stack: Stack
    maps: Maps
    spine: Spine | None

    @property
    def mass(self) -> float:
        """How much of a canal it shows."""
        return float(self.spine.mass.sum()) if self.spine else 0.0

    @property
    def shown(self) -> Spine:
        """The spine of a series that shows one."""
        assert self.spine is not None, "a series without a canal is not counted"
        return self.spine


def counted(views: list[View], sequences: Mapping[int, str]) -> tuple[View, Spine, str | None]:
    """The series whose canal points count, these points with the evidence of the other series, and doubts."""
    lead = preferred(views, sequences, SAGITTAL_T2)
    spine = lead.shown
    for view in views:
        if view is lead:
            continue
        other = view.shown
        if _agree(spine, other):
            spine = spine.with_evidence(SECOND_WEIGHT * other.log_odds)
            continue
        if other.log_odds > spine.log_odds:
            # The other count is the more likely one, so its own points are taken with it.
            lead, spine, other = view, other, spine
        doubtful = other.confidence < SURE
        spine = spine.with_evidence(-other.log_odds)
        if not doubtful or spine.confidence < SURE:
            return lead, spine, DISAGREE
    return lead, spine, None


def _agree(one: Spine, other: Spine) -> bool:
    apart_mm = disagreement_mm(one.canal_mm, other.canal_mm)
    return apart_mm <= SAME_PLACE_MM and level_offset(one.canal_mm, other.canal_mm) == 0


def preferred(views: list[View], sequences: Mapping[int, str], sequence: str) -> View:
    """The first series of a sequence, else one whose sequence is unknown, else any: most canal first."""
    for wanted in (sequence, None):
        for view in views:
            if sequences.get(view.series_id) == wanted:
                return view
    return views[0]


def canal_points(view: View, spine: Spine) -> list[Point]:
    """The canal's points on the slices of a series."""
    found = [
        point_on(
            {view.series_id: [view.stack]}, Landmark("canal", level, None), place, spine.confidence * mass
        )
        for level, place, mass in zip(SPINE, spine.places_mm, spine.mass)
        if mass > 0
    ]
    return [point for point in found if point is not None]


def foramen_points(views: list[View], spine: Spine) -> list[Point]:
    """Each foramen on the first series that shows it."""
    found: dict[Landmark, Point] = {}
    for view in views:
        for landmark, seen in find_foramina(view.maps, spine.canal_mm).items():
            stacks, confidence = {view.series_id: [view.stack]}, spine.confidence * seen.mass
            point = None if landmark in found else point_on(stacks, landmark, seen.place_mm, confidence)
            if point is not None:
                found[landmark] = point
    return list(found.values())


def recess_point(guess: Point, stack: Stack, maps: Maps, confidence: float) -> Point:
    """The recess that the guess's slice shows near it, or else the guess."""
    seen = find_recess(maps, guess.patient_mm, guess.landmark.side or "left")
    if seen.mass < LEAST_SEEN:
        return guess
    col, row, _ = stack.to_pixel(seen.place_mm)
    return replace(
        guess, x=float(col), y=float(row), patient_mm=seen.place_mm, confidence=confidence * seen.mass
    )
