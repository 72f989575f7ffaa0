"""Crops in millimetres around landmarks, turned with the level, from stacks of any geometry."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kitlib.artefacts import Provenance, facts_of, load_array, save_array
from kitlib.errors import UsageError
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.stack import Stack
from kitlib.prepare.resample import framed, sampled
from kitlib.terms import Landmark, Place

SIZES_MM: dict[tuple[str, Place], tuple[float, float]] = {
    ("sagittal", "canal"): (36, 45),
    ("sagittal", "foramen"): (36, 45),
    ("axial", "canal"): (45, 75),
    ("axial", "recess"): (45, 45),
}
"""Height and width that worked (docs/facts.md, 3): axial 45 x 75 around the canal shows both recesses."""
OTHER_SIZE_MM = (45.0, 45.0)

PX_MM = 0.5
SLICES = 5, 15  # at least, at most
BEYOND_MM = 10.0  # from the nearest slice of a stack: further away it does not show the place
NEARLY_MM = 1.0  # of stacks this much further than the nearest, the one with most slices around is taken


@dataclass(frozen=True, eq=False)
class Crop:
    """What a stack shows around a landmark, which lies at the middle of the middle slice or beside it.

    The crop is itself a stack, so its pixels have their places in the patient; slices beyond the ends of the
    one it was cut from are 0 with instance number -1. Up and right are those of the reader, whatever the
    original's axes: the head is up on sagittal slices, the patient's left is right on axial ones.
    """

    landmark: Landmark
    stack: Stack  # (n, h, w); uint8 from prepared stacks, float32 from those as read
    padded_share: float  # of pixels that the original does not have; they are 0

    @property
    def pixels(self) -> np.ndarray:
        """The crop as (n, h, w) float32."""
        return self.stack.pixels.astype(np.float32)


def crop_around(
    stacks: Sequence[Stack],
    landmark: Landmark,
    place_mm: np.ndarray,
    *,
    size_mm: tuple[float, float] | None = None,
    slices: int = SLICES[0],
    px_mm: float = PX_MM,
    up: np.ndarray | None = None,
) -> Crop | None:
    """The crop of height and width `size_mm` around a place (3,); None where no stack shows the place.

    `size_mm` is that of SIZES_MM if None. `slices` neighbours by position are taken, the nearest in the
    middle. `up` (3,) is the patient direction that is to be upright in the slices, such as a disc's normal on
    sagittal and the front of its level on axial ones; without it, or where it stands upon the slices, they
    are only flipped and turned by right angles.
    """
    if not SLICES[0] <= slices <= SLICES[1]:
        raise UsageError(f"{slices} slices a crop", hint=f"{SLICES[0]} to {SLICES[1]} can be asked for.")
    place = np.asarray(place_mm, dtype=np.float64)
    found = _stack_of(stacks, place, slices)
    if found is None:
        return None
    stack, nearest = found
    plane = "sagittal" if stack.plane == "sagittal" else "axial"  # as blocks are, however steep
    height_mm, width_mm = size_mm or SIZES_MM.get((plane, landmark.place), OTHER_SIZE_MM)
    shape = max(1, round(height_mm / px_mm)), max(1, round(width_mm / px_mm))
    shown = np.zeros(slices)
    numbers = nearest + np.arange(slices) - slices // 2
    frame = framed(stack, numbers, place, shape, px_mm, up)
    for order, number in enumerate(numbers):
        if 0 <= number < len(stack):
            frame.pixels[order], shown[order] = sampled(stack, number, frame, order)
    return Crop(landmark, frame, 1 - float(shown.mean()))


def crop_landmarks(
    places_mm: Mapping[Landmark, np.ndarray],
    stacks: Sequence[Stack],
    ledger: Ledger,
    *,
    axes: Mapping[str, np.ndarray] | None = None,
    study_id: int | None = None,
    slices: int = SLICES[0],
    px_mm: float = PX_MM,
) -> list[Crop]:
    """A crop for each landmark that the stacks of one sequence show; the others become one row of the ledger.

    `axes` (3, 3) are each level's own, rows left, back, up; crops of a level without are not turned.
    """
    crops, missing = [], []
    for landmark, place in places_mm.items():
        own = (axes or {}).get(landmark.level)
        up = None if own is None or not stacks else own[2] if stacks[0].plane == "sagittal" else -own[1]
        crop = crop_around(stacks, landmark, place, slices=slices, px_mm=px_mm, up=up)
        if crop is None:
            missing.append("-".join(part for part in landmark if part))
        else:
            crops.append(crop)
    if missing:
        detail = f"no slice shows {', '.join(missing)}"
        ledger.add(Fault("crop.missing", "no crop", study_id, detail=detail))
    return crops


def save_crops(path: Path, crops: Sequence[Crop], provenance: Provenance, **facts: Any) -> None:
    """Save crops, all uint8 or all float32, as one array with geometry, landmarks and `facts` beside it."""
    flat = np.concatenate([*(crop.stack.pixels.reshape(-1) for crop in crops), np.empty(0, np.uint8)])
    cuts = [
        {
            "landmark": list(crop.landmark),
            "shape": crop.stack.pixels.shape,
            "geometry": crop.stack.geometry(),
            "padded_share": crop.padded_share,
        }
        for crop in crops
    ]
    save_array(path, flat, provenance, crops=cuts, **facts)


def load_crops(path: Path) -> list[Crop]:
    """Open what `save_crops` wrote, memory-mapped; ArtefactError where it is missing or unfinished."""
    facts = facts_of(path)["crops"]
    if not facts:
        return []  # an empty file cannot be mapped
    ends = np.cumsum([math.prod(fact["shape"]) for fact in facts])
    flat = np.split(load_array(path, mmap=True), ends[:-1])
    return [
        Crop(
            Landmark(*fact["landmark"]),
            Stack.from_geometry(pixels.reshape(fact["shape"]), fact["geometry"]),
            fact["padded_share"],
        )
        for pixels, fact in zip(flat, facts)
    ]


def _stack_of(stacks: Sequence[Stack], place: np.ndarray, slices: int) -> tuple[Stack, int] | None:
    """Of the stacks that show a place, the one to crop and the index of its nearest slice."""
    found = []
    for stack in stacks:
        away = np.abs(stack.positions_mm - place @ stack.normal)
        nearest = int(away.argmin())
        col, row, _ = stack.to_pixel(place)
        _, height, width = stack.pixels.shape
        in_view = -0.5 <= col <= width - 0.5 and -0.5 <= row <= height - 0.5
        if in_view and away[nearest] <= BEYOND_MM:
            around = min(nearest, slices // 2) + min(len(stack) - 1 - nearest, (slices - 1) // 2)
            # What decides between equals does not depend on the order of the stacks.
            last = (-around, round(float(away[nearest]), 3), stack.spacing_mm, *stack.origins_mm[0])
            found.append((float(away[nearest]), last, stack, nearest))
    if not found:
        return None
    least = min(away for away, *_ in found)
    nearly = [shown for shown in found if shown[0] <= least + NEARLY_MM]
    return min(nearly, key=lambda shown: shown[1])[2:]
