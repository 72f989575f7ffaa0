"""The spinal canal: a curved tube with the thecal sac, its roots, the cord, fat, flavum and bulging discs.

Canal coordinates are `a` to the patient's left, `b` to the back, and the arc length `s` along the curve from
the sacrum up, in mm.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from kitlib.phantom.grid import PATIENT, Box, Canvas
from kitlib.phantom.openings import Openings
from kitlib.phantom.spine import LUMBOSACRAL, Spine, disc_of
from kitlib.phantom.tissues import Tissue
from kitlib.terms import LEVELS

STEP_MM = 0.5
RECESS_MM = 8.0  # from the midline to where a recess is measured
REACH_MM = 16.0
# From S4 to T10: half the canal's depth and width in mm, and how much of them the sac fills; it ends at S2.
HALF_DEPTH_MM = (2, 3.5, 5, 7.0, 8.4, 8.4, 8.2, 8.2, 8.2, 8.0, 7.8, 7.6)
HALF_WIDTH_MM = (5, 7, 10, 13.0, 13.0, 12.0, 11.6, 11.3, 11.0, 10.6, 10.2, 10.0)
SAC_FILL = (0, 0, 0.25, 0.66, 0.8, 0.9, 0.94, 0.95, 0.95, 0.92, 0.9, 0.9)
SAC_WIDTH = (0, 0, 0.3, 0.58, 0.72, 0.78, 0.8, 0.8, 0.8, 0.82, 0.85, 0.85)
RECESS_SHARE = 0.46  # normal depth of a recess, of the canal's depth


@dataclass(frozen=True, eq=False)
class Canal:
    """The canal's curve as a table from foot to head, one row per STEP_MM."""

    centres_mm: np.ndarray  # (M, 3)
    axes: np.ndarray  # (M, 3, 3), rows left, back, along
    profile: dict[str, np.ndarray]  # the cross-section at each row, (M,) each
    rows: np.ndarray  # (5,) table row of each graded level
    roots: np.ndarray  # (R, 4) lateral and dorsal place within the sac, row of its exit, radius in mm

    def to_patient(self, row: int, a_mm: float, b_mm: float) -> np.ndarray:
        """Patient position (3,) of a place in the cross-section of a table row."""
        return self.centres_mm[row] + a_mm * self.axes[row, 0] + b_mm * self.axes[row, 1]

    def walls(self, row: int, a_mm: float) -> tuple[float, float]:
        """Front and back wall (b, in mm) of what is open at a lateral place of a cross-section."""
        rows = {
            name: torch.tensor([values[row]], dtype=torch.float32) for name, values in self.profile.items()
        }
        front, back, _, _ = _walls(torch.tensor([a_mm], dtype=torch.float32), rows)
        return float(front), float(back)

    def middle(self, level: int, a_mm: float = 0.0) -> np.ndarray:
        """Patient position (3,) midway between front and back at a graded level."""
        row = int(self.rows[level])
        return self.to_patient(row, a_mm, sum(self.walls(row, a_mm)) / 2)

    def depth_mm(self, level: int, a_mm: float = 0.0) -> float:
        """What is open between front and back at a graded level."""
        front, back = self.walls(int(self.rows[level]), a_mm)
        return back - front


def draw_canal(spine: Spine, openings: Openings, rng: np.random.Generator) -> Canal:
    """The canal behind the bodies and discs of a spine."""
    half_depth = np.array(HALF_DEPTH_MM) * rng.normal(1, 0.07)
    points, arcs = _curve(spine, half_depth)
    s = np.arange(0, arcs[-1], STEP_MM)
    spline = CubicSpline(arcs, points)
    centres, along = spline(s), spline(s, 1)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    left = np.array([vertebra.frame.axes[0] for vertebra in spine.vertebrae])
    left = CubicSpline(arcs[::2], left)(s)
    back = np.cross(along, left)
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    discs = [disc_of(level) for level in LEVELS]
    rows = np.rint(arcs[1::2][discs] / STEP_MM).astype(int)
    heights = np.array([spine.discs[disc].height_mm for disc in discs])
    profile = _sizes(s, arcs[::2], half_depth, rng)
    profile |= _narrowing(s, s[rows], heights, openings, rng) | {"cord": _cord(s, s[rows], rng)}
    axes = np.stack([np.cross(back, along), back, along], axis=1)
    return Canal(centres, axes, profile, rows, _draw_roots(rows, rng))


def paint_canal(canvas: Canvas, canal: Canal) -> None:
    """Paint everything in the canal."""
    box = canvas.box(
        PATIENT, canal.centres_mm.min(axis=0) - REACH_MM, canal.centres_mm.max(axis=0) + REACH_MM
    )
    if box is None:
        return
    where, a, b, row = _coordinates(canvas, canal, box)
    rows = {name: torch.as_tensor(values, dtype=torch.float32)[row] for name, values in canal.profile.items()}
    tissue = canvas.tissue[box][where]
    _paint_walls(tissue, a, b, rows)
    _paint_sac(tissue, a, b, row, rows, canal.roots)
    canvas.tissue[box].masked_scatter_(where, tissue)


def _curve(spine: Spine, half_depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points behind bodies and discs in turn (2n-1, 3), and their arc lengths in mm."""
    points = []
    for index, vertebra in enumerate(spine.vertebrae):
        points.append(vertebra.frame.to_patient(0, vertebra.depth_mm / 2 + half_depth[index], 0))
        if index < len(spine.discs):
            disc = spine.discs[index]
            reach = disc.depth_mm / 2 + half_depth[index : index + 2].mean()
            points.append(disc.frame.to_patient(0, reach, 0))
    arcs = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    return np.array(points), arcs


def _sizes(
    s: np.ndarray, bodies_s: np.ndarray, half_depth: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Normal sizes along the canal in mm, and what share of them the sac fills."""
    wide = half_depth[LUMBOSACRAL + 2] / HALF_DEPTH_MM[LUMBOSACRAL + 2]
    at_bodies = {
        "half_depth": half_depth,
        "half_width": np.array(HALF_WIDTH_MM) * wide,
        "sac_fill": np.array(SAC_FILL) * rng.normal(1, 0.03),
        "sac_width": np.array(SAC_WIDTH),
    }
    return {name: np.interp(s, bodies_s, values) for name, values in at_bodies.items()}


def _narrowing(
    s: np.ndarray, discs_s: np.ndarray, heights: np.ndarray, openings: Openings, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """What is lost of the normal opening along the canal, and whether a graded disc is near (0..1)."""
    reach = heights / 2 + rng.uniform(2.5, 4.5, len(heights))
    near = np.exp(-(((s[:, None] - discs_s) / reach) ** 4))  # (M, 5)
    return {
        "at_disc": near.sum(axis=1),
        "lost": near @ (1 - openings.canal),
        "lost_left": near @ (1 - openings.recess[:, 0]),
        "lost_right": near @ (1 - openings.recess[:, 1]),
        "from_front": near @ openings.from_front + 0.5 * (1 - near.sum(axis=1)),
    }


def _cord(s: np.ndarray, discs_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thickness of the cord, 1 where it is whole; the conus ends about L1."""
    one_level = discs_s[0] - discs_s[1]
    tip = discs_s[0] + one_level * np.clip(rng.normal(0.6, 0.5), -0.8, 2)
    return np.clip((s - tip) / 25, 0, 1) ** 0.6


def _draw_roots(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Roots of the cauda equina: at the back of the sac, as in the supine, the lower ones in the middle."""
    exits = np.r_[rows + 40, np.repeat(rows[-1] - 40, 2)]
    roots = []
    for side in (1, -1):
        for order, leaves in enumerate(exits):
            lateral = 0.82 - 0.11 * order + rng.normal(0, 0.07)
            roots.append((side * lateral, rng.uniform(-0.05, 0.65), leaves, rng.uniform(0.65, 0.95)))
    return np.array(roots)


def _coordinates(canvas: Canvas, canal: Canal, box: Box) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Which points of the box are near the curve, and their a, b and table row."""
    x, y, z = canvas.local(PATIENT, box)
    centres = torch.as_tensor(canal.centres_mm, dtype=torch.float32)
    axes = torch.as_tensor(canal.axes, dtype=torch.float32)
    heights = np.arange(canal.centres_mm[0, 2], canal.centres_mm[-1, 2], STEP_MM)
    rows = np.interp(heights, canal.centres_mm[:, 2], np.arange(len(centres)))
    z2row = torch.from_numpy(np.rint(rows).astype(np.int64))
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


def _walls(a: Tensor, rows: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Front and back wall of what is open, and both as they would be without narrowing."""
    depth = 2 * rows["half_depth"]
    share = (a.abs() / RECESS_MM).clamp(0, 1)
    share = share * share * (3 - 2 * share)
    rounding = ((a.abs() - RECESS_MM) / (rows["half_width"] - RECESS_MM).clamp(min=0.5)).clamp(0, 1)
    normal = depth * (1 - (1 - RECESS_SHARE) * share) * (1 - rounding**2).sqrt()
    beside = torch.where(a > 0, rows["lost_left"], rows["lost_right"])
    lost = depth * (rows["lost"] + (RECESS_SHARE * beside - rows["lost"]) * share)
    lost = torch.minimum(lost, normal - 0.2).clamp(min=0)
    front = -rows["half_depth"] + 0.012 * a**2
    back = front + normal
    return front + rows["from_front"] * lost, back - (1 - rows["from_front"]) * lost, front, back


def _paint_walls(tissue: Tensor, a: Tensor, b: Tensor, rows: dict[str, Tensor]) -> None:
    """Epidural fat, with the disc bulging into it from the front and the flavum thickening from behind."""
    front, back, bare_front, bare_back = _walls(a, rows)
    within = a.abs() < rows["half_width"]
    tissue[within & (b > bare_front) & (b < bare_back)] = Tissue.FAT
    thickness = 2.6 * rows["at_disc"] * (a.abs() > 0.8)
    tissue[within & (b >= back) & (b < bare_back + thickness)] = Tissue.LIGAMENT
    bulge = within & (b <= front) & (b > bare_front - 1) & (rows["at_disc"] > 0.05)
    tissue[bulge] = Tissue.ANNULUS
    tissue[within & ((b - front).abs() < 0.45) & (b < 0)] = Tissue.FASCIA  # posterior longitudinal ligament


def _paint_sac(
    tissue: Tensor, a: Tensor, b: Tensor, row: Tensor, rows: dict[str, Tensor], roots: np.ndarray
) -> None:
    """Dura, CSF, roots, which come forward before they leave, and cord."""
    front, back, _, _ = _walls(a, rows)
    front0, back0, _, _ = _walls(torch.zeros_like(a), rows)
    half_width = (rows["sac_width"] * rows["half_width"]).clamp(min=0.1)
    half_depth = (rows["sac_fill"] * (back0 - front0) / 2).clamp(min=0.1)
    middle = back0 - half_depth - 0.35 * (1 - rows["sac_fill"]) * (back0 - front0)
    radius = ((a / half_width) ** 2 + ((b - middle) / half_depth) ** 2).sqrt()
    size = torch.minimum(half_width, half_depth)
    open_here = (b > front + 0.3) & (b < back - 0.3) & (rows["sac_fill"] > 0.05)
    tissue[open_here & ((radius - 1) * size < 0.5)] = Tissue.FASCIA
    inside = open_here & ((radius - 1) * size < 0)
    tissue[inside] = Tissue.CSF
    for lateral, dorsal, leaves, thick_mm in roots:
        leaving = (1 - (row - leaves) / 70).clamp(0, 1) ** 2
        at_a = (lateral + (np.sign(lateral) * 0.85 - lateral) * leaving) * half_width
        at_b = middle + (dorsal + (-0.35 - dorsal) * leaving) * half_depth * (1 - 0.3 * lateral**2)
        tissue[inside & (row > leaves) & ((a - at_a) ** 2 + (b - at_b) ** 2 < thick_mm**2)] = Tissue.ROOT
    cord = (a / (4.6 * rows["cord"] + 0.01)) ** 2 + ((b - middle) / (3.7 * rows["cord"] + 0.01)) ** 2
    tissue[inside & (cord < 1) & (rows["cord"] > 0.05)] = Tissue.CORD
