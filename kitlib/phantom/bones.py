"""Discs and bones: vertebral bodies, their arches and facets, the sacrum's wings."""

import numpy as np
import torch

from kitlib.phantom.grid import Canvas, Solid
from kitlib.phantom.openings import Openings
from kitlib.phantom.spine import LUMBOSACRAL, SIDES, Disc, Spine, Vertebra
from kitlib.phantom.tissues import Tissue
from kitlib.terms import LEVELS

SQUARENESS = 0.42  # of the outline of bodies and discs: 0 an ellipse, 1 almost a box
CORTEX_MM = 1.0


def paint_disc(canvas: Canvas, disc: Disc, index: int) -> None:
    """Paint annulus and nucleus; the bodies, painted later, trim them."""
    a, b, h = disc.width_mm / 2 + 0.8, disc.depth_mm / 2 + 0.8, disc.height_mm / 2 + 3.5
    slack = abs(disc.wedge) * b / 2
    box = canvas.box(disc.frame, (-a, -b, -h - slack), (a, b, h + slack))
    if box is None:
        return
    u, v, w = canvas.local(disc.frame, box)
    outline = _outline(u / a, v / b)
    canvas.paint(box, (outline < 1) & (w.abs() < h + slack), Tissue.ANNULUS)
    w = w + 0.15 * disc.wedge * v
    core = _outline(u / (0.70 * a), (v - 1) / (0.66 * b)) + (w / (0.5 * disc.height_mm + 0.2)) ** 4
    cleft = (w.abs() < 0.45) & (outline < 0.13)
    canvas.paint(box, (core < 1) & ~cleft, Tissue.NUCLEUS + index)


def paint_body(canvas: Canvas, vertebra: Vertebra) -> None:
    """Paint a vertebral body: waisted, with hollow endplates, a cortex and the basivertebral vein."""
    a, b, h = vertebra.width_mm / 2, vertebra.depth_mm / 2, vertebra.height_mm / 2
    widest = 1.05 + abs(vertebra.taper) / 2
    slack = abs(vertebra.wedge) * b / 2 + 1
    reach = np.array([a, b, 0]) * widest + vertebra.lip_mm + [0, 0, h + slack]
    box = canvas.box(vertebra.frame, -reach, reach)
    if box is None:
        return
    u, v, w = canvas.local(vertebra.frame, box)
    t = (w / h).clamp(-1.2, 1.2)
    rim = t * t
    scale = (1 + 0.5 * vertebra.taper * t) * (1 - 0.09 * (1 - rim))
    lip = vertebra.lip_mm * rim**4
    outline = _outline(u / (a * scale + lip), v / (b * scale + lip * (v < 0)))
    radius = outline.clamp(max=1.4).sqrt()
    hollow = 1.6 * (1 - outline).clamp(min=0)
    ceiling = h - 0.5 * vertebra.wedge * v - hollow
    inside_mm = torch.minimum((1 - radius) * b, ceiling - w.abs())
    canvas.paint(box, inside_mm > 0, Tissue.CORTEX)
    canvas.paint(box, inside_mm > CORTEX_MM, Tissue.MARROW)
    vein = (v > 0.35 * b) & (w.abs() < 0.16 * (v - 0.2 * b)) & (u.abs() < 0.35 * (v - 0.1 * b))
    canvas.paint(box, vein & (inside_mm > 0), Tissue.VEIN)


def paint_posterior(canvas: Canvas, spine: Spine, openings: Openings) -> None:
    """Paint arches and processes, from below, so that an upper facet covers a lower one's edge."""
    for index, vertebra in enumerate(spine.vertebrae[LUMBOSACRAL - 1 :], start=LUMBOSACRAL - 1):
        arch = [_spinous(canvas, vertebra, index)]
        for column, side in enumerate(SIDES):
            arch += _arch(canvas, spine, index, side, column, openings)
        canvas.bones(arch)


def paint_sacral_wings(canvas: Canvas, spine: Spine) -> None:
    """Paint the alae of the sacrum as one bone, and the iliac bones beside them."""
    wings: list[Solid | None] = []
    for vertebra in spine.vertebrae[LUMBOSACRAL - 2 : LUMBOSACRAL + 1]:
        half = vertebra.width_mm / 2
        for side in SIDES:
            ends = ((side * half * 0.6, 3, 0), (side * (half + 22), 9, -5))
            wings.append(canvas.rod(vertebra.frame, ends, (13, 14), (1, 0.8, 1.4)))
    canvas.bones(wings)
    sacrum = spine.vertebrae[LUMBOSACRAL]
    half = sacrum.width_mm / 2
    plates = [((side * (half + 26), 40, -4), (side * (half + 85), -60, 22)) for side in SIDES]
    canvas.bones([canvas.rod(sacrum.frame, ends, (6, 4), (1, 1, 5)) for ends in plates])


def _outline(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Squared radius of a rounded square: 1 on the outline."""
    u, v = u * u, v * v
    return u + v - SQUARENESS * u * v


def _arch(
    canvas: Canvas, spine: Spine, index: int, side: int, column: int, openings: Openings
) -> list[Solid | None]:
    """One side's pedicle, lamina, transverse process and articular processes."""
    vertebra = spine.vertebrae[index]
    p, b, h = vertebra.pedicle_mm, vertebra.depth_mm / 2, vertebra.height_mm / 2
    thick = 0.285 * p
    rods: list[tuple] = [
        (((p, b - 4, 0.42 * h), (p + 0.5, b + 11, 0.36 * h)), (thick, thick), (1, 1, 1.65)),
        (((p - 1, b + 14, 0.15 * h), (3, b + 23, -0.35 * h)), (3.0, 2.8), (1, 1, 2.6)),
        (((p + 3, b + 9, 0.35 * h), (p + 24, b + 13, 0.4 * h)), (4.2, 3.0), (1, 0.8, 1.2)),
    ]
    if LUMBOSACRAL <= index < len(spine.discs):
        forward, swollen = _facet(openings, index, column)
        tip = p + 2.5, b + 13 - forward, h + spine.discs[index].height_mm + 2
        rods.append((((p + 0.5, b + 11, 0.4 * h), tip), (4.6, 5.0 + swollen), (1.5, 1, 1)))
    if index > LUMBOSACRAL:
        _, swollen = _facet(openings, index - 1, column)
        tip = p - 2.5, b + 19, 0.5 - h - spine.discs[index - 1].height_mm
        rods.append((((p - 0.5, b + 14, 0.1 * h), tip), (4.6, 5.2 + swollen), (1.4, 1, 1)))
    return [
        canvas.rod(vertebra.frame, [(side * u, v, w) for u, v, w in ends], radii, stretch)
        for ends, radii, stretch in rods
    ]


def _facet(openings: Openings, disc: int, column: int) -> tuple[float, float]:
    """How far a joint's superior facet stands forward, and how much both have swollen, in mm."""
    level = len(LEVELS) - 1 - (disc - LUMBOSACRAL)
    if level < 0:
        return 0.0, 0.0
    lost = 1 - openings.foramen[level, column]
    from_behind = (1 - openings.recess[level, column]) * (1 - openings.from_front[level])
    return 2.6 * lost, 1.2 * lost + 1.6 * from_behind


def _spinous(canvas: Canvas, vertebra: Vertebra, index: int) -> Solid | None:
    """The spinous process; the sacrum has a low crest."""
    b, h = vertebra.depth_mm / 2, vertebra.height_mm / 2
    length, tall = (14.0, 2.0) if index <= LUMBOSACRAL else (23.0, 2.8)
    tip = 0, b + 23 + length * vertebra.process, -0.8 * h
    return canvas.rod(
        vertebra.frame, ((0, b + 23, -0.35 * h), tip), (2.9, 3.5), (1, 1, tall / vertebra.process)
    )
