"""Where landmarks usually lie: what is cropped when nothing was found.

Fractions are medians over the competition's landmark table: of the image's width and height for canal and
foramen points on sagittal series, and for recesses on axial ones.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from kitlib.localise.geometry import OFFSETS_MM, SPINE, CanalPoints, predict_places
from kitlib.localise.heatmaps import kind2axes, of_plane, upright
from kitlib.localise.points import Point
from kitlib.localise.spine import side2sign
from kitlib.mri.stack import Stack
from kitlib.terms import AXIAL_T2, LANDMARKS, LEVELS, SAGITTAL_T1, SAGITTAL_T2, Kind, Landmark

# T12/L1 and S1/S2, which the table lacks, go on at the same pace.
CANAL_ACROSS = (0.60, 0.575, 0.55, 0.535, 0.54, 0.568, 0.62)
CANAL_DOWN = (0.18, 0.298, 0.417, 0.534, 0.645, 0.737, 0.82)
FORAMEN_ACROSS = (0.571, 0.543, 0.52, 0.508, 0.52)
FORAMEN_DOWN = (0.275, 0.385, 0.497, 0.606, 0.709)
RECESS_DOWN = (0.534, 0.525, 0.515, 0.509, 0.51)  # across, a recess lies OFFSETS_MM off the middle
place2sequence = {"canal": SAGITTAL_T2, "foramen": SAGITTAL_T1, "recess": AXIAL_T2}
place2plane: dict[str, Kind] = {"canal": "sagittal", "foramen": "sagittal", "recess": "axial"}


def prior_points(
    series: Mapping[int, Sequence[Stack]], sequences: Mapping[int, str], found: Sequence[Point]
) -> list[Point]:
    """Points of confidence 0 for each landmark that was not found and some series could show.

    Beside a canal point that was found, a foramen or recess lies at its mean offset.
    """
    known = {point.landmark for point in found}
    canal = {one.landmark.level: one.patient_mm for one in found if one.landmark.landmark == "canal"}
    points = (_prior(one, series, sequences, canal) for one in LANDMARKS if one not in known)
    return [point for point in points if point is not None]


def _prior(
    landmark: Landmark,
    series: Mapping[int, Sequence[Stack]],
    sequences: Mapping[int, str],
    canal: CanalPoints,
) -> Point | None:
    planes = {one: of_plane(stacks, place2plane[landmark.landmark]) for one, stacks in series.items()}
    shown = [one for one in planes if planes[one]]
    if not shown:
        return None
    wanted = place2sequence[landmark.landmark]
    series_id = min(shown, key=lambda one: sequences.get(one) != wanted)  # of equals, the first
    stack = planes[series_id][0]
    if landmark.landmark == "recess":
        stack, place = _recess(landmark, planes[series_id], canal)
    else:
        beside = predict_places(canal, "foramen")
        place = beside[landmark] if landmark in beside else _sagittal(landmark, stack)
    index = int(np.abs(stack.positions_mm - place @ stack.normal).argmin())
    col, row, _ = stack.to_pixel(place)
    return Point(landmark, series_id, int(stack.instance_numbers[index]), float(col), float(row), place, 0.0)


def _sagittal(landmark: Landmark, stack: Stack) -> np.ndarray:
    """A canal point in the middle slice, a foramen beside it as far as the stack goes."""
    middle = float(np.mean(stack.positions_mm[[0, -1]]))
    if landmark.landmark == "canal":
        order = SPINE.index(landmark.level)
        return _at(stack, "sagittal", (CANAL_ACROSS[order], CANAL_DOWN[order]), middle)
    order = LEVELS.index(landmark.level)
    beside = side2sign[landmark.side or "left"] * OFFSETS_MM["foramen"][order, 0]
    position = float(np.clip(middle + beside, *stack.positions_mm[[0, -1]]))
    return _at(stack, "sagittal", (FORAMEN_ACROSS[order], FORAMEN_DOWN[order]), position)


def _recess(landmark: Landmark, axial: Sequence[Stack], canal_mm: CanalPoints) -> tuple[Stack, np.ndarray]:
    """On the stack and slice nearest to the level; by the order of heights where no level was found."""
    order = LEVELS.index(landmark.level)
    if (canal := canal_mm.get(landmark.level)) is not None:
        stack = min(axial, key=lambda one: float(np.abs(one.positions_mm - canal @ one.normal).min()))
        position = float(np.clip(canal @ stack.normal, *stack.positions_mm[[0, -1]]))
    else:
        slices = [(one.centres_mm[k][2], i, k) for i, one in enumerate(axial) for k in range(len(one))]
        slices.sort(reverse=True)
        _, i, k = slices[round((order + 0.5) / len(LEVELS) * (len(slices) - 1))]
        stack, position = axial[i], float(axial[i].positions_mm[k])
    place = _at(stack, "axial", (0.5, RECESS_DOWN[order]), position)
    across, _ = kind2axes["axial"]
    return stack, place + side2sign[landmark.side or "left"] * OFFSETS_MM["recess"][order, 0] * across


def _at(stack: Stack, kind: Kind, at: tuple[float, float], position_mm: float) -> np.ndarray:
    """The patient position (3,) at fractions of an upright stack's width and height."""
    found = upright(stack, kind)
    _, height, width = found.pixels.shape
    index = np.interp(position_mm, found.positions_mm, np.arange(len(found)))
    return found.to_patient(at[0] * (width - 1), at[1] * (height - 1), index)
