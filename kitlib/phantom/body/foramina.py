"""Foramina, with the fat that fills them, the tissue that narrows them, and the roots that exit there."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from kitlib.phantom.body.bones import outline_back_mm
from kitlib.phantom.body.canal import Canal
from kitlib.phantom.body.grid import PATIENT, Box, Canvas, LocalFrame
from kitlib.phantom.body.openings import Openings
from kitlib.phantom.body.section import RECESS_MM
from kitlib.phantom.body.spine import Spine
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.body.vertebrae import LUMBOSACRAL, SIDES, disc_of
from kitlib.terms import LEVELS

# Chosen by eye, within typical sizes. BEHIND_MM is from the back of the disc in the midline to the middle of
# the foramen at L1/L2 to L5/S1, so that graded places lie about as far anterior to the canal's as the
# competition's points do.
BEHIND_MM = (5.2, 4.8, 3.9, 1.2, 0.1)
ROOT_ABOVE_MM = 6.5  # from the endplate above the disc to the root, which lies below the pedicle
PLACE_BELOW_MM = 3.0  # from the root to where a foramen is graded
MEDIAL_MM = 3.0  # from the recess to the foramen
WAIST_MM = 3.8  # largest concavity of the back of a body
WALL_MM = 2.6  # thickness of flavum and capsule behind the fat
CAP_RATE, POCKET_RATE = 0.5, 0.5  # of narrowed foramina
NOTCH_MM = 5.0  # from the root up to the end of the fat's notch in the body


@dataclass(frozen=True, eq=False)
class Foramen:
    """A pear of fat in its disc's frame: wide above around the root, tapering below behind the disc."""

    frame: LocalFrame
    side: int  # 1 left, -1 right
    lateral_mm: float  # from the midline to its middle, below the pedicle
    half_mm: tuple[float, float]  # of its disc's width and depth
    middle_mm: float  # from the disc's centre back
    root_up_mm: float  # from the disc's centre up
    width_mm: float
    normal_mm: float
    root_mm: float  # diameter of its root when free
    lots: tuple[float, ...]  # random shape, each 0..1: neck, roof, floor, lean, root position, remaining fat

    @property
    def place_mm(self) -> np.ndarray:
        """Patient position (3,) of the graded place."""
        front, back = self.edges(torch.full((1,), -PLACE_BELOW_MM, dtype=torch.float64))
        dorsal_mm = self.middle_mm + float(front + back) / 2
        return self.frame.to_patient(self.side * self.lateral_mm, dorsal_mm, self.root_up_mm - PLACE_BELOW_MM)

    @property
    def spare(self) -> float:
        """Share of the normal fat in front of and behind the root that is left, 0..1."""
        return max(0.0, (self.width_mm - self.root_mm) / (self.normal_mm - self.root_mm))

    def edges(self, up: Tensor) -> tuple[Tensor, Tensor]:
        """Return front and back of the fat, from the middle, at heights above the root."""
        neck, roof, floor, lean, *_ = self.lots
        tight_mm = 0.4 * self.root_mm  # above and below, where the root touches bone and disc first
        top_mm = tight_mm + self.spare**0.4 * (5.6 + 1.6 * roof - tight_mm)
        long_mm = tight_mm + self.spare**0.6 * (self.root_up_mm + 5.5 + 3 * floor - tight_mm)
        above = (1 - (up / top_mm).clamp(0, 1) ** 2.4).sqrt()
        fallen = (-up / long_mm).clamp(0, 1)
        belly = 0.5 + 0.5 * torch.cos(np.pi * (fallen / 0.8).clamp(max=1))
        narrow = (0.3 + 0.3 * neck) * min(1.0, 1.6 * self.spare)
        pear = torch.lerp(belly, (1 - fallen**2).sqrt(), narrow)
        half = self.width_mm / 2
        behind = torch.where(up > 0, above, pear)
        # Below, a normal foramen is narrowed only by the facet; its front follows body and disc.
        straight = torch.lerp(pear, (1 - fallen**6).sqrt(), self.spare * (0.45 + 0.4 * lean))
        hollow = 1.6 * self.spare * torch.sin(np.pi * fallen)
        return -half * torch.where(up > 0, above, straight) - hollow, half * behind

    def wall(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return the middle of the fat, front to back, at lateral positions, and the disc's back from there.

        The fat follows the back of disc and body, which curves forward laterally.
        """
        back = outline_back_mm(u.new_tensor(self.lateral_mm), *self.half_mm)
        away = (outline_back_mm(u, *self.half_mm) - back).clamp(min=-3)
        middle = self.middle_mm + away.clamp(-1, 1)
        return middle, back + away - middle

    def measured_mm(self) -> float:
        """Return the width of the fat-filled opening, front to back, at the height of its root."""
        front, back = self.edges(torch.zeros(1, dtype=torch.float64))
        return float(back - front)


def foramen(spine: Spine, openings: Openings, level: int, column: int) -> Foramen:
    """Build the foramen of a graded level on the left (column 0) or the right (1)."""
    index = disc_of(LEVELS[level])
    disc, upper = spine.discs[index], spine.vertebrae[index + 1]
    normal_mm = float(openings.normal_foramen_mm[level, column])
    return Foramen(
        frame=disc.frame,
        side=SIDES[column],
        lateral_mm=upper.pedicle_mm,
        half_mm=(disc.width_mm / 2, disc.depth_mm / 2),
        middle_mm=disc.depth_mm / 2 + BEHIND_MM[level],
        root_up_mm=disc.height_mm / 2 + ROOT_ABOVE_MM,
        width_mm=float(openings.foramen_mm[level, column]),
        normal_mm=normal_mm,
        root_mm=float(openings.root_mm[level]),
        lots=tuple(np.random.default_rng(int(1e9 * normal_mm)).random(10).tolist()),  # whatever its grade
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
    """Paint what narrows the pear (disc, capsule and facet), its fat, and its root, flattened where tight."""
    low, high = sorted((hole.side * (RECESS_MM + MEDIAL_MM), hole.side * (hole.lateral_mm + 9)))
    front, back = hole.half_mm[1] - 8 - WAIST_MM, hole.middle_mm + 3 + hole.normal_mm / 2 + WALL_MM
    box = canvas.box(hole.frame, (low, front, -10), (high, back, hole.root_up_mm + 9))
    if box is None:
        return
    u, v, w = canvas.local(hole.frame, box)
    middle, border = hole.wall(u)
    v = v - middle
    outward = u * hole.side - hole.lateral_mm
    ends = (1 - (outward / torch.where(outward > 0, 9.0, 11.0)) ** 2).clamp(min=0).sqrt()
    within = (u > low) & (u < high) & (ends > 0)
    up = w - hole.root_up_mm
    first, last = hole.edges(up)
    _paint_wall(canvas, box, hole, within, (v, up, ends, outward), border, last)
    tissue = canvas.tissue[box]
    bone = (tissue == Tissue.CORTEX) | (tissue == Tissue.MARROW)
    disc = (tissue == Tissue.ANNULUS) | (tissue >= Tissue.NUCLEUS)
    notch = (v < 0) & (up < NOTCH_MM) & (up > 1 - ROOT_ABOVE_MM)
    rim = first * ends + 0.6 * (-2 - up).clamp(min=0)  # the notch tapers towards the endplate
    canvas.paint(box, within & bone & notch & (v > rim - 0.9) & (v < last * ends), Tissue.CORTEX)
    notch &= v > rim
    free = (up.abs() < 2) | notch | ~(bone | (disc & (v < 0)))
    canvas.paint(box, within & (v > first * ends) & (v < last * ends) & free, Tissue.FAT)
    _paint_spared(canvas, box, hole, within, v, up, ends)
    _paint_root(canvas, box, hole, within, v, up + 0.55 * outward)


def _paint_wall(
    canvas: Canvas,
    box: Box,
    hole: Foramen,
    within: Tensor,
    place: tuple[Tensor, Tensor, Tensor, Tensor],
    border: Tensor,
    last: Tensor,
) -> None:
    """Paint around the fat: flavum, the facet growing behind it, and the disc bulging in front."""
    v, up, ends, outward = place
    painted = canvas.tissue[box].clone()
    soft = (painted != Tissue.CORTEX) & (painted != Tissue.MARROW)
    soft &= (painted != Tissue.CARTILAGE) & (painted != Tissue.FLUID)
    middle, lost = 0.6 - 0.5 * hole.root_up_mm, 1 - hole.spare
    front, back = border - WAIST_MM * ends, hole.normal_mm / 2 + WALL_MM
    room = (1 - ((up - middle) / (0.5 * hole.root_up_mm + 7)) ** 4).clamp(min=0).sqrt() * ends
    wall = within & soft & (room > 0) & (v < back * room)
    before = wall & (v > front) & (painted < Tissue.NUCLEUS) & (painted != Tissue.ANNULUS)
    aside = 0.07 * outward.clamp(min=0) ** 2  # the disc turns forward there, the facet back
    behind = (v > 1.4 * aside) & (outward < 5.5)
    in_front = (up < 4 + 5 * lost) & (v < (border + 4.2).clamp(min=0) - aside)
    canvas.paint(box, before & (behind | in_front), Tissue.LIGAMENT)
    disc = (up + hole.root_up_mm) / (0.5 * hole.root_up_mm + 2 + 8 * lost)
    bulge = border + (0.6 + lost * (1.3 - border)) * (1 - disc**2).clamp(min=0).sqrt() * ends
    canvas.paint(box, before & (v < bulge) & (disc.abs() < 1), Tissue.ANNULUS)
    corner = ((v / 8) ** 2 + (up / 7.5) ** 2).masked_fill((v > 0) | (up < 0), 0.0)
    canvas.paint(box, wall & (v > front) & (corner > 0.75), Tissue.CORTEX)
    canvas.paint(box, wall & (v > front) & (corner > 1), Tissue.MARROW)
    # Even in a narrowed foramen, the body extends to where the normal fat begins.
    body = before & (up < NOTCH_MM) & (up > 2 - ROOT_ABOVE_MM) & (v < -hole.normal_mm / 2 - 0.2)
    canvas.paint(box, body, Tissue.CORTEX)
    canvas.paint(box, body & (v < -hole.normal_mm / 2 - 1.1), Tissue.MARROW)
    facet = last + 1.3 + 1.4 * aside + 3 * ((up - 1) / 6).clamp(min=0) ** 2
    grown = wall & (v > facet) & (up < 3) & (outward < 4.5)
    canvas.paint(box, grown, Tissue.CORTEX)
    # Beside the joint the facet's old front becomes marrow.
    old = within & (painted == Tissue.CORTEX) & (outward > 0.2) & (v < back * room) & (up < 1)
    canvas.paint(box, (grown | old) & (v > facet + 0.8), Tissue.MARROW)


def _paint_spared(
    canvas: Canvas, box: Box, hole: Foramen, within: Tensor, v: Tensor, up: Tensor, ends: Tensor
) -> None:
    """Paint normal fat that narrowing spares away from the root: a cap under the pedicle, a pocket below."""
    cap, cap_at, floor, floor_at, floor_size = hole.lots[5:]
    first, last = replace(hole, width_mm=hole.normal_mm).edges(up)
    normal = within & (v > first * ends) & (v < last * ends) & (canvas.tissue[box] != Tissue.FAT)
    _, tall = _flattened(hole)
    if cap < CAP_RATE:
        over = ((v - (cap_at - 0.5) * 3) / 3.2) ** 2 + ((up - tall - 1.6) / 1.5) ** 2 < 1
        canvas.paint(box, normal & over, Tissue.FAT)
    if floor < POCKET_RATE:
        turned = v - 0.35 * (up + 6)  # it tapers forward along the facet
        half, long = 0.8 + 0.9 * floor_size, 2.0 + 2.0 * floor_size
        below = ((turned - (floor_at - 0.3) * 3) / half) ** 2 + ((up + tall + 1.5 + long) / long) ** 2 < 1
        canvas.paint(box, normal & below, Tissue.FAT)


def _paint_root(canvas: Canvas, box: Box, hole: Foramen, within: Tensor, v: Tensor, up: Tensor) -> None:
    """Paint the root and a vein anterior to it; narrowing displaces it until fat is left on one side only."""
    canvas.paint(box, within & ((v + hole.width_mm / 2 - 1.6) ** 2 + (up - 2.6) ** 2 < 0.6), Tissue.VEIN)
    free = max(0.0, (hole.width_mm - hole.root_mm) / 2)
    aside = float(np.clip(free * (1 - hole.spare) + (0.8 * hole.lots[4] - 0.5) * free, -free, free))
    half, tall = _flattened(hole)
    sheath = ((v - aside) / (half + 0.8)) ** 2 + (up / (tall + 0.8)) ** 2 < 1
    canvas.paint(box, within & sheath & (canvas.tissue[box] != Tissue.FAT), Tissue.LIGAMENT)
    canvas.paint(box, within & (((v - aside) / half) ** 2 + (up / tall) ** 2 < 1), Tissue.ROOT)


def _flattened(hole: Foramen) -> tuple[float, float]:
    """Half depth and half height of a root, which is compressed where its foramen is narrower."""
    free = hole.root_mm / 2
    half = min(free, max(hole.width_mm / 2 - 0.15, 0.8))
    return half, free * min(1.35, (free / half) ** 0.4)


def _paint_exit(canvas: Canvas, spine: Spine, hole: Foramen, level: int) -> None:
    """Paint a root from the sac to its foramen, and from there down and forward into the psoas."""
    p, v, w, thick = hole.lateral_mm, hole.middle_mm, hole.root_up_mm, hole.root_mm / 2
    upper = spine.vertebrae[disc_of(LEVELS[level]) + 1]
    way = [upper.frame.to_patient(hole.side * RECESS_MM, upper.depth_mm / 2 + 4, 0)]
    way.append(hole.frame.to_patient(hole.side * (RECESS_MM + 1.5), max(v - 1, hole.half_mm[1] + 2), w + 4))
    _paint_way(canvas, way, [1.6, 1.9])
    beyond = [(p + 5, v, w - 2.7), (p + 13, v - 9, w - 14), (p + 17, v - 18, w - 32)]
    half, _ = _flattened(hole)
    _paint_way(canvas, [hole.frame.to_patient(hole.side * u, *vw) for u, *vw in beyond], [half, thick, 2.0])


def _paint_recess(canvas: Canvas, spine: Spine, canal: Canal, level: int, side: int, lost: float) -> None:
    """Paint the root that passes the disc in the recess, flattened where shallow, to the next pedicle."""
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
