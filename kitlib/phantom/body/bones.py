"""Discs and bones: vertebral bodies with their findings, screws, the sacral wings and the iliac bones."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from kitlib.phantom.body.grid import CORTEX_MM, PATIENT, Box, Canvas, LocalFrame, Solid
from kitlib.phantom.body.pathology import LUMBARISED, Change
from kitlib.phantom.body.spine import Spine, Vertebra
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.body.vertebrae import LUMBOSACRAL, SIDES, WIDTH_MM

SQUARENESS = 0.42  # of the outline of bodies and discs: 0 an ellipse, 1 almost a box
WING_MM = np.array([0.0, 38.0, 49.0, 60.0])  # from the midline to the wing's edge, S4 to S1
S1 = LUMBOSACRAL


def sacral_top(spine: Spine) -> int:
    """Return the index of the highest vertebra that is fused with the sacrum."""
    return S1 - 1 if spine.transitional == LUMBARISED else S1


def paint_disc(canvas: Canvas, spine: Spine, index: int) -> None:
    """Paint outer and inner annulus and nucleus; the bodies, painted later, trim them."""
    disc = spine.discs[index]
    a, b, h = disc.width_mm / 2, disc.depth_mm / 2, disc.height_mm / 2 + 3.8
    slack = abs(disc.wedge) * b / 2
    reach = np.array([a + disc.bulge_mm, b + disc.bulge_mm + abs(disc.slip_mm) / 2, h + slack])
    box = canvas.box(disc.frame, -reach, reach)
    if box is None:
        return
    u, v, w = canvas.local(disc.frame, box)
    v = v + disc.slip_mm * (w / disc.height_mm).clamp(-0.5, 0.5)
    tall = 0.5 * disc.height_mm * (1 - disc.wedge * v / disc.height_mm).clamp(0.5, 1.5)
    bulge = disc.bulge_mm * (1 - (w / (tall + 1)) ** 2).clamp(min=0)
    outline = _outline(u / (a + bulge), _hollowed(u, v) / (b + bulge * (v < 0)))
    # Inside the rims a disc is taller, because the endplates are concave.
    there = (outline < 1) & (w.abs() < tall + 0.8 + 5 * (1 - outline).clamp(0, 0.6))
    if index < sacral_top(spine):  # the remnant of a disc within the sacrum
        canvas.paint(box, there, Tissue.MARROW)
        outline = outline / disc.extent**2
    canvas.paint(box, there & (outline < 1), Tissue.LIGAMENT)
    rim_mm = torch.where(v < 0, 3.0, 2.2)
    inner = outline < (1 - rim_mm / b) ** 2
    canvas.paint(box, there & inner, Tissue.ANNULUS)
    core = _outline(u / (0.8 * a), (v - 0.5) / (0.79 * b)) + (w / (tall + 2.6)) ** 4
    worn = 1 - disc.water
    core = core + 0.25 * worn * torch.sin(0.4 * u + index) * torch.cos(0.5 * v + 0.9 * w - index)
    nucleus = there & (core < 1 - 1.1 * _stagger(canvas, box))
    canvas.paint(box, nucleus, Tissue.NUCLEUS + index)
    cleft = nucleus & (w.abs() < 0.05 * tall) & (outline < 0.22 - 0.3 * _stagger(canvas, box))
    canvas.paint(box, cleft & (_stagger(canvas, box) < 0), Tissue.ANNULUS)
    if disc.vacuum:
        canvas.paint(box, nucleus & ((w - 0.03 * v).abs() < 0.8) & (outline < 0.5), Tissue.GAS)
    if disc.fissured:
        tear = (u / 5) ** 2 + ((v - b + 2.2) / 1.1) ** 2 + ((w - 0.5 + 0.2 * u) / 1.2) ** 2
        canvas.paint(box, tear < 0.8 - _stagger(canvas, box), Tissue.FLUID)


def paint_body(canvas: Canvas, vertebra: Vertebra) -> None:
    """Paint a vertebral body: waisted, with concave endplates, cortex, marrow and its findings."""
    a, b, h = vertebra.width_mm / 2, vertebra.depth_mm / 2, vertebra.height_mm / 2
    slack = abs(vertebra.wedge) * b / 2 + 1
    reach = np.array([a, b, 0]) * (1.06 + abs(vertebra.taper) / 2) + vertebra.lip_mm + 0.5 + [0, 0, h + slack]
    box = canvas.box(vertebra.frame, -reach, reach)
    if box is None:
        return
    u, v, w = canvas.local(vertebra.frame, box)
    t = (w / h).clamp(-1.2, 1.2)
    rim = t * t
    scale = 1 + 0.5 * vertebra.taper * t
    front = v < 0
    waist = torch.where(front, 0.12, 0.05) * (1 - rim)
    lip = (0.5 + vertebra.lip_mm) * rim**4
    half_u, half_v = a * scale * (1 - 0.1 * (1 - rim)) + lip, b * scale * (1 - waist) + lip * front
    outline = _outline(u / half_u, _hollowed(u, v) / half_v)
    radius = outline.clamp(max=1.4).sqrt()
    # The ring at the rim is flat; inside it the lower endplate is deepest towards the back.
    hollow = vertebra.sunken_mm * (1.15 - outline - torch.where(w < 0, 0.25, 0.0) * (v / b)).clamp(0, 1)
    worn = min(1.0, 0.3 * vertebra.lip_mm)  # endplates beside worn discs are flatter and uneven
    hollow = hollow * (1 - 0.35 * worn)
    turn = 3 * torch.sign(w) + a * 40
    uneven = torch.sin(0.31 * u + 0.17 * v + turn) * torch.cos(0.23 * v + turn)
    uneven = uneven + 0.4 * torch.sin(0.59 * v - 0.4 * u + turn)
    deep = h - 0.5 * vertebra.wedge * v - hollow - (0.15 + 0.6 * worn) * uneven - w.abs()
    inside_mm = torch.minimum((1 - radius) * b, deep)
    bone = inside_mm > CORTEX_MM
    canvas.paint(box, inside_mm > 0, Tissue.CORTEX)
    canvas.paint(box, bone, Tissue.MARROW)
    for change in vertebra.changes:
        _paint_change(canvas, box, change, (u, v, deep, w), inside_mm)
    vein = (v > 0.3 * b) & (u.abs() < 0.35 * (v - 0.1 * b)) & (inside_mm > 0)
    canvas.paint(box, vein & (w.abs() < 0.2 * (v - 0.2 * b)), Tissue.FATTY_MARROW)
    canvas.paint(box, vein & (w.abs() < 0.11 * (v - 0.2 * b)), Tissue.VEIN)


def _stagger(canvas: Canvas, box: Box) -> Tensor:
    """An offset per sample plane of a slice, about -.5 to .5, that makes edges fade across the slice."""
    planes = np.arange(box[0].start, box[0].stop) % canvas.samples
    return canvas.on_device((planes + 0.5) / canvas.samples - 0.5)[:, None, None]


def paint_metal(canvas: Canvas, spine: Spine) -> None:
    """Paint pedicle screws and the rods that join them."""
    for side in SIDES:
        heads = []
        for index in spine.pathology.metal:
            vertebra = spine.vertebrae[index]
            p, b, up = vertebra.pedicle_mm, vertebra.depth_mm / 2, 0.2 * vertebra.height_mm
            head, tip = (side * (p + 2), b + 27, up + 1), (side * 0.5 * p, -0.35 * b, up - 2)
            canvas.fill(canvas.rod(vertebra.frame, (head, tip), (3.2, 2.6)), Tissue.METAL)
            canvas.fill(canvas.rod(vertebra.frame, (head, head), (6.5, 6.5)), Tissue.METAL)
            heads.append(vertebra.frame.to_patient(*head))
        for ends in pairwise(heads):
            canvas.fill(canvas.rod(PATIENT, ends, (2.9, 2.9)), Tissue.METAL)


def _outline(u: Tensor, v: Tensor) -> Tensor:
    """Squared radius in a rounded square: 1 on the outline."""
    u, v = u * u, v * v
    return u + v - SQUARENESS * u * v


def _hollowed(u: Tensor, v: Tensor) -> Tensor:
    """Dorsal coordinate, adjusted for an outline with a concave back, like the front of the canal."""
    return torch.where(v > 0, v - (0.012 * u * u).clamp(max=1.8) * (v / 12).clamp(0, 1), v)


def outline_back_mm(u: Tensor, half_width_mm: float, half_depth_mm: float) -> Tensor:
    """Return how far back a disc reaches at lateral positions, in mm: where the hollowed `_outline` is 1."""
    x = (u / half_width_mm).square().clamp(max=0.95)
    return half_depth_mm * ((1 - x) / (1 - SQUARENESS * x)).sqrt() + (0.012 * u * u).clamp(max=1.8)


def _paint_change(
    canvas: Canvas, box: Box, change: Change, place: tuple[Tensor, Tensor, Tensor, Tensor], inside_mm: Tensor
) -> None:
    """Paint a tissue change beside an endplate; a Schmorl node breaks through it and has its own rim."""
    u, v, deep, w = place
    ways = [(at - middle) / half for at, middle, half in zip((u, v, deep), change.centre_mm, change.half_mm)]
    flat = 4 if change.kind.startswith("modic") else 2
    radius2 = (ways[0] ** flat + ways[1] ** flat + ways[2] ** 2).masked_fill(w * change.up <= 0, 9.0)
    if change.kind != "schmorl":
        canvas.paint(box, (radius2 < 1) & (inside_mm > CORTEX_MM), change.tissue)
        return
    canvas.paint(box, (radius2 < 1.6) & (inside_mm > CORTEX_MM), Tissue.CORTEX)
    canvas.paint(box, (radius2 < 1) & (inside_mm > -1), change.tissue)


def paint_sacral_wings(canvas: Canvas, spine: Spine) -> None:
    """Paint the sacral wings with fat in the sacral foramina, and the iliac bones beside them."""
    for disc in spine.discs[S1 - 3 : S1]:
        for side in SIDES:
            ends = ((side * 17.0, -4.0, 0.0), (side * 19.0, 12.0, 0.0))
            canvas.fill(canvas.rod(disc.frame, ends, (6.5, 6.5)), Tissue.FAT)
    canvas.bones(_wings(canvas, spine))
    for side in SIDES:
        canvas.bones([_ilium(canvas, spine, side)], cortex_mm=1.4)


def fuse_sacrum(canvas: Canvas, spine: Spine) -> None:
    """Join the marrow of the wings with that of the bodies, which are painted later."""
    for solid in _wings(canvas, spine):
        canvas.fill(solid, Tissue.MARROW, inset_mm=2.0)


def _wings(canvas: Canvas, spine: Spine) -> list[Solid | None]:
    """Build wings and pedicles of each sacral vertebra, and their lateral connections."""
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
    """Build an iliac wing: a curved plate from behind the sacrum to the flank, its crest at about L4/L5."""
    origin = spine.vertebrae[S1].frame.origin_mm
    frame = LocalFrame(origin, PATIENT.axes)
    crest = float((spine.discs[S1 + 1].frame.origin_mm - origin)[2]) + 2
    near, far = sorted((side * 30.0, side * 150.0))
    box = canvas.box(frame, (near, -75, -65), (far, 62, crest + 4))
    if box is None:
        return None
    u, v, w = canvas.local(frame, box)
    u = side * u
    sheet = 53 + 0.45 * (18 - v) + 0.008 * (-v - 5).clamp(min=0) ** 2 + 0.12 * w
    thick = 4.5 + 3.0 * ((v - 20) / 25).clamp(0, 1) + 1.5 * ((w - crest + 14) / 10).clamp(0, 1)
    plate = (u - sheet).abs() * 0.8 - thick
    top = w - crest + 0.008 * (v + 12) ** 2
    return box, torch.maximum(torch.maximum(plate, top), torch.maximum(v - 56, -58 - w))
