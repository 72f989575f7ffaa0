"""A spine with known landmarks, stacks through it, and a reader that finds them without a network."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from kitlib.localise.geometry import GAP_SHARES, SPINE, TURNS_DEG, predict_points
from kitlib.localise.network import GRID, PX_MM, STRIDE, network_inputs, plane2landmarks
from kitlib.localise.spine import Maps, Reader
from kitlib.mri.stack import Plane, Stack
from kitlib.mri.study import Series, Study
from kitlib.terms import Landmark

NEAR_MM = 9.0  # distance from a slice within which a place shows on it
SPREAD_PX = 0.8
NO_NETWORK = nn.Identity()
NETWORKS: dict[Plane, nn.Module] = {"sagittal": NO_NETWORK, "axial": NO_NETWORK}


def make_canal(middle=(3.0, 20.0, 10.0), spacing_mm=33.0, bend_mm=0.0) -> dict[str, np.ndarray]:
    """Canal points of a lordotic spine, from T12/L1 down; `bend_mm` bows it to the left."""
    slopes = np.radians(np.concatenate([[0.0], np.cumsum(TURNS_DEG)]) - 9.0)
    steps = (GAP_SHARES * spacing_mm)[:, None] * np.stack([0 * slopes, np.sin(slopes), -np.cos(slopes)], 1)
    places = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    places += np.array(middle) - places[3]
    places[:, 0] += bend_mm * (1 - ((np.arange(7) - 3) / 3) ** 2)
    return dict(zip(SPINE, places))


def make_places(canal: Mapping[str, np.ndarray]) -> dict[Landmark, np.ndarray]:
    """All 27 landmarks of a spine."""
    places = {Landmark("canal", level, None): place for level, place in canal.items()}
    return places | predict_points(canal, "foramen") | predict_points(canal, "recess")


def make_sagittal(count=15, step_mm=4.5, px=(256, 240), spacing_mm=1.1, middle=(3.0, 0.0, 10.0)) -> Stack:
    """Dark slices around a place, from right to left."""
    height, width = px
    corner = np.array(middle) + np.array([0, -width, height]) * spacing_mm / 2
    offsets = (np.arange(count) - (count - 1) / 2) * step_mm
    return Stack(
        pixels=np.zeros((count, height, width), np.float32),
        origins_mm=corner + offsets[:, None] * np.array([1.0, 0, 0]),
        row_direction=np.array([0.0, 1, 0]),
        column_direction=np.array([0.0, 0, -1]),
        spacing_mm=(spacing_mm, spacing_mm),
        instance_numbers=np.arange(count, 0, -1),
        files=tuple(f"{k}.dcm" for k in range(count)),
    )


def make_axial(canal: Mapping[str, np.ndarray], step_mm=4.0, px=200, spacing_mm=0.9) -> Stack:
    """Dark axial slices over all graded levels."""
    low, high = canal["l5_s1"][2] - 10, canal["l1_l2"][2] + 10
    heights = np.arange(low, high, step_mm)
    corner = canal["l3_l4"][:2] - px / 2 * spacing_mm
    return Stack(
        pixels=np.zeros((len(heights), px, px), np.float32),
        origins_mm=np.column_stack([np.tile(corner, (len(heights), 1)), heights]),
        row_direction=np.array([1.0, 0, 0]),
        column_direction=np.array([0.0, 1, 0]),
        spacing_mm=(spacing_mm, spacing_mm),
        instance_numbers=np.arange(1, len(heights) + 1),
        files=tuple(f"{k}.dcm" for k in range(len(heights))),
    )


def make_study(
    stacks: Mapping[int, Sequence[Stack]], sequences: Mapping[int, str] | None = None, study_id: int = 0
) -> Study:
    """A study of stacks by series id."""
    named = sequences or {}
    return Study(study_id, tuple(Series(key, named.get(key), tuple(own)) for key, own in stacks.items()))


def fake_reader(places: Mapping[Landmark, np.ndarray], *, mixed=0.0, step=0) -> Reader:
    """A reader that outputs places as a network would, with a share `mixed` of each one level lower.

    With a `step` all levels are named one too low (1) or too high (-1).
    """

    def read(_network: nn.Module, stack: Stack, indices: np.ndarray, plane: Plane) -> Maps:
        found = stack.upright()
        image = torch.zeros(1, *found.pixels.shape[1:])
        _, resampling = network_inputs(image, found.spacing_mm, PX_MM[plane])
        channels = plane2landmarks[plane]
        shares = np.zeros((len(indices), len(channels), GRID, GRID), np.float32)
        maps = Maps(found, np.asarray(indices), shares, resampling, STRIDE * PX_MM[plane])
        for landmark, place in places.items():
            for name, share in ((landmark, 1 - mixed), (_lower(landmark, 1), mixed)):
                channel = _channel(_lower(name, step), plane)
                if channel is not None and share:
                    shown = np.abs(maps.positions_mm - place @ found.normal) < NEAR_MM
                    shares[shown, channel] += share * _blob(maps.to_pixels(place))
        np.clip(shares, 0, 1, out=shares)
        return maps

    return read


def _lower(landmark: Landmark, step: int) -> Landmark:
    index = SPINE.index(landmark.level) + step if landmark.level else -1
    return landmark._replace(level=SPINE[index] if 0 <= index < len(SPINE) else "")


def _channel(landmark: Landmark, plane: Plane) -> int | None:
    if plane == "axial":
        return ("left", "right").index(landmark.side) if landmark.place == "recess" else None
    name = landmark if landmark.place == "canal" else landmark._replace(side=None)
    return plane2landmarks[plane].index(name) if name in plane2landmarks[plane] else None


def _blob(pixel: np.ndarray) -> np.ndarray:
    rows, cols = np.mgrid[:GRID, :GRID]
    blob = np.exp(-0.5 * ((cols - pixel[0]) ** 2 + (rows - pixel[1]) ** 2) / SPREAD_PX**2)
    return blob / max(blob.sum(), 1e-6) * 0.97
