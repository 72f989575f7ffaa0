"""Structures anterior to the spine: organs, bowel, great vessels, at typical positions and sizes, by eye."""

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from torch import Tensor

from kitlib.phantom.body.grid import PATIENT, Canvas
from kitlib.phantom.body.muscles import Places
from kitlib.phantom.body.person import Person
from kitlib.phantom.body.spine import Spine, Vertebra
from kitlib.phantom.body.tissues import Texture, Tissue
from kitlib.phantom.body.vertebrae import LUMBOSACRAL, SIDES

Blob = tuple[np.ndarray, np.ndarray, Tissue]
"""Centre (3,) and half axes (3,) of an ellipsoid."""
RETROPERITONEUM_MM = 58.0  # from the canal's middle to the peritoneum
LOOP_MM = (4.6, 4.6)  # scale of small bowel
BLUR = 0.22  # of bowel borders, which move: about 1.5 mm


@dataclass(frozen=True, eq=False)
class Vessel:
    """A polyline (n, 3) with a round or flat cross-section."""

    line_mm: np.ndarray
    radius_mm: float
    tissue: Tissue
    flat: float = 1.0  # flattening, width relative to depth


@dataclass(frozen=True, eq=False)
class Abdomen:
    """Organs, painted in list order, and vessels, painted after them."""

    blobs: list[Blob]
    vessels: list[Vessel]


def draw_abdomen(person: Person, spine: Spine, rng: np.random.Generator) -> Abdomen:
    """Draw organs and vessels anterior to a spine."""
    blobs = _organs(person, rng) + _kidneys(person, rng) + _pelvis(person, spine, rng)
    vessels = _muscular(spine) + _great_vessels(spine, rng) + _segmental(spine) + _small_vessels(spine)
    return Abdomen(blobs, vessels)


def paint_bowel(tissue: Tensor, places: Places, texture: Texture) -> None:
    """Paint loops of bowel with their contents on the fat (P, N) of the abdominal cavity."""
    side, behind, up = places.side, places.behind, places.up
    # Two 2D textures extended along different oblique axes make round loops in every scan plane.
    one, patches = texture.at(LOOP_MM, 0.8 * side - 0.6 * behind, 0.5 * (side + behind) + 0.7 * up)
    two, others = texture.at(LOOP_MM, 0.8 * up + 0.6 * side + 91, 0.9 * behind - 0.3 * up + 0.3 * side)
    # At the peritoneum loops close instead of being cut off.
    loops = 0.75 * (one + two) - 0.15 - ((behind + RETROPERITONEUM_MM) / 10 + 0.5 * patches).clamp_(0, 5)
    loops, contents = loops + BLUR * places.apart.sign(), 0.7 * (patches + others)
    tissue.masked_fill_(loops > -0.3, Tissue.MESENTERY)
    tissue.masked_fill_(loops > 0, Tissue.BOWEL)
    tissue.masked_fill_((loops > 0) & (contents > 0.3), Tissue.ORGAN)
    tissue.masked_fill_((loops > 0.6) & (contents > 1.5), Tissue.GAS)
    tissue.masked_fill_((loops > 0.6) & (contents < -1.5), Tissue.FLUID)


def paint_organs(canvas: Canvas, abdomen: Abdomen) -> None:
    """Paint the organs."""
    for centre, half, tissue in abdomen.blobs:
        box = canvas.box(PATIENT, centre - half, centre + half)
        if box is not None:
            u, v, w = canvas.along(centre, np.diag(1 / half), box)
            canvas.paint(box, u.square_().add_(v.square_()).add_(w.square_()) < 1, tissue)


def paint_vessels(canvas: Canvas, abdomen: Abdomen) -> None:
    """Paint the crura and the vessels, with partial volume."""
    for one in abdomen.vessels:
        for ends in pairwise(one.line_mm):
            radii = one.radius_mm, one.radius_mm
            canvas.fill(canvas.rod(PATIENT, ends, radii, (one.flat, 1 / one.flat, 1)), one.tissue)


def _organs(person: Person, rng: np.random.Generator) -> list[Blob]:
    """Draw liver, spleen, stomach, duodenum and pancreas at the top, and both colons at the sides."""
    places: list[tuple[tuple, tuple, Tissue]] = [
        ((-92, -75, 112), (62, 62, 72), Tissue.LIVER),
        ((-18, -112, 128), (60, 30, 46), Tissue.LIVER),
        ((98, -30, 118), (34, 38, 44), Tissue.ORGAN),
        ((42, -105, 100), (44, 26, 36), Tissue.BOWEL),
        ((44, -108, 102), (38, 20, 29), Tissue.ORGAN),
        ((6, -72, 62), (48, 10, 15), Tissue.ORGAN),
        ((0, -68, 12), (44, 8, 10), Tissue.BOWEL),
    ]
    for side in SIDES:
        colon = side * 98, -48 - 12 * (side < 0), -5
        places += [(colon, (21, 22, 78), Tissue.BOWEL), (colon, (17, 18, 72), Tissue.ORGAN)]
        places += [((side * 98, -56, 8), (13, 10, 32), Tissue.GAS)]
    size = person.size
    return [
        (rng.normal(size * np.array(centre), 5), size * np.array(half) * rng.normal(1, 0.06), tissue)
        for centre, half, tissue in places
    ]


def _kidneys(person: Person, rng: np.random.Generator) -> list[Blob]:
    """Draw both kidneys beside L1 to L3, the left a little higher, with fat around and in the sinus."""
    blobs: list[Blob] = []
    for side in SIDES:
        centre = np.array([side * rng.normal(64, 3), rng.normal(-26, 3), rng.normal(40, 9) + 7 * side])
        half = np.array([26.0, 23, 54]) * rng.normal(1, 0.06, 3)
        centre, half = person.size * centre, person.size * half
        sinus = centre - person.size * np.array([side * 14, 4, 0])
        blobs += [(centre, half + 5, Tissue.FAT), (centre, half, Tissue.KIDNEY)]
        blobs += [(sinus, half * [0.5, 0.4, 0.5], Tissue.FAT)]
    return blobs


def _pelvis(person: Person, spine: Spine, rng: np.random.Generator) -> list[Blob]:
    """Draw the rectum anterior to the sacrum, with fat between, the bladder and, in women, the uterus."""
    below, lowest = (spine.vertebrae[LUMBOSACRAL - n] for n in (2, 3))
    rectum = [_before(below, rng.normal(0, 5), 34), _before(lowest, rng.normal(0, 4), 30)]
    half = person.size * np.array([18.0, 15, 24]) * rng.normal(1, 0.1, 3)
    bladder = rectum[1] + person.size * np.array([0, -88, rng.normal(-12, 8)])
    full = person.size * np.array([38.0, 30, 30]) * rng.uniform(0.6, 1.15)
    blobs: list[Blob] = [(bladder, full + 4, Tissue.MUSCLE), (bladder, full, Tissue.FLUID)]
    if person.female:
        uterus = (rectum[0] + bladder) / 2 + [rng.normal(0, 6), 0, full[2] * 0.6 + 12]
        size = person.size * np.array([26.0, 34, 22]) * rng.normal(1, 0.1)
        blobs += [(uterus, size, Tissue.ORGAN), (uterus, size * [0.3, 0.6, 0.18], Tissue.FLUID)]
    contents = (Tissue.ORGAN, Tissue.GAS)[int(rng.random() < 0.3)]
    for centre in rectum:
        blobs += [(centre, half, Tissue.BOWEL), (centre, half - 4, contents)]
    return blobs


def _great_vessels(spine: Spine, rng: np.random.Generator) -> list[Vessel]:
    """Draw aorta (left) and flat vena cava (right), both dividing at L4, and mesenteric vessels."""
    parting = LUMBOSACRAL + 2
    below = spine.vertebrae[parting - 1 : parting - 4 : -1]
    upper = spine.vertebrae[parting + 3 : parting - 1 : -1]
    vessels = []
    for side, radius, tissue, flat in (
        (-1, rng.normal(9.5, 1.0), Tissue.VEIN, 1.3),
        (1, rng.normal(8.5, 0.8), Tissue.ARTERY, 1.0),
    ):
        trunk = [_before(body, side * 14, radius + 1.5) for body in spine.vertebrae[parting:]]
        fork = _before(spine.vertebrae[parting], side * 9, radius + 0.5, -12)
        vessels.append(Vessel(np.array([fork, *trunk]), radius, tissue, flat))
        places = (15, 7 + 4 * (side > 0)), (37, 16 + 7 * (side > 0)), (54, 20)
        for way in SIDES:
            branch = [_before(body, u * way + 4 * side, before) for body, (u, before) in zip(below, places)]
            vessels.append(Vessel(np.array([fork, *branch]), radius * 0.62, tissue))
        mesenteric = [_before(body, 5 * side, before) for body, before in zip(upper, (10, 26, 36, 40))]
        vessels.append(Vessel(np.array(mesenteric), 2.9 - 0.3 * side, tissue))
    return vessels


def _segmental(spine: Spine) -> list[Vessel]:
    """Lumbar arteries around the waist of each body."""
    around = (0.35, -0.98), (0.85, -0.7), (1.02, 0), (0.86, 0.8)
    vessels = []
    for body, side in product(spine.vertebrae[LUMBOSACRAL + 1 :], SIDES):
        a, b = 0.46 * body.width_mm + 1.6, 0.46 * body.depth_mm + 1.6
        line = np.array([body.frame.to_patient(side * a * u, b * v, 0.5) for u, v in around])
        vessels.append(Vessel(line, 1.25, Tissue.ARTERY))
    return vessels


def _small_vessels(spine: Spine) -> list[Vessel]:
    """Renal vessels at L2, and gonadal vessels with the ureter on each psoas."""
    ways = (
        (((-14, 12), (12, 23), (44, 2)), 3.2, Tissue.VEIN),
        (((14, 10), (30, 0), (46, -8)), 2.3, Tissue.ARTERY),
        (((14, 8), (-12, 1), (-30, 0), (-46, -8)), 2.3, Tissue.ARTERY),
    )
    renal = spine.vertebrae[LUMBOSACRAL + 4]
    vessels = [
        Vessel(np.array([_before(renal, *place) for place in way]), radius, tissue)
        for way, radius, tissue in ways
    ]
    bodies = spine.vertebrae[LUMBOSACRAL + 4 : LUMBOSACRAL - 1 : -1]
    for side in SIDES:
        for lateral, before, tissue in ((30, 2, Tissue.VEIN), (35, 6, Tissue.ORGAN)):
            way = [_before(body, side * (lateral + 3 * n), before + 4 * n) for n, body in enumerate(bodies)]
            vessels.append(Vessel(np.array(way), 1.8, tissue))
    return vessels


def _muscular(spine: Spine) -> list[Vessel]:
    """The crura of the diaphragm, anterior to the bodies down to L2 and L3: painted like vessels."""
    crura = []
    for side in SIDES:
        bodies = spine.vertebrae[LUMBOSACRAL + 4 - (side < 0) :]
        line = np.array([_before(body, 11 * side, 2.5) for body in bodies])
        crura.append(Vessel(line, 3.6, Tissue.MUSCLE, 1.5))
    return crura


def _before(body: Vertebra, lateral_mm: float, before_mm: float, up_mm: float = 0) -> np.ndarray:
    """Patient position (3,) in front of a vertebral body."""
    return body.frame.to_patient(lateral_mm, -body.depth_mm / 2 - before_mm, up_mm)
