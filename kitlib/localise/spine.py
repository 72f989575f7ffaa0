"""Turn a stack's slices into heatmaps, and these into patient points: the canal's, then those beside it.

Levels are counted on the canal alone; foramina and recesses are searched for relative to its points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import nn

from kitlib.localise.decode import COUNT, find_chain, soft_peak, window_mass
from kitlib.localise.geometry import SPINE, CanalPoints, predict_points, side2sign
from kitlib.localise.network import (
    PX_MM,
    STRIDE,
    Resampling,
    heatmap_to_network,
    heatmaps,
    network_inputs,
    network_to_heatmap,
)
from kitlib.machine import cores, device, half_precision, torch_threads
from kitlib.mri.stack import Plane, Stack
from kitlib.terms import Landmark, Side

CENTRE_SPREAD_MM = 5.0  # of the slices whose maps are averaged, around a plane
LEVEL_NEAR_MM = 16.0  # a level lies at most this far beside the canal's plane: a scoliotic spine bends
# From log odds of the count to a probability. Of 350 single slices of patients with odds above 12, 97.4 % are
# counted right, however high the odds; of 32 with lower ones 81 % (chosen on open studies, docs/levels.md).
# So confidence rises to that share and no further. Phantoms are all counted right and do not show this.
ODDS_SCALE, MOST_SURE = 6.0, 0.975
# Without L5/S1 or S1/S2 levels can only be counted from above. Phantoms, which are alike there, are counted
# right even so; patients differ: a trial network was right for 23 % of their levels, whatever its odds.
WITHOUT_SACRUM = 0.25
FORAMEN_BESIDE_MM = (4.0, 32.0)  # beside the canal, where its slice is searched for
FORAMEN_SPREAD_MM = 6.0  # around the expected point, in each direction
RECESS_SPREAD_MM = 5.0
LEAST_SEEN = 0.15  # visibility below which a foramen or recess was not seen


@dataclass(frozen=True, eq=False)
class Maps:
    """Heatmaps of some slices of an upright stack."""

    stack: Stack  # upright
    indices: np.ndarray  # (S,) the slices that were read
    shares: np.ndarray  # (S, C, n, n) float32: probability of each pixel; they sum to the visibility
    resampling: Resampling
    px_mm: float  # of the heatmaps

    @property
    def positions_mm(self) -> np.ndarray:
        """Positions (S,) of the slices along the stack's normal."""
        return self.stack.positions_mm[self.indices]

    def to_patient(self, pixels: np.ndarray, position_mm: float | np.ndarray) -> np.ndarray:
        """Convert heatmap pixels (..., 2) at positions along the normal (...) to patient points (..., 3)."""
        col, row = np.moveaxis(self.resampling.to_native(heatmap_to_network(pixels)), -1, 0)
        index = np.interp(position_mm, self.stack.positions_mm, np.arange(len(self.stack)))
        return self.stack.to_patient(col, row, index)

    def to_pixels(self, points_mm: np.ndarray) -> np.ndarray:
        """Project patient points (..., 3) along the normal to fractional heatmap pixels (..., 2)."""
        return network_to_heatmap(self.resampling.to_network(self.stack.to_pixel(points_mm)[..., :2]))


Reader = Callable[[nn.Module, Stack, np.ndarray, Plane], Maps]


def read_maps(
    network: nn.Module, stack: Stack, indices: np.ndarray, plane: Plane, *, threads: int | None = None
) -> Maps:
    """Compute the maps of a stack's slices in one batch, on all cores unless `threads` is given."""
    found = stack.upright()
    images = torch.from_numpy(np.nan_to_num(found.pixels[indices].astype(np.float32)))
    half = half_precision()
    with (
        torch_threads(threads or cores()),
        torch.inference_mode(),
        torch.autocast(device().type, dtype=half, enabled=half is not None),
    ):
        inputs, resampling = network_inputs(images, found.spacing_mm, PX_MM[plane])
        inputs = inputs.to(device(), memory_format=torch.channels_last)
        shares, _ = heatmaps(network.to(device())(inputs))
    return Maps(found, np.asarray(indices), shares.cpu().numpy(), resampling, STRIDE * PX_MM[plane])


@dataclass(frozen=True, eq=False)
class Spine:
    """Canal points in the patient, T12/L1 to S1/S2, and how certain their count is."""

    points_mm: np.ndarray  # (7, 3), NaN where not seen
    mass: np.ndarray  # (7,) probability that a canal point lies there, 0 where not seen
    log_odds: float  # of the count against one shifted by a level
    transitional: float = 0.0  # probability of a transitional vertebra; 0 if the junction was not examined

    @property
    def confidence(self) -> float:
        """Probability that the levels are counted right, which a transitional vertebra halves at worst."""
        return self.counted * (1 - self.transitional / 2)

    @property
    def counted(self) -> float:
        """The same, ignoring transitional vertebrae; low if the sacrum, the only reference, is not seen."""
        chance = MOST_SURE / (1 + float(np.exp(-self.log_odds / ODDS_SCALE)))
        return chance if self.mass[-2:].any() else min(chance, WITHOUT_SACRUM)

    @cached_property
    def canal_mm(self) -> CanalPoints:
        """The points (3,) seen, by level."""
        return {level: point for level, point, mass in zip(SPINE, self.points_mm, self.mass) if mass > 0}

    def with_evidence(self, log_odds: float) -> "Spine":
        """The same points, with another series' evidence for (or against) their count added."""
        return replace(self, log_odds=self.log_odds + log_odds)


@dataclass(frozen=True, eq=False)
class Seen:
    """A patient point and how clearly it was seen."""

    point_mm: np.ndarray  # (3,)
    mass: float


def find_spine(maps: Maps) -> Spine | None:
    """Find the canal points on the slices of a sagittal stack; None if nothing looks like a canal."""
    shares, positions = maps.shares[:, :COUNT], maps.positions_mm
    seen = shares.sum(axis=(1, 2, 3))
    if not seen.any():
        return None
    centre_mm = _busiest(positions, seen, CENTRE_SPREAD_MM)
    # Slices without a canal say nothing about its levels; the others are averaged regardless of confidence:
    # the most confident slice may be wrong.
    weights = _bell(positions - centre_mm, CENTRE_SPREAD_MM) * (seen > seen.max() / 4)
    if not weights.any():
        return None
    chain = find_chain(np.tensordot(weights / weights.sum(), shares, axes=1), maps.px_mm)
    if chain is None:
        return None
    offsets = positions - centre_mm
    near = _bell(offsets, LEVEL_NEAR_MM / 2) * (np.abs(offsets) < LEVEL_NEAR_MM)
    any_level = shares.sum(axis=1)
    points_mm = np.full((COUNT, 3), np.nan)
    for level in np.flatnonzero(chain.mass):
        points_mm[level] = _canal_point(maps, any_level, near, chain.pixels[level])
    return Spine(points_mm, chain.mass, chain.log_odds)


def _canal_point(maps: Maps, shares: np.ndarray, near: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """The canal point at a level: midway between the slices that show it, at their average peak."""
    clear = window_mass(shares, pixel) * near
    position = _middle(maps.positions_mm, clear)
    weights = clear * _bell(maps.positions_mm - position, CENTRE_SPREAD_MM)
    return maps.to_patient(soft_peak(np.tensordot(weights, shares, axes=1), pixel), position)


def find_foramina(maps: Maps, canal_mm: CanalPoints) -> dict[Landmark, Seen]:
    """Find the foramina beside the canal points on the slices of a sagittal stack."""
    found = {}
    for landmark, expected in predict_points(canal_mm, "foramen").items():
        seen = _foramen(maps, expected, canal_mm[landmark.level], landmark.side or "left")
        if seen is not None and seen.mass >= LEAST_SEEN:
            found[landmark] = seen
    return found


def _foramen(maps: Maps, expected: np.ndarray, canal: np.ndarray, side: Side) -> Seen | None:
    shares = maps.shares[:, COUNT:].sum(axis=1)  # the canal points determine the level
    positions, normal = maps.positions_mm, maps.stack.normal  # the normal points to the left
    offsets = (positions - canal @ normal) * side2sign[side]
    aside = (offsets > FORAMEN_BESIDE_MM[0]) & (offsets < FORAMEN_BESIDE_MM[1])
    local = shares * _bell_at(maps.to_pixels(expected), FORAMEN_SPREAD_MM / maps.px_mm, shares.shape[1:])
    clear = local.sum(axis=(1, 2)) * aside
    if not clear.any():
        return None
    position = _middle(positions, clear * _bell(positions - expected @ normal, FORAMEN_SPREAD_MM))
    weights = clear * _bell(positions - position, CENTRE_SPREAD_MM)
    peak = _peak(np.tensordot(weights, local, axes=1))
    pixel = soft_peak(np.tensordot(weights, shares, axes=1), peak)
    mass = float((window_mass(shares, peak) * aside).max())
    return Seen(maps.to_patient(pixel, position), min(1.0, mass))


def find_recess(maps: Maps, expected: np.ndarray, side: Side) -> Seen:
    """Find a recess near its expected position on the slices of an axial stack."""
    shares = maps.shares[:, 0 if side == "left" else 1]
    off_mm = np.abs(maps.positions_mm - expected @ maps.stack.normal)
    weights = _bell(off_mm, max(2.0, float(off_mm.min())))
    local = shares * _bell_at(maps.to_pixels(expected), RECESS_SPREAD_MM / maps.px_mm, shares.shape[1:])
    peak = _peak(np.tensordot(weights, local, axes=1))
    pixel = soft_peak(np.tensordot(weights, shares, axes=1), peak)
    mass = float((window_mass(shares, peak) * weights).sum() / weights.sum())
    return Seen(maps.to_patient(pixel, float(expected @ maps.stack.normal)), min(1.0, mass))


def _busiest(positions: np.ndarray, seen: np.ndarray, spread_mm: float) -> float:
    """The position along the normal where most is seen: the mean over the slices around it."""
    blurred = _bell(positions[:, None] - positions, spread_mm) @ seen
    top = positions[int(blurred.argmax())]
    return _middle(positions, seen * (np.abs(positions - top) < 2 * spread_mm))


def _middle(positions: np.ndarray, weights: np.ndarray) -> float:
    if not weights.any():
        return float(positions.mean())
    return float((positions * weights).sum() / weights.sum())


def _bell(offsets: np.ndarray, spread: float) -> np.ndarray:
    return np.exp(-0.5 * (offsets / spread) ** 2)


def _bell_at(pixel: np.ndarray, spread: float, shape: Sequence[int]) -> np.ndarray:
    rows, cols = (np.arange(n) for n in shape)
    return _bell(rows - pixel[1], spread)[:, None] * _bell(cols - pixel[0], spread)


def _peak(heat: np.ndarray) -> np.ndarray:
    row, col = np.unravel_index(int(heat.argmax()), heat.shape)
    return np.array([col, row])
