"""The sacrum's wings and foramina, and the iliac bones beside them."""

from itertools import pairwise

import numpy as np
import torch

from kitlib.phantom.body.grid import PATIENT, Canvas, Frame, Solid
from kitlib.phantom.body.pathology import LUMBARISED
from kitlib.phantom.body.spine import Spine
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.body.vertebrae import LUMBOSACRAL, SIDES, WIDTH_MM

WING_MM = np.array([0.0, 38.0, 49.0, 60.0])  # from the midline to the wing's edge, S4 to S1
S1 = LUMBOSACRAL


def sacral_top(spine: Spine) -> int:
    """Index of the highest vertebra that is fused with the sacrum."""
    return S1 - 1 if spine.transitional == LUMBARISED else S1


def paint_sacral_wings(canvas: Canvas, spine: Spine) -> None:
    """Paint the sacrum's wings with fat in its foramina, and the iliac bones beside them."""
    for disc in spine.discs[S1 - 3 : S1]:
        for side in SIDES:
            ends = ((side * 17.0, -4.0, 0.0), (side * 19.0, 12.0, 0.0))
            canvas.fill(canvas.rod(disc.frame, ends, (6.5, 6.5)), Tissue.FAT)
    canvas.bones(_wings(canvas, spine))
    for side in SIDES:
        canvas.bones([_ilium(canvas, spine, side)], cortex_mm=1.4)


def fuse_sacrum(canvas: Canvas, spine: Spine) -> None:
    """Join the marrow of the wings with that of the bodies, which have been painted since."""
    for solid in _wings(canvas, spine):
        canvas.fill(solid, Tissue.MARROW, inset_mm=2.0)


def _wings(canvas: Canvas, spine: Spine) -> list[Solid | None]:
    """Wings and pedicles of each sacral vertebra, and what joins them at the side."""
    solids: list[Solid | None] = []
    top = sacral_top(spine)
    outer = (WING_MM * spine.vertebrae[S1].width_mm / WIDTH_MM[S1])[: top + 1]
    for index in range(1, top + 1):
        vertebra = spine.vertebrae[index]
        half, b, h = vertebra.width_mm / 2, vertebra.depth_mm / 2, vertebra.height_mm / 2
        p, deep = vertebra.pedicle_mm, 1.35 if index == top else 1.0
        for side in SIDES:
            ends = ((side * half * 0.55, 0.15 * b, 0.08 * h), (side * 0.78 * outer[index], 5.0, -1.0))
            solids.append(canvas.rod(vertebra.frame, ends, (0.66 * h, 0.85 * h), (1, deep, 1.05)))
            if index == top:
                pedicle = ((side * p, b - 6, 0.4 * h), (side * (p + 0.5), b + 9, 0.38 * h))
                solids.append(canvas.rod(vertebra.frame, pedicle, (6.5, 6.0), (1, 1, 1.3)))
    for side in SIDES:
        way = [spine.vertebrae[n].frame.to_patient(side * (outer[n] - 9), 6, -3) for n in range(1, top + 1)]
        solids += [canvas.rod(PATIENT, ends, (9.0, 10.5)) for ends in pairwise(way)]
    return solids


def _ilium(canvas: Canvas, spine: Spine, side: int) -> Solid | None:
    """An iliac wing: a curved plate from behind the sacrum to the flank, its crest at about L4/L5."""
    sacrum = spine.vertebrae[S1]
    frame = Frame(sacrum.frame.origin_mm, PATIENT.axes)
    crest = float((spine.discs[S1 + 1].frame.origin_mm - sacrum.frame.origin_mm)[2]) + 2
    low, high = np.array([30.0, -75, -65]), np.array([150.0, 62, crest + 4])
    if side < 0:
        low, high = np.array([-150.0, -75, -65]), np.array([-30.0, 62, crest + 4])
    box = canvas.box(frame, low, high)
    if box is None:
        return None
    u, v, w = canvas.local(frame, box)
    u = side * u
    sheet = 53 + 0.45 * (18 - v) + 0.008 * (-v - 5).clamp(min=0) ** 2 + 0.12 * w
    thick = 4.5 + 3.0 * ((v - 20) / 25).clamp(0, 1) + 1.5 * ((w - crest + 14) / 10).clamp(0, 1)
    plate = (u - sheet).abs() * 0.8 - thick
    top = w - crest + 0.008 * (v + 12) ** 2
    return box, torch.maximum(torch.maximum(plate, top), torch.maximum(v - 56, -58 - w))
