"""The spinal canal: a curved tube with a cross-section every half millimetre, and its contents.

Canal coordinates are `a` to the patient's left, `b` to the back, and the arc length `s` along the curve from
the sacrum up, in mm.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from kitlib.phantom.body import section
from kitlib.phantom.body.grid import PATIENT, Box, Canvas
from kitlib.phantom.body.openings import Openings
from kitlib.phantom.body.section import RECESS_MM, Measures, Profile, area_mm2, draw_profile, sac, walls
from kitlib.phantom.body.spine import Disc, Spine, Vertebra
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.body.vertebrae import SIDES, VERTEBRAE, disc_of
from kitlib.terms import LEVELS

STEP_MM = 0.5
REACH_MM = 16.0
# Tip of the conus below the middle of L1, in vertebrae: on average in its lower third (Saifuddin, Spine
# 1998).
CONUS_MEAN, CONUS_SD = 0.3, 0.65
# Typical sizes; narrowing follows Schizas' grades A to D (Spine 2010): roots crowd, CSF disappears, then fat.
RIM_MM = 1.8  # of dark outer annulus
FLAVUM_MM, FLAVUM_GROWS_MM = 3.4, 3.5  # normal thickness, and the increase at worst degeneration
PAD_HALF_WIDTH_MM = 5.5  # of the fat behind the sac, at its base
# In patients fluid disappears first: beyond this loss of the sac's depth, grains of it become roots, the more
# the narrower it is, but never all, as in a trial on open studies (results: docs/grading_trials.md).
CROWDED_FROM, CROWDING, MOST_CROWDED = 0.15, 2.2, 0.92
GRAIN_MM = 0.7
VEIN_MM = 3.6  # from the midline to the veins posterior to a body


@dataclass(frozen=True, eq=False)
class Canal:
    """The canal's curve as a table from foot to head, one row per STEP_MM."""

    centres_mm: np.ndarray  # (M, 3)
    axes: np.ndarray  # (M, 3, 3), rows left, back, along
    profile: Profile  # the cross-section's measures at each row
    rows: np.ndarray  # (5,) table row of each graded level
    roots: np.ndarray  # (R, 6): see _draw_roots

    def to_patient(self, row: int, a_mm: float, b_mm: float) -> np.ndarray:
        """Return the patient position (3,) of a point in the cross-section of a table row."""
        return self.centres_mm[row] + a_mm * self.axes[row, 0] + b_mm * self.axes[row, 1]

    def middle(self, level: int, a_mm: float = 0.0) -> np.ndarray:
        """Return the patient position (3,) midway between front and back at a graded level."""
        return self.to_patient(int(self.rows[level]), a_mm, sum(self._ends(level, a_mm)) / 2)

    def depth_mm(self, level: int, a_mm: float = 0.0) -> float:
        """Return the depth of the sac in the midline of a graded level, or of the opening beside it."""
        front, back = self._ends(level, a_mm)
        return back - front

    def area_mm2(self, level: int) -> float:
        """Return the cross-sectional area of the sac at a graded level."""
        return area_mm2(self._measures(level))

    def _ends(self, level: int, a_mm: float) -> tuple[float, float]:
        outline = walls if a_mm else sac
        front, back = outline(torch.tensor([a_mm], dtype=torch.float64), self._measures(level))
        return float(front), float(back)

    def _measures(self, level: int) -> Measures:
        row = int(self.rows[level])
        return {name: torch.from_numpy(values[row : row + 1]) for name, values in self.profile.items()}


def draw_canal(spine: Spine, openings: Openings, rng: np.random.Generator) -> Canal:
    """Draw the canal behind the bodies and discs of a spine."""
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
    low, high = canal.centres_mm.min(axis=0), canal.centres_mm.max(axis=0)
    box = canvas.box(PATIENT, low - REACH_MM, high + REACH_MM)
    if box is None:
        return
    where, a, b, row = _coordinates(canvas, canal, box)
    table = canvas.on_device(np.stack(list(canal.profile.values())))
    rows = dict(zip(canal.profile, table[:, row]))
    tissue = canvas.tissue[box][where]
    _paint_walls(tissue, a, b, rows)
    _paint_sac(tissue, a, b, row, rows, canal.roots)
    canvas.tissue[box].masked_scatter_(where, tissue)


def _curve(spine: Spine) -> tuple[np.ndarray, np.ndarray]:
    """Points behind alternating bodies and discs (2n-1, 3), and their arc lengths in mm."""
    half_mm = np.array(section.HALF_DEPTH_MM)
    bodies = _behind(spine.vertebrae, half_mm)
    discs = _behind(spine.discs, (half_mm[:-1] + half_mm[1:]) / 2)
    points = np.insert(bodies, np.arange(1, len(bodies)), discs, axis=0)
    return points, np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]


def _behind(parts: Sequence[Vertebra | Disc], half_mm: np.ndarray) -> np.ndarray:
    """Points (n, 3) in the midline at these distances behind the backs of bodies or discs."""
    return np.array([one.frame.to_patient(0, one.depth_mm / 2 + mm, 0) for one, mm in zip(parts, half_mm)])


def _cord(s: np.ndarray, bodies_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Relative thickness of the cord; its conus ends between the middle of T12 and that of L3."""
    first = VERTEBRAE.index("L1")
    below = np.clip(rng.normal(CONUS_MEAN, CONUS_SD), -1, 1.9)
    tip = bodies_s[first] - below * (bodies_s[first] - bodies_s[first - 1])
    return np.clip((s - tip) / 25, 0, 1) ** 0.6


def _draw_roots(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw roots of the cauda equina: at the back of the sac, as when supine, the lower ones in the middle.

    A row holds the lateral and dorsal position in the sac, and the dorsal one where the sac is tight, as
    shares of its half width and depth; the canal's row of the root's exit; its radius in mm and the phase of
    its loops.
    """
    exits = np.r_[np.repeat(rows, 2) + 34, np.repeat(rows[-1] - 30, 5)]
    count = len(exits)
    roots = []
    for side in SIDES:
        lateral = side * (0.84 - 0.78 * np.linspace(0, 1, count)) + rng.normal(0, 0.04, count)
        dorsal = np.resize([0.2, 0.65], count) + rng.normal(0, 0.09, count)
        crowded = np.resize([-0.75, 0.5, -0.1, 0.75, 0.2, -0.45], count) + rng.normal(0, 0.1, count)
        radii_mm, phases = rng.uniform(0.55, 0.75, count), rng.uniform(0, 2 * np.pi, count)
        roots.append(np.stack([lateral, dorsal, crowded, exits, radii_mm, phases], axis=1))
    return np.concatenate(roots)


def _coordinates(canvas: Canvas, canal: Canal, box: Box) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a mask of the points of the box near the curve, and their a, b and table row."""
    x, y, z = canvas.local(PATIENT, box)
    centres, axes = canvas.on_device(canal.centres_mm), canvas.on_device(canal.axes)
    heights = np.arange(canal.centres_mm[0, 2], canal.centres_mm[-1, 2], STEP_MM)
    rows = np.interp(heights, canal.centres_mm[:, 2], np.arange(len(centres)))
    z2row = canvas.on_device(np.rint(rows), torch.int64)
    row = z2row[((z - float(heights[0])) / STEP_MM).long().clamp_(0, len(heights) - 1)]
    where = (z > float(heights[0])) & (z < float(heights[-1])) & ((x - centres[:, 0][row]).abs() < REACH_MM)
    # Where the canal is oblique, the nearest row of a point is not the one at its height: refine it.
    where &= (y - centres[:, 1][row]).abs() < (REACH_MM / axes[:, 2, 2])[row]
    points, row = torch.stack([x[where], y[where], z[where]], dim=1), row[where]
    for _ in range(3):
        along = ((points - centres[row]) * axes[row, 2]).sum(dim=1)
        row = (row + (along / STEP_MM).round().long()).clamp_(0, len(centres) - 1)
    offset = points - centres[row]
    return where, (offset * axes[row, 0]).sum(dim=1), (offset * axes[row, 1]).sum(dim=1), row


def _paint_walls(tissue: Tensor, a: Tensor, b: Tensor, rows: Measures) -> None:
    """Paint epidural fat, with the disc bulging into it in front and the flavum thickening from behind."""
    front, back = walls(a, rows)
    aside = a.abs()
    within = aside < rows["half_width"]
    at_disc = rows["near"] > 0.05
    bare = 0.012 * a * a - rows["half_depth"]
    tissue[within & (b > torch.where(at_disc, bare, bare - 1.7)) & (b < back)] = Tissue.FAT
    _paint_flavum(tissue, aside, b, back, within, rows)
    bulge = within & at_disc & (b <= front) & (b > bare - 1)
    tissue[bulge] = Tissue.LIGAMENT
    tissue[bulge & (b < front - RIM_MM)] = Tissue.ANNULUS
    tissue[within & ((b - front).abs() < 0.45) & (at_disc | (aside < 1.2))] = Tissue.FASCIA
    tissue[(aside - VEIN_MM) ** 2 + (b - front + 0.9) ** 2 < 1.6 * rows["at_body"]] = Tissue.VEIN


def _paint_flavum(
    tissue: Tensor, aside: Tensor, b: Tensor, back: Tensor, within: Tensor, rows: Measures
) -> None:
    """Paint a V of dark ligament anterior to laminae and facets, and the wedge of fat in its midline."""
    thickness = FLAVUM_MM + FLAVUM_GROWS_MM * rows["behind"]
    beside = (aside / RECESS_MM).clamp(max=1)
    lateral = torch.maximum(rows["recess_back_left"], rows["recess_back_right"]) + 6
    laminae = torch.lerp(rows["apex"] + 2, lateral, beside)
    soft = (tissue != Tissue.CORTEX) & (tissue != Tissue.MARROW)
    behind = within & (b >= back) & (rows["fat_pad"] > 0.3)
    tissue[behind & ((b < back + thickness) | (soft & (b < laminae)))] = Tissue.LIGAMENT
    thick = behind & (b < torch.minimum(back + thickness, laminae)) & (thickness > FLAVUM_MM + 0.8)
    tissue[thick & (b > back + 1.2)] = Tissue.ANNULUS
    strands = torch.sin(2.3 * (b - back) + 0.9 * aside) > 0.75
    tissue[thick & (b > back + 1.6) & strands] = Tissue.FAT
    from_apex = ((rows["apex"] - b) / section.PAD_MM).clamp(0, 1.2)
    wraps = 1 + 0.75 * (1 - 4 * rows["lost"]).clamp(min=0)  # around the sac, unless flavum comes between
    half_width = PAD_HALF_WIDTH_MM * (1 - rows["lost"]).clamp(min=0.5) * rows["fat_pad"]  # as in patients
    tissue[(b > rows["apex"] - wraps * section.PAD_MM) & (aside < half_width * from_apex)] = Tissue.FAT


def _paint_sac(tissue: Tensor, a: Tensor, b: Tensor, row: Tensor, rows: Measures, roots: np.ndarray) -> None:
    """Paint dura, CSF, roots and cord."""
    front, back = sac(a, rows)
    there = rows["sac_depth"] > 0.5
    beside = a.abs() < rows["sac_half_width"] + 0.4
    tissue[there & beside & (b > front - 0.45) & (b < back + 0.45)] = Tissue.FASCIA
    inside = (there & (b > front) & (b < back)).nonzero().squeeze(1)
    a, b, row = a[inside], b[inside], row[inside]
    rows = {name: values[inside] for name, values in rows.items()}
    content = torch.full_like(tissue[inside], int(Tissue.CSF))
    _paint_roots(content, a, b, row, rows, roots)
    _crowd(content, a, b, row, rows)
    middle = rows["sac_front"] + 0.52 * rows["sac_depth"]
    cord = (a / (4.6 * rows["cord"] + 0.01)) ** 2 + ((b - middle) / (3.7 * rows["cord"] + 0.01)) ** 2
    content[(cord < 1) & (rows["cord"] > 0.05)] = Tissue.CORD
    tissue[inside] = content


def _crowd(content: Tensor, a: Tensor, b: Tensor, row: Tensor, rows: Measures) -> None:
    """Replace CSF by roots, grain by grain, where the sac is narrow: Schizas' grades B to D."""
    share = ((rows["lost"] - CROWDED_FROM) * CROWDING).clamp(0, MOST_CROWDED)
    # The fractional part of a large sine: a random number in 0..1 for each grain, the same in every series.
    place = (a / GRAIN_MM).floor() * 12.9898 + (b / GRAIN_MM).floor() * 78.233 + (row // 4) * 37.719
    lot = torch.sin(place) * 43758.5453
    content[(content == Tissue.CSF) & (lot - lot.floor() < share)] = Tissue.ROOT


def _paint_roots(
    content: Tensor, a: Tensor, b: Tensor, row: Tensor, rows: Measures, roots: np.ndarray
) -> None:
    """Paint roots, which move forward before they exit, and are crowded and looped where the sac is tight."""
    half_depth = rows["sac_depth"] / 2
    middle = rows["sac_front"] + half_depth
    crowd = (1.6 * rows["lost"]).clamp(max=1)
    swollen = 1 + 0.5 * crowd + (4 * rows["lost"] - 1.8).clamp(0, 1)  # no CSF is left where it is severe
    for lateral, dorsal, crowded, leaves, radius_mm, phase in roots:
        leaving = (1 - (row - leaves) / 60).clamp(0, 1) ** 2
        wave = 0.3 * rows["loops"] * torch.sin(row / 3.2 + phase)
        spread = (lateral * (1 + crowd)).clamp(-0.85, 0.85)
        at_a = torch.lerp(spread + wave, torch.full_like(wave, np.sign(lateral) * 0.88), leaving)
        at_b = torch.lerp(dorsal + (crowded - dorsal) * crowd + wave, torch.full_like(wave, -0.3), leaving)
        at_b = at_b * (1 - 0.35 * at_a**2)
        away = (a - at_a * rows["sac_half_width"]) ** 2 + (b - middle - at_b * half_depth) ** 2
        content[(row > leaves) & (away < (radius_mm * swollen) ** 2)] = Tissue.ROOT
