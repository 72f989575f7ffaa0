"""The spinal canal: a curved tube with a cross-section at each half millimetre, and what it measures.

Canal coordinates are `a` to the patient's left, `b` to the back, and the arc length `s` along the curve from
the sacrum up, in mm.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from kitlib.phantom.body import section
from kitlib.phantom.body.contents import paint_sac, paint_walls
from kitlib.phantom.body.grid import PATIENT, Box, Canvas
from kitlib.phantom.body.openings import Openings
from kitlib.phantom.body.section import Measures
from kitlib.phantom.body.spine import Spine
from kitlib.phantom.body.stenosis import HALF_DEPTH_MM, Profile, draw_profile
from kitlib.phantom.body.vertebrae import VERTEBRAE, disc_of
from kitlib.terms import LEVELS

STEP_MM = 0.5
REACH_MM = 16.0
# Of the conus' tip below the middle of L1, in vertebrae: a mean at its lower third (Saifuddin, Spine 1998).
CONUS_MEAN, CONUS_SD = 0.3, 0.45


@dataclass(frozen=True, eq=False)
class Canal:
    """The canal's curve as a table from foot to head, one row per STEP_MM."""

    centres_mm: np.ndarray  # (M, 3)
    axes: np.ndarray  # (M, 3, 3), rows left, back, along
    profile: Profile  # the cross-section's measures at each row
    rows: np.ndarray  # (5,) table row of each graded level
    roots: np.ndarray  # (R, 6): see _draw_roots

    def to_patient(self, row: int, a_mm: float, b_mm: float) -> np.ndarray:
        """Patient position (3,) of a place in the cross-section of a table row."""
        return self.centres_mm[row] + a_mm * self.axes[row, 0] + b_mm * self.axes[row, 1]

    def middle(self, level: int, a_mm: float = 0.0) -> np.ndarray:
        """Patient position (3,) midway between front and back at a graded level."""
        return self.to_patient(int(self.rows[level]), a_mm, sum(self._ends(level, a_mm)) / 2)

    def depth_mm(self, level: int, a_mm: float = 0.0) -> float:
        """Depth of the sac in the midline of a graded level, or of what is open beside it."""
        front, back = self._ends(level, a_mm)
        return back - front

    def area_mm2(self, level: int) -> float:
        """Cross-section of the sac at a graded level."""
        return section.area_mm2(self._measures(level))

    def _ends(self, level: int, a_mm: float) -> tuple[float, float]:
        outline = section.walls if a_mm else section.sac
        front, back = outline(torch.tensor([a_mm], dtype=torch.float64), self._measures(level))
        return float(front), float(back)

    def _measures(self, level: int) -> Measures:
        row = int(self.rows[level])
        return {name: torch.from_numpy(values[row : row + 1]) for name, values in self.profile.items()}


def draw_canal(spine: Spine, openings: Openings, rng: np.random.Generator) -> Canal:
    """The canal behind the bodies and discs of a spine."""
    points, arcs = _curve(spine)
    s = np.arange(0, arcs[-1], STEP_MM)
    spline = CubicSpline(arcs, points)
    centres, along = spline(s), spline(s, 1)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    left = np.array([vertebra.frame.axes[0] for vertebra in spine.vertebrae])
    left = CubicSpline(arcs[::2], left)(s)
    back = np.cross(along, left)
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    axes = np.stack([np.cross(back, along), back, along], axis=1)
    discs = [disc_of(level) for level in LEVELS]
    rows = np.rint(arcs[1::2][discs] / STEP_MM).astype(int)
    heights = np.array([spine.discs[disc].height_mm for disc in discs])
    reach = heights / 2 + rng.uniform(2, 5, (2, len(discs)))
    profile = draw_profile(s, arcs[::2], s[rows], reach, openings, rng)
    profile["cord"] = _cord(s, arcs[::2], rng)
    return Canal(centres, axes, profile, rows, _draw_roots(rows, rng))


def paint_canal(canvas: Canvas, canal: Canal) -> None:
    """Paint everything in the canal."""
    box = canvas.box(
        PATIENT, canal.centres_mm.min(axis=0) - REACH_MM, canal.centres_mm.max(axis=0) + REACH_MM
    )
    if box is None:
        return
    where, a, b, row = _coordinates(canvas, canal, box)
    table = canvas.on_device(np.stack(list(canal.profile.values())))
    rows = dict(zip(canal.profile, table[:, row]))
    tissue = canvas.tissue[box][where]
    paint_walls(tissue, a, b, rows)
    paint_sac(tissue, a, b, row, rows, canal.roots)
    canvas.tissue[box].masked_scatter_(where, tissue)


def _curve(spine: Spine) -> tuple[np.ndarray, np.ndarray]:
    """Points behind bodies and discs in turn (2n-1, 3), and their arc lengths in mm."""
    points = []
    for index, vertebra in enumerate(spine.vertebrae):
        reach = vertebra.depth_mm / 2 + HALF_DEPTH_MM[index]
        points.append(vertebra.frame.to_patient(0, reach, 0))
        if index < len(spine.discs):
            disc = spine.discs[index]
            reach = disc.depth_mm / 2 + sum(HALF_DEPTH_MM[index : index + 2]) / 2
            points.append(disc.frame.to_patient(0, reach, 0))
    arcs = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    return np.array(points), arcs


def _cord(s: np.ndarray, bodies_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thickness of the cord, 1 where it is whole; its conus ends between the middle of T12 and L2/L3."""
    first = VERTEBRAE.index("L1")
    below = np.clip(rng.normal(CONUS_MEAN, CONUS_SD), -1, 1.4)
    tip = bodies_s[first] - below * (bodies_s[first] - bodies_s[first - 1])
    return np.clip((s - tip) / 25, 0, 1) ** 0.6


def _draw_roots(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Roots of the cauda equina: at the back of the sac, as in the supine, the lower ones in the middle.

    A row holds the lateral and the dorsal place in the sac and the dorsal one where it is tight, as shares of
    its half width and depth; the canal's row of the root's exit; its radius in mm and the phase of its loops.
    """
    exits = np.r_[np.repeat(rows, 2) + 34, np.repeat(rows[-1] - 30, 5)]
    order = np.linspace(0, 1, len(exits))
    roots = [
        np.stack(
            [
                side * (0.84 - 0.78 * order) + rng.normal(0, 0.04, len(exits)),
                np.resize([0.2, 0.65], len(exits)) + rng.normal(0, 0.09, len(exits)),
                np.resize([-0.75, 0.5, -0.1, 0.75, 0.2, -0.45], len(exits)) + rng.normal(0, 0.1, len(exits)),
                exits,
                rng.uniform(0.55, 0.75, len(exits)),
                rng.uniform(0, 2 * np.pi, len(exits)),
            ],
            axis=1,
        )
        for side in (1, -1)
    ]
    return np.concatenate(roots)


def _coordinates(canvas: Canvas, canal: Canal, box: Box) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Which points of the box are near the curve, and their a, b and table row."""
    x, y, z = canvas.local(PATIENT, box)
    centres, axes = canvas.on_device(canal.centres_mm), canvas.on_device(canal.axes)
    heights = np.arange(canal.centres_mm[0, 2], canal.centres_mm[-1, 2], STEP_MM)
    rows = np.interp(heights, canal.centres_mm[:, 2], np.arange(len(centres)))
    z2row = canvas.on_device(np.rint(rows), torch.int64)
    row = z2row[((z - float(heights[0])) / STEP_MM).long().clamp_(0, len(heights) - 1)]
    where = (z > float(heights[0])) & (z < float(heights[-1])) & ((x - centres[:, 0][row]).abs() < REACH_MM)
    # Where the canal leans, a point at its level may be nearest to a lower or higher part of it.
    where &= (y - centres[:, 1][row]).abs() < (REACH_MM / axes[:, 2, 2])[row]
    points, row = torch.stack([x[where], y[where], z[where]], dim=1), row[where]
    for _ in range(3):
        along = ((points - centres[row]) * axes[row, 2]).sum(dim=1)
        row = (row + (along / STEP_MM).round().long()).clamp_(0, len(centres) - 1)
    offset = points - centres[row]
    return where, (offset * axes[row, 0]).sum(dim=1), (offset * axes[row, 1]).sum(dim=1), row
