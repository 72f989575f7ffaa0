"""Foramina, with the fat that fills them and what grows into it, and the roots that leave through them."""

from itertools import pairwise

import numpy as np
import torch

from kitlib.phantom.canal import RECESS_MM, Canal
from kitlib.phantom.grid import PATIENT, Canvas
from kitlib.phantom.openings import Openings
from kitlib.phantom.spine import SIDES, Disc, Spine, Vertebra, disc_of
from kitlib.phantom.tissues import Tissue
from kitlib.terms import LEVELS

BEHIND_MM = 5.0  # from the disc's back to the middle of the foramen
ABOVE_MM = 6.5  # from the disc's middle


def foramen_mm(spine: Spine, level: int, side: int) -> np.ndarray:
    """Patient position (3,) of a foramen's middle; side is 1 for left, -1 for right."""
    disc, upper = _around(spine, level)
    return disc.frame.to_patient(side * upper.pedicle_mm, disc.depth_mm / 2 + BEHIND_MM, ABOVE_MM)


def foramen_width_mm(fraction: float) -> float:
    """Depth, front to back, of the fat in a foramen that is open by a fraction of normal."""
    return 3.2 + 6.4 * fraction


def paint_foramina(canvas: Canvas, spine: Spine, canal: Canal, openings: Openings) -> None:
    """Paint all graded foramina, then the roots, which may pass a neighbour's."""
    for level in range(len(LEVELS)):
        for column, side in enumerate(SIDES):
            _paint_foramen(canvas, spine, level, side, float(openings.foramen[level, column]))
    for level in range(len(LEVELS)):
        for column, side in enumerate(SIDES):
            recess = openings.recess[level - 1, column] if level else 1.0
            way, radii = _root(spine, canal, level, side, openings.foramen[level, column], recess)
            for (start, thick), (stop, thin) in pairwise(zip(way, radii)):
                canvas.fill(canvas.rod(PATIENT, (start, stop), (thick, thin)), Tissue.ROOT)


def _around(spine: Spine, level: int) -> tuple[Disc, Vertebra]:
    """The disc of a graded level and the vertebra above it."""
    index = disc_of(LEVELS[level])
    return spine.discs[index], spine.vertebrae[index + 1]


def _paint_foramen(canvas: Canvas, spine: Spine, level: int, side: int, fraction: float) -> None:
    """A keyhole of fat, wide above around the root, narrow below; its lost part is ligament and disc."""
    disc, upper = _around(spine, level)
    at_v = disc.depth_mm / 2 + BEHIND_MM
    low, high = sorted((side * (RECESS_MM + 1), side * (upper.pedicle_mm + 5)))
    box = canvas.box(disc.frame, (low, at_v - 8, -11), (high, at_v + 8, 19))
    if box is None:
        return
    u, v, w = canvas.local(disc.frame, box)
    v = v - at_v
    off_axis = u - side * upper.pedicle_mm
    ends = 0.7 * (off_axis / 8) ** 2

    def keyhole(half: float, tall: float, slot: float, slot_tall: float) -> torch.Tensor:
        above = ends + (v / half) ** 2 + ((w - 9.5) / tall) ** 2 < 1
        below = ends + (v / slot) ** 2 + ((w - 1) / slot_tall) ** 2 < 1
        return (u > low) & (u < high) & (above | below)

    edge = keyhole(5.6, 8.8, 3.8, 9.8) & (off_axis.abs() < 5)
    canvas.paint(box, edge, Tissue.LIGAMENT)
    canvas.paint(box, edge & (v < -1) & (w < 6), Tissue.ANNULUS)
    fat = keyhole(foramen_width_mm(fraction) / 2, 4 + 4 * fraction, max(0.05, 3 * fraction - 0.4), 9.0)
    canvas.paint(box, fat, Tissue.FAT)


def _root(
    spine: Spine, canal: Canal, level: int, side: int, foramen: float, recess: float
) -> tuple[list[np.ndarray], list[float]]:
    """Places (3,) and radii along a root: recess of the level above, below the pedicle, foramen, psoas."""
    disc, upper = _around(spine, level)
    p, at_v = upper.pedicle_mm, disc.depth_mm / 2 + BEHIND_MM
    squeezed = 0.55 + 0.45 * foramen
    way = [canal.middle(level - 1, side * RECESS_MM)] if level else []
    way.append(upper.frame.to_patient(side * RECESS_MM, upper.depth_mm / 2 + 4, 0))
    beyond = [
        (p - 1, at_v - 0.5, 11),
        (p + 5, at_v - 2.5, 6.5),
        (p + 13, at_v - 11, -6),
        (p + 17, at_v - 20, -24),
    ]
    way += [disc.frame.to_patient(side * u, v, w) for u, v, w in beyond]
    radii = [1.0 + 0.7 * recess, 1.5, 3.0 * squeezed, 2.7 * squeezed, 2.0, 1.8]
    return way, radii[-len(way) :]
