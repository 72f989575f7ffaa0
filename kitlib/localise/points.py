"""Landmarks on the slices that show them: as found, as predicted beside the canal, or where they usually are.

Usual places, which are cropped if nothing was found, are medians over the competition's landmark table, as
fractions of the image's width and height: of sagittal series for canal and foramen points, of axial ones for
recesses.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kitlib.localise.geometry import (
    LEFT,
    OFFSETS_MM,
    SPINE,
    CanalPoints,
    axial_levels,
    best_slices,
    disc_axes,
    of_plane,
    on_slice,
    predict_points,
    side2sign,
)
from kitlib.mri.stack import Plane, Stack
from kitlib.mri.study import Series, Study
from kitlib.prepare.crops import BEYOND_MM
from kitlib.terms import AXIAL_T2, LANDMARKS, LEVELS, SAGITTAL_T1, SAGITTAL_T2, Landmark, Place, level_text

# T12/L1 and S1/S2, which the table lacks, are extrapolated.
CANAL_ACROSS = (0.60, 0.575, 0.55, 0.535, 0.54, 0.568, 0.62)
CANAL_DOWN = (0.18, 0.298, 0.417, 0.534, 0.645, 0.737, 0.82)
FORAMEN_ACROSS = (0.571, 0.543, 0.52, 0.508, 0.52)
FORAMEN_DOWN = (0.275, 0.385, 0.497, 0.606, 0.709)
RECESS_DOWN = (0.534, 0.525, 0.515, 0.509, 0.51)  # across, a recess lies OFFSETS_MM from the middle
place2sequence: dict[Place, str] = {"canal": SAGITTAL_T2, "foramen": SAGITTAL_T1, "recess": AXIAL_T2}
place2plane: dict[Place, Plane] = {"canal": "sagittal", "foramen": "sagittal", "recess": "axial"}


@dataclass(frozen=True, eq=False)
class Point:
    """A landmark on the slice that shows it."""

    landmark: Landmark
    series_id: int
    instance_number: int
    x: float  # column and row in the instance's native pixels
    y: float
    patient_mm: np.ndarray  # (3,) LPS
    confidence: float  # probability that it is the right landmark

    def to_json(self) -> dict[str, Any]:
        """JSON-able values, with the level spelled as in the competition."""
        place, level, side = self.landmark
        return {
            "landmark": place,
            "level": level_text(level),
            "side": side,
            "series_id": self.series_id,
            "instance_number": self.instance_number,
            "x": round(self.x, 2),
            "y": round(self.y, 2),
            "patient_mm": [round(float(value), 2) for value in self.patient_mm],
            "confidence": round(float(self.confidence), 4),
        }


@dataclass(frozen=True, eq=False)
class Located:
    """Landmarks found in a series or study; an abstention has a reason and no points to trust."""

    points: tuple[Point, ...]
    abstained: bool
    reason: str | None = None
    confidence: float = 0.0  # probability that the levels are counted right, 0 if they are not counted

    def to_json(self) -> dict[str, Any]:
        """The object that `python -m kitlib levels find` prints."""
        points = [point.to_json() for point in self.points]
        return {"points": points, "abstained": self.abstained, "reason": self.reason}


def displaced(located: Located, far_mm: float, rng: np.random.Generator) -> Located:
    """Move every point's patient position by a distance, each in its own random direction.

    Instances and pixels stay those of the original point.
    """
    ways = rng.normal(size=(len(located.points), 3))
    ways *= far_mm / np.linalg.norm(ways, axis=1, keepdims=True)
    points = zip(located.points, ways)
    return replace(
        located, points=tuple(replace(point, patient_mm=point.patient_mm + way) for point, way in points)
    )


def canal_of(points: Iterable[Point]) -> dict[str, np.ndarray]:
    """The patient positions (3,) of the canal points, by level."""
    return {point.landmark.level: point.patient_mm for point in points if point.landmark.place == "canal"}


def point_on(series: Series, landmark: Landmark, point_mm: np.ndarray, confidence: float) -> Point | None:
    """Place a landmark on the nearest slice of a series; None if no stack contains the point.

    It keeps its patient position, which may lie between two slices.
    """
    found = series.slice_at(point_mm)
    if found is None:
        return None
    x, y = found.xy.tolist()
    return Point(landmark, series.series_id, found.instance_number, x, y, point_mm, confidence)


def recess_points(
    stacks: Sequence[tuple[Series, Stack]], canal_mm: CanalPoints, confidence: float
) -> list[Point]:
    """Predict recesses on the best axial slice of each level, without a network."""
    best = best_slices(axial_levels([stack for _, stack in stacks], canal_mm))
    axes = disc_axes(canal_mm)
    points = []
    for landmark, point_mm in predict_points(canal_mm, "recess").items():
        if landmark.level in best:
            order, index = best[landmark.level]
            series, stack = stacks[order]
            x, y = on_slice(stack, index, point_mm, axes[landmark.level][2]).tolist()
            at_mm, instance = stack.to_patient(x, y, index), int(stack.instance_numbers[index])
            points.append(Point(landmark, series.series_id, instance, x, y, at_mm, confidence))
    return points


def prior_points(study: Study, found: Sequence[Point]) -> list[Point]:
    """Points of confidence 0 for each landmark that was not found and that some series could show.

    If its level's canal point was found, a foramen lies at its mean offset from it, and a recess on the axial
    slice nearest to it; there is no recess if that slice is too far away.
    """
    known = {point.landmark for point in found}
    canal_mm = canal_of(found)
    points = (_prior(landmark, study, canal_mm) for landmark in LANDMARKS if landmark not in known)
    return list(filter(None, points))


def graded_on(place: Place, study: Study) -> tuple[Series, ...]:
    """The series with stacks in a place's plane, and only those stacks; its own sequence first."""
    of_its_plane = (
        replace(series, stacks=tuple(of_plane(series.stacks, place2plane[place]))) for series in study.series
    )
    shown = [series for series in of_its_plane if series.stacks]
    return tuple(sorted(shown, key=lambda series: series.sequence != place2sequence[place]))


def _prior(landmark: Landmark, study: Study, canal_mm: CanalPoints) -> Point | None:
    shown = graded_on(landmark.place, study)
    if not shown:
        return None
    series = shown[0]
    stack = series.stacks[0]
    if landmark.place == "recess":
        if not _is_covered(canal_mm.get(landmark.level), series.stacks):
            return None
        stack, point_mm = _recess(landmark, series.stacks, canal_mm)
    else:
        beside = predict_points(canal_mm, "foramen")
        point_mm = beside[landmark] if landmark in beside else _sagittal(landmark, stack)
    index = int(np.abs(stack.positions_mm - point_mm @ stack.normal).argmin())
    col, row, _ = stack.to_pixel(point_mm).tolist()
    return Point(landmark, series.series_id, int(stack.instance_numbers[index]), col, row, point_mm, 0.0)


def _sagittal(landmark: Landmark, stack: Stack) -> np.ndarray:
    """A canal point in the middle slice, or a foramen beside it, within the stack."""
    middle = float(np.mean(stack.positions_mm[[0, -1]]))
    if landmark.place == "canal":
        order = SPINE.index(landmark.level)
        return _at(stack, (CANAL_ACROSS[order], CANAL_DOWN[order]), middle)
    order = LEVELS.index(landmark.level)
    beside = side2sign[landmark.side or "left"] * OFFSETS_MM["foramen"][order, 0]
    position = float(np.clip(middle + beside, *stack.positions_mm[[0, -1]]))
    return _at(stack, (FORAMEN_ACROSS[order], FORAMEN_DOWN[order]), position)


def _is_covered(canal_mm: np.ndarray | None, axial: Sequence[Stack]) -> bool:
    """Whether an axial slice is near a level's canal point; True if that is unknown."""
    if canal_mm is None:
        return True
    return any(np.abs(stack.positions_mm - canal_mm @ stack.normal).min() <= BEYOND_MM for stack in axial)


def _recess(landmark: Landmark, axial: Sequence[Stack], canal_mm: CanalPoints) -> tuple[Stack, np.ndarray]:
    """The stack and point nearest to the level; chosen by the height of slices if it was not found."""
    order = LEVELS.index(landmark.level)
    if (canal := canal_mm.get(landmark.level)) is not None:
        stack = min(axial, key=lambda shown: float(np.abs(shown.positions_mm - canal @ shown.normal).min()))
        position = float(np.clip(canal @ stack.normal, *stack.positions_mm[[0, -1]]))
    else:
        slices = [
            (height, which, index)
            for which, stack in enumerate(axial)
            for index, height in enumerate(stack.centres_mm[:, 2])
        ]
        slices.sort(reverse=True)
        _, which, index = slices[round((order + 0.5) / len(LEVELS) * (len(slices) - 1))]
        stack, position = axial[which], float(axial[which].positions_mm[index])
    middle_mm = _at(stack, (0.5, RECESS_DOWN[order]), position)
    return stack, middle_mm + side2sign[landmark.side or "left"] * OFFSETS_MM["recess"][order, 0] * LEFT


def _at(stack: Stack, at: tuple[float, float], position_mm: float) -> np.ndarray:
    """The patient position (3,) at fractions of the width and height of an upright stack."""
    found = stack.upright()
    _, height, width = found.pixels.shape
    index = np.interp(position_mm, found.positions_mm, np.arange(len(found)))
    return found.to_patient(at[0] * (width - 1), at[1] * (height - 1), index)
