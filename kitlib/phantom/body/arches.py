"""Vertebral arches: pedicles, laminae, processes and ribs, with the facet joints between them."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from kitlib.phantom.body.bones import fuse_sacrum, sacral_top
from kitlib.phantom.body.grid import Box, Canvas, Solid
from kitlib.phantom.body.openings import Openings
from kitlib.phantom.body.pathology import LUMBARISED, SACRALISED
from kitlib.phantom.body.spine import Spine, Vertebra
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.body.vertebrae import LUMBOSACRAL, SIDES, VERTEBRAE
from kitlib.terms import LEVELS

# Facet orientation from L5/S1 up to T10/T11: rotation of the joint from lateral towards the front, in degrees
# (rounded from Panjabi, Spine 1993, and Masharawi, Spine 2004).
FACET_DEG = (50, 44, 36, 29, 23, 18, 45, 65)
FACET_RADIUS_MM = 11.0  # of curvature of both articular surfaces
# From L5/S1 up, chosen by eye: how far the joint's middle lies medial to the lower pedicle's axis, so that a
# slice through the upper pedicle meets the marrow of the superior facet, and how far behind the disc.
FACET_INSIDE_MM = (2.5, 5.0, 4.5, 4.5, 4.5, 2.0, 2.0, 2.0)
FACET_BEHIND_MM = (14.5, 15.3, 17.0, 17.5, 17.5, 17.5, 17.5, 17.5)
GAP_MM = 1.2  # half the gap between the bones: cartilage, with fluid in the middle
# From S4 up: tip of the transverse process beyond the pedicle's axis; length and half height of the spinous
# process.
TRANSVERSE_MM = (0, 0, 0, 0, 23, 25, 31, 28, 23, 9, 9, 13)
SPINOUS_MM = (4, 7, 9, 11, 21, 27, 29, 29, 28, 25, 25, 26)
SPINOUS_HALF_MM = (3, 4, 5, 6, 7, 9.5, 10.5, 10.5, 10, 8, 6.5, 6)
L5, T12 = LUMBOSACRAL + 1, VERTEBRAE.index("T12")

Point = tuple[float, float, float]
Rod = tuple[tuple[Point, Point], tuple[float, float], Point]
"""Ends on the left side in the vertebra's axes, radii and stretch, in mm."""


@dataclass(frozen=True, eq=False)
class Joint:
    """Both bones of a facet joint, and the joint surface between them."""

    box: Box
    superior: Tensor  # signed distance in mm to the lower vertebra's facet
    inferior: Tensor  # to the upper vertebra's
    surface: Tensor  # signed distance from the joint surface, positive in the lower vertebra's facet
    within: Tensor  # where the two face each other
    fluid_mm: float


def paint_posterior(canvas: Canvas, spine: Spine, openings: Openings) -> None:
    """Paint arches, processes and ribs from below, and the joint spaces last."""
    joints = {
        (disc, side): _joint(canvas, spine, disc, side, *_facet(openings, disc, column))
        for disc in range(LUMBOSACRAL, len(spine.discs))
        for column, side in enumerate(SIDES)
    }
    fuse_sacrum(canvas, spine)
    for index in range(LUMBOSACRAL - 2, len(spine.vertebrae)):
        arch = _spinous(canvas, spine.vertebrae[index], index)
        for side in SIDES:
            arch += _arch(canvas, spine, index, side)
            above, below = joints.get((index, side)), joints.get((index - 1, side))
            arch += [(above.box, above.superior)] if above else []
            arch += [(below.box, below.inferior)] if below else []
        canvas.bones(arch)
    for joint in joints.values():
        if joint:
            cleft = joint.within & (joint.surface.abs() <= GAP_MM)
            canvas.paint(joint.box, cleft, Tissue.CARTILAGE)
            canvas.paint(joint.box, cleft & (joint.surface.abs() < joint.fluid_mm), Tissue.FLUID)


def _arch(canvas: Canvas, spine: Spine, index: int, side: int) -> list[Solid | None]:
    """Build one side's pedicle, isthmus, lamina, transverse process and rib."""
    vertebra = spine.vertebrae[index]
    p, b, h = vertebra.pedicle_mm, vertebra.depth_mm / 2, vertebra.height_mm / 2
    thick = 0.285 * p
    gap = vertebra.pars_gap_mm  # behind a lytic isthmus the arch does not follow the slip
    isthmus = (p - 1.5, b + 13, 0.12 * h)
    joint = ((p - 3.5, b + 16 + gap, -0.3 * h - gap), (p - 6, b + 19 + gap, -0.75 * h))
    rods: list[Rod] = [
        (((p, b - 4, 0.42 * h), (p + 0.5, b + 9, 0.38 * h)), (thick, thick), (1, 1, 1.6)),
        (((p + 0.5, b + 9, 0.4 * h), isthmus), (4.0, 3.6), (1.2, 1, 1.2)),
        (joint, (3.4, 3.4), (1.4, 1, 1)),
        (((p - 4, b + 16.5 + gap, -0.15 * h), (2, b + 23 + gap, -0.35 * h)), (2.9, 2.9), (1, 1, 2.1)),
        (((p - 5, b + 19 + gap, -0.6 * h), (2, b + 25 + gap, -0.75 * h)), (2.9, 2.9), (1, 1, 1.6)),
    ]
    if index <= sacral_top(spine):
        rods = rods[2:]
    if not gap:
        rods.append(((isthmus, (p - 3.5, b + 16, -0.3 * h)), (3.6, 3.4), (1.3, 1, 1.2)))
    return [
        canvas.rod(vertebra.frame, [(side * u, v, w) for u, v, w in ends], radii, stretch)
        for ends, radii, stretch in rods + _lateral(spine, index)
    ]


def _lateral(spine: Spine, index: int) -> list[Rod]:
    """Build the transverse process; that of a sacralised L5 reaches the wing, thoracic ones carry ribs."""
    vertebra = spine.vertebrae[index]
    p, b, h = vertebra.pedicle_mm, vertebra.depth_mm / 2, vertebra.height_mm / 2
    root, length = (p + 1, b + 9, 0.35 * h), TRANSVERSE_MM[index]
    if index == L5 and spine.transitional == SACRALISED:
        wing, low = (p + 19, b + 2, -0.9 * h), (p + 20, b + 2, -2 * h)
        return [((root, wing), (6.5, 8.0), (1, 0.9, 1.6)), ((wing, low), (9, 9), (1, 1, 1))]
    if index == LUMBOSACRAL and spine.transitional == LUMBARISED:
        length = 20
    rods: list[Rod] = []
    if length:
        thick = 5.0 if index == L5 else 3.6
        rods.append(((root, (p + length, b + 13, 0.35 * h)), (thick, 2.6), (1, 0.8, 1.25)))
    if index >= T12:
        reach = spine.rib_mm * (1.0 if index == T12 else 1.8)
        ways = [(0, 0, 0.35 * h), (0.25, 17, 0), (0.6, 22, -0.2 * reach), (1.0, 6, -0.5 * reach)]
        start = vertebra.width_mm / 2 + 2
        line = [(start + share * reach * 0.85, b - 6 + back, low) for share, back, low in ways]
        rods += [(ends, (3.6, 3.4), (1, 0.8, 1.5)) for ends in pairwise(line)]
    return rods


def _facet(openings: Openings, disc: int, column: int) -> tuple[float, float]:
    """Return how far a joint's superior facet protrudes forward, and both are hypertrophied, in mm."""
    level = len(LEVELS) - 1 - (disc - LUMBOSACRAL)
    if level < 0:
        return 0.0, 0.0
    from_behind = float(openings.lost_recess[level, column] * (1 - openings.from_front[level]))
    lost = float(openings.lost_foramen[level, column])
    return 2.4 * lost, 1.0 * lost + 2.4 * from_behind


def _joint(
    canvas: Canvas, spine: Spine, disc: int, side: int, forward_mm: float, swollen_mm: float
) -> Joint | None:
    """Build a facet joint: the lower bone's concave facet is anterolateral to the upper bone's convex one."""
    frame, lower = spine.discs[disc].frame, spine.vertebrae[disc]
    place = disc - LUMBOSACRAL
    inside, behind = FACET_INSIDE_MM[place], FACET_BEHIND_MM[place]
    middle = np.array([lower.pedicle_mm - inside, spine.discs[disc].depth_mm / 2 + behind, 0.5])
    reach = 15 + swollen_mm + forward_mm
    at = middle * (side, 1, 1)
    box = canvas.box(frame, at - reach, at + reach)
    if box is None:
        return None
    u, v, w = canvas.local(frame, box)
    angle = np.radians(FACET_DEG[place])
    u, v, w = side * u - middle[0], v - middle[1], w - middle[2]
    normal = np.cos(angle) * u - np.sin(angle) * v - 0.12 * w
    along = np.sin(angle) * u + np.cos(angle) * v
    radius = (normal + FACET_RADIUS_MM).square().add(along.square()).sqrt()
    surface = torch.where(normal > -FACET_RADIUS_MM, radius, -radius) - FACET_RADIUS_MM
    big = 1 + 0.07 * swollen_mm
    ahead = 4.6 + forward_mm + 0.4 * swollen_mm
    superior = _lens(surface - 2.6, along + 0.5, w + 2, (ahead, 8.6 * big, 12.5 * big))
    inferior = _lens(normal + 3.2, along - 0.5, w - 1, (5.6 * big, 7.8 * big, 12.0 * big))
    return Joint(
        box=box,
        superior=torch.maximum(superior, GAP_MM - surface),
        inferior=torch.maximum(inferior, GAP_MM + surface),
        surface=surface,
        within=(superior < 0.3) & (inferior < 0.3) & (along.abs() < 7.5),
        fluid_mm=0.45 + 0.1 * swollen_mm,
    )


def _lens(x: Tensor, y: Tensor, z: Tensor, half: tuple[float, float, float]) -> Tensor:
    """Approximate signed distance in mm to an ellipsoid."""
    radius = ((x / half[0]) ** 2 + (y / half[1]) ** 2 + (z / half[2]) ** 2).sqrt()
    return (radius - 1) * min(half)


def _spinous(canvas: Canvas, vertebra: Vertebra, index: int) -> list[Solid | None]:
    """Build the spinous process: a plate, tallest at its rear and lower end; the sacrum has a low crest."""
    b, h = vertebra.depth_mm / 2 + vertebra.pars_gap_mm, vertebra.height_mm / 2
    length, tall = SPINOUS_MM[index] * vertebra.process, SPINOUS_HALF_MM[index] / 3
    start, tip = (0, b + 22, -0.45 * h), (0, b + 22 + 0.9 * length, -0.75 * h)
    below = (0, b + 22 + 0.5 * length, -0.9 * h), (0, b + 22 + length, -(0.6 + 0.4 * vertebra.process) * h)
    return [
        canvas.rod(vertebra.frame, (start, tip), (2.4, 2.9), (1, 1, 0.85 * tall)),
        canvas.rod(vertebra.frame, below, (2.8, 3.3), (1, 1, 0.75 * tall)),
    ]
