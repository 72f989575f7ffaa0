"""Foramina, with the fat that fills them and what grows into it, and the roots that leave through them."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from kitlib.phantom.body.canal import Canal
from kitlib.phantom.body.grid import PATIENT, Box, Canvas, Frame
from kitlib.phantom.body.openings import Openings
from kitlib.phantom.body.section import RECESS_MM
from kitlib.phantom.body.spine import Spine
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.body.vertebrae import LUMBOSACRAL, SIDES, disc_of
from kitlib.terms import LEVELS

# Chosen by eye, within typical sizes.
BEHIND_MM = 5.5  # from the disc's back to the middle of the foramen
ROOT_ABOVE_MM = 6.5  # from the endplate over the disc to the root, which lies below the pedicle
PLACE_BELOW_MM = 3.0  # from the root to where a foramen is graded
MEDIAL_MM = 3.0  # from the recess to the foramen
WAIST_MM = 2.5  # how hollow the back of a body may be
WALL_MM = 1.6  # of flavum and capsule behind the fat


@dataclass(frozen=True, eq=False)
class Foramen:
    """A keyhole of fat in its disc's frame: wide above around the root, a slot below beside the disc."""

    frame: Frame
    side: int  # 1 left, -1 right
    lateral_mm: float  # from the midline to its middle, below the pedicle
    middle_mm: float  # from the disc's centre back
    root_up_mm: float  # from the disc's centre up
    width_mm: float
    normal_mm: float
    root_mm: float  # diameter of its root when free

    @property
    def place_mm(self) -> np.ndarray:
        """Patient position (3,) of where it is graded."""
        up = self.root_up_mm - PLACE_BELOW_MM
        return self.frame.to_patient(self.side * self.lateral_mm, self.middle_mm, up)

    @property
    def spare(self) -> float:
        """What is left, of the normal fat in front of and behind the root, 0..1."""
        return max(0.0, (self.width_mm - self.root_mm) / (self.normal_mm - self.root_mm))

    def half_width(self, up: Tensor) -> Tensor:
        """Half the width of the fat at heights above the disc's centre."""
        slot = 0.3 * self.width_mm * max(0.0, 1.3 * self.spare - 0.3)
        tight_mm = 0.4 * self.root_mm  # above and below, where the root touches bone and disc first
        above = (up - self.root_up_mm) / (tight_mm + self.spare * (6.0 - tight_mm))
        below = ((self.root_up_mm - up) / (tight_mm + self.spare * (6.5 - tight_mm))).clamp(0, 1)
        bulb = self.width_mm / 2 * (1 - torch.where(above > 0, above, below) ** 2).clamp(min=0).sqrt()
        bottom = (1 - ((up - self.root_up_mm) / (self.root_up_mm + 7.5)) ** 4).clamp(min=0).sqrt()
        return torch.where(above > 0, bulb, torch.maximum(bulb, slot * bottom))

    def measured_mm(self) -> float:
        """Width of the fat-filled opening, front to back, at the height of its root."""
        up = torch.tensor([self.root_up_mm], dtype=torch.float64)
        return 2 * float(self.half_width(up))


def foramen(spine: Spine, openings: Openings, level: int, column: int) -> Foramen:
    """The foramen of a graded level on the left (column 0) or the right (1)."""
    index = disc_of(LEVELS[level])
    disc, upper = spine.discs[index], spine.vertebrae[index + 1]
    return Foramen(
        frame=disc.frame,
        side=SIDES[column],
        lateral_mm=upper.pedicle_mm,
        middle_mm=disc.depth_mm / 2 + BEHIND_MM,
        root_up_mm=disc.height_mm / 2 + ROOT_ABOVE_MM,
        width_mm=float(openings.foramen_mm[level, column]),
        normal_mm=float(openings.normal_foramen_mm[level, column]),
        root_mm=float(openings.root_mm[level]),
    )


def paint_foramina(canvas: Canvas, spine: Spine, canal: Canal, openings: Openings) -> None:
    """Paint all graded foramina, then the roots, which may pass a neighbour's."""
    cells = [(level, column) for level in range(len(LEVELS)) for column in range(len(SIDES))]
    holes = [foramen(spine, openings, *cell) for cell in cells]
    for hole in holes:
        _paint_foramen(canvas, hole)
    for hole, (level, column) in zip(holes, cells):
        _paint_exit(canvas, spine, hole, level)
        _paint_recess(canvas, spine, canal, level, SIDES[column], float(openings.lost_recess[level, column]))


def _paint_foramen(canvas: Canvas, hole: Foramen) -> None:
    """What narrows the keyhole - disc and capsule -, its fat, and its root, flat where it is tight."""
    low, high = sorted((hole.side * (RECESS_MM + MEDIAL_MM), hole.side * (hole.lateral_mm + 9)))
    front, back = -BEHIND_MM - WAIST_MM, hole.normal_mm / 2 + WALL_MM
    at = hole.middle_mm
    box = canvas.box(hole.frame, (low, at + front, -9), (high, at + back, hole.root_up_mm + 9))
    if box is None:
        return
    u, v, w = canvas.local(hole.frame, box)
    v = v - at
    outward = u * hole.side - hole.lateral_mm
    within = (u > low) & (u < high)
    ends = (1 - (outward / torch.where(outward > 0, 9.0, 11.0)) ** 2).clamp(min=0).sqrt()
    tall = (w - hole.root_up_mm / 2 + 1) / (hole.root_up_mm / 2 + 7)
    room = (1 - tall**4).clamp(min=0).sqrt() * ends
    soft = (canvas.tissue[box] != Tissue.CORTEX) & (canvas.tissue[box] != Tissue.MARROW)
    rises = w < (hole.root_up_mm + 17) * (1 - hole.spare) - 9  # what bulges from the disc
    before = (v > front * ends) & (rises | (w > hole.root_up_mm - ROOT_ABOVE_MM))
    wall = within & soft & (room > 0) & (v < back * room) & ((v > 0) | before)
    canvas.paint(box, wall, Tissue.LIGAMENT)
    canvas.paint(box, wall & (v < -0.5) & (w < hole.root_up_mm - 3.5), Tissue.ANNULUS)
    canvas.paint(box, within & (v.abs() < hole.half_width(w) * ends), Tissue.FAT)
    _paint_root(canvas, box, hole, within, v, w - hole.root_up_mm + 0.55 * outward)


def _paint_root(canvas: Canvas, box: Box, hole: Foramen, within: Tensor, v: Tensor, up: Tensor) -> None:
    """The root and a vein before it; what grows in pushes it back, until fat is left on one side only."""
    canvas.paint(box, within & ((v + hole.width_mm / 2 - 1.6) ** 2 + (up - 2.2) ** 2 < 0.7), Tissue.VEIN)
    pushed = min(0.3 * (hole.normal_mm - hole.width_mm), max(0.0, (hole.width_mm - hole.root_mm) / 2))
    half, tall = _flattened(hole)
    canvas.paint(box, within & (((v - pushed) / half) ** 2 + (up / tall) ** 2 < 1), Tissue.ROOT)


def _flattened(hole: Foramen) -> tuple[float, float]:
    """Half the depth and half the height of a root, which gives way where its foramen is narrower than it."""
    free = hole.root_mm / 2
    half = min(free, max(hole.width_mm / 2 - 0.15, 0.8))
    return half, free * min(1.35, (free / half) ** 0.4)


def _paint_exit(canvas: Canvas, spine: Spine, hole: Foramen, level: int) -> None:
    """A root from the sac to its foramen, and beyond it down and forward into the psoas."""
    p, v, w, thick = hole.lateral_mm, hole.middle_mm, hole.root_up_mm, hole.root_mm / 2
    upper = spine.vertebrae[disc_of(LEVELS[level]) + 1]
    way = [upper.frame.to_patient(hole.side * RECESS_MM, upper.depth_mm / 2 + 4, 0)]
    way.append(hole.frame.to_patient(hole.side * (RECESS_MM + 1.5), v - 1, w + 4))
    _paint_way(canvas, way, [1.6, 1.9])
    beyond = [(p + 5, v, w - 2.7), (p + 13, v - 9, w - 14), (p + 17, v - 18, w - 32)]
    half, _ = _flattened(hole)
    _paint_way(canvas, [hole.frame.to_patient(hole.side * u, *vw) for u, *vw in beyond], [half, thick, 2.0])


def _paint_recess(canvas: Canvas, spine: Spine, canal: Canal, level: int, side: int, lost: float) -> None:
    """The root that passes the disc in the recess, flat where that is shallow, to the next pedicle."""
    below = spine.vertebrae[disc_of(LEVELS[level])]
    row, middle = int(canal.rows[level]), canal.middle(level, side * RECESS_MM)
    along = canal.axes[row, 2]
    start = middle + 9 * along - side * 2.5 * canal.axes[row, 0]
    deep = 6 if disc_of(LEVELS[level]) == LUMBOSACRAL else 4
    stop = below.frame.to_patient(side * RECESS_MM, below.depth_mm / 2 + deep, 0)
    flat = (1 + 0.3 * lost, 1 - 0.75 * lost, 1)
    _paint_way(canvas, [start, middle + 3 * along], [1.2, 1.5])
    canvas.fill(canvas.rod(PATIENT, (middle + 3 * along, middle - 3 * along), (1.6, 1.7), flat), Tissue.ROOT)
    _paint_way(canvas, [middle - 3 * along, stop], [1.6, 1.7])


def _paint_way(canvas: Canvas, way: list[np.ndarray], radii: list[float]) -> None:
    for (start, thick), (stop, thin) in pairwise(zip(way, radii)):
        canvas.fill(canvas.rod(PATIENT, (start, stop), (thick, thin)), Tissue.ROOT)
