"""What surrounds the spine: skin, fat, muscles, vessels, abdomen."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from kitlib.phantom.canal import Canal
from kitlib.phantom.grid import PATIENT, Canvas
from kitlib.phantom.spine import LUMBOSACRAL, SIDES, Spine, Vertebra
from kitlib.phantom.tissues import Tissue

Blob = tuple[np.ndarray, np.ndarray, Tissue]
"""Centre (3,) and half axes (3,) of an ellipsoid."""
Vessel = tuple[np.ndarray, float, Tissue]
"""Polyline (n, 3) and radius."""

MUSCLE_DEPTH_MM = 45.0  # from the canal to the lumbar fascia


@dataclass(frozen=True, eq=False)
class Torso:
    """A body around a spine; heights are patient z in mm, one table row per mm from `floor_mm`."""

    floor_mm: float
    spine_x_mm: np.ndarray
    spine_y_mm: np.ndarray  # of the canal
    fascia_y_mm: np.ndarray
    skin_y_mm: np.ndarray
    half_width_mm: float
    belly_y_mm: float  # of the front skin
    belly_fat_mm: float
    muscle: float  # size of the back and psoas muscles, 1 is typical
    blobs: tuple[Blob, ...]  # bowel and organs
    vessels: tuple[Vessel, ...]


def draw_torso(spine: Spine, canal: Canal, rng: np.random.Generator) -> Torso:
    """Draw the body around a spine."""
    z = np.arange(-220.0, 260.0)
    curve = canal.centres_mm
    x, y = np.interp(z, curve[:, 2], curve[:, 0]), np.interp(z, curve[:, 2], curve[:, 1])
    muscle, fat = rng.normal(1, 0.1), rng.gamma(4, 2.2)
    thinner = np.interp(z, curve[[0, canal.rows[-1]], 2], (0.35, 1.0))  # over the sacrum
    fascia = _smooth(_smooth(y, 28) + MUSCLE_DEPTH_MM * (0.75 + 0.25 * muscle) * thinner, 12)
    belly = float(np.interp(0, z, y) - rng.normal(138, 12) - fat)
    return Torso(
        floor_mm=z[0],
        spine_x_mm=_smooth(x, 15),
        spine_y_mm=_smooth(y, 6),
        fascia_y_mm=fascia,
        skin_y_mm=_smooth(np.maximum(_smooth(fascia, 45), fascia), 15) + 6 + fat,
        half_width_mm=rng.normal(165, 10) + fat,
        belly_y_mm=belly,
        belly_fat_mm=6 + fat * rng.uniform(0.6, 1.6),
        muscle=muscle,
        blobs=(*_draw_bowel(belly, rng), *_draw_organs(rng)),
        vessels=_draw_vessels(spine, rng),
    )


def paint_torso(canvas: Canvas, torso: Torso) -> None:
    """Paint the body without its spine, once for each slice: none of it needs partial volume."""
    middles = canvas.middles()
    x, y, z = middles.local(PATIENT, middles.everything)
    row = (z - torso.floor_mm).round_().long().clamp_(0, len(torso.spine_x_mm) - 1)
    spine_x, spine_y, fascia, skin = (
        torch.as_tensor(table, dtype=torch.float32)[row]
        for table in (torso.spine_x_mm, torso.spine_y_mm, torso.fascia_y_mm, torso.skin_y_mm)
    )
    x, behind = (x - spine_x).abs_(), y - spine_y
    front_mm = 0.9 * (y - torso.belly_y_mm) - (z / 45) ** 2
    _paint_wall(middles, torso, x, behind, torch.where(behind > 0, skin - y, front_mm), fascia - y)
    _paint_back(middles, torso, x, behind, fascia - spine_y, z)
    _paint_psoas(middles, torso, x, behind, z)
    canvas.by_slice()[:] = middles.tissue[:, None]


def paint_abdomen(canvas: Canvas, torso: Torso) -> None:
    """Paint bowel, organs and the great vessels."""
    for centre, half, tissue in torso.blobs:
        largest = float(half.max())
        canvas.fill(canvas.rod(PATIENT, (centre, centre), (largest, largest), half / largest), tissue)
    for line, radius, tissue in torso.vessels:
        for start, stop in pairwise(line):
            canvas.fill(canvas.rod(PATIENT, (start, stop), (radius, radius)), tissue)


def _paint_wall(
    canvas: Canvas, torso: Torso, x: Tensor, behind: Tensor, depth: Tensor, to_fascia: Tensor
) -> None:
    """Skin, subcutaneous fat, the abdominal wall and what fills the abdomen; `depth` is below the skin."""
    flank = (x / torso.half_width_mm) ** 4
    depth = depth - 60 * flank
    canvas.paint(canvas.everything, depth > 0, Tissue.SKIN)
    canvas.paint(canvas.everything, depth > 2, Tissue.FAT)
    inner = torch.where(behind > 0, to_fascia, depth - torso.belly_fat_mm) - 15 * flank
    canvas.paint(canvas.everything, (inner > 0) & (behind < 0), Tissue.MUSCLE)
    canvas.paint(canvas.everything, (inner > 11) & (behind < 17 - 0.12 * x), Tissue.MESENTERY)


def _paint_back(canvas: Canvas, torso: Torso, x: Tensor, behind: Tensor, depth: Tensor, z: Tensor) -> None:
    """Erector spinae and multifidus, the fat between them, and what lies between the spinous processes."""
    box = canvas.everything
    lobe = ((x - 34) / (32 * torso.muscle)) ** 2 + ((behind - 0.52 * depth) / (0.47 * depth)) ** 2
    canvas.paint(box, (lobe < 1.07) & (x > 1.2), Tissue.FASCIA)
    canvas.paint(box, lobe < 1, Tissue.MUSCLE)
    canvas.paint(box, (x < 22) & (behind > 6) & (behind < 0.93 * depth), Tissue.MUSCLE)
    midline = (x < 2.2) & (behind > 10) & (behind < depth)
    canvas.paint(box, midline, Tissue.FASCIA)
    canvas.paint(box, midline & (behind < 0.94 * depth), Tissue.MESENTERY)
    seam = (x - 13 - 0.006 * (behind - 8) ** 2).abs() < 0.8
    canvas.paint(box, seam & (behind > 14) & (behind < 0.9 * depth) & (z > -140), Tissue.FAT)


def _paint_psoas(canvas: Canvas, torso: Torso, x: Tensor, behind: Tensor, z: Tensor) -> None:
    """Quadratus, and the psoas, which swells from T12 to the pelvis and moves forward and apart there."""
    box = canvas.everything
    low = (z + 60).div_(-80).clamp_(0, 1)
    grown = ((110 - z) / 130).clamp_(0, 1)
    quadratus = ((x - 66) / 17) ** 2 + ((behind + 2) / 9) ** 2
    canvas.paint(box, (quadratus < 1) & (low < 0.8), Tissue.MUSCLE)
    size = grown * torso.muscle
    lateral = (x - 33 - 14 * low) / (3 + 15 * size)
    forward = (behind + 21 + 22 * low) / (5 + 19 * size)
    canvas.paint(box, (lateral**2 + forward**2 < 1) & (grown > 0), Tissue.MUSCLE)


def _smooth(values: np.ndarray, sigma_mm: float) -> np.ndarray:
    return gaussian_filter1d(values, sigma_mm, mode="nearest")


def _draw_bowel(belly_y_mm: float, rng: np.random.Generator) -> list[Blob]:
    """Loops of bowel with fluid, food and gas."""
    kinds = (Tissue.BOWEL, Tissue.ORGAN, Tissue.GAS, Tissue.VEIN)
    blobs: list[Blob] = []
    for _ in range(46):
        front, back = belly_y_mm + 46, -52
        centre = np.array([rng.normal(0, 55), front + rng.random() * (back - front), rng.uniform(-150, 150)])
        half = rng.uniform(6, 19) * rng.uniform(0.6, 1.5, 3)
        blobs.append((centre, half, kinds[rng.choice(len(kinds), p=[0.6, 0.2, 0.08, 0.12])]))
    return blobs


def _draw_organs(rng: np.random.Generator) -> list[Blob]:
    """Both kidneys, and the liver's lower edge."""
    blobs: list[Blob] = [
        (rng.normal([-95, -60, 110], 8), np.array([60.0, 60, 70]), Tissue.ORGAN),
    ]
    for side in SIDES:
        kidney = np.array([side * rng.normal(60, 4), rng.normal(-18, 4), rng.normal(62, 10) + 6 * side])
        blobs.append((kidney, np.array([26.0, 24, 52]) * rng.normal(1, 0.06, 3), Tissue.ORGAN))
        blobs.append((kidney - [side * 9, 3, 0], np.array([10.0, 10, 24]), Tissue.FAT))
    return blobs


def _draw_vessels(spine: Spine, rng: np.random.Generator) -> tuple[Vessel, ...]:
    """Aorta and caval vein before the bodies, parting at L4 into the iliac vessels."""
    parting = LUMBOSACRAL + 2
    vessels = []
    for side, radius, tissue in (
        (1, rng.normal(8.5, 0.8), Tissue.ARTERY),
        (-1, rng.normal(9.5, 1.0), Tissue.VEIN),
    ):
        trunk = [_before(body, side * 13, radius + 3) for body in spine.vertebrae[parting:]]
        vessels.append((np.array(trunk), radius, tissue))
        for way in SIDES:
            below = spine.vertebrae[parting - 1 : parting - 4 : -1]
            branch = [
                _before(body, side * 6 + way * 15 * n, 9 + 4 * n) for n, body in enumerate(below, start=1)
            ]
            vessels.append((np.array([trunk[0], *branch]), radius * 0.62, tissue))
    return tuple(vessels)


def _before(body: Vertebra, lateral_mm: float, before_mm: float) -> np.ndarray:
    """Patient position (3,) in front of a vertebral body."""
    return body.frame.to_patient(lateral_mm, -body.depth_mm / 2 - before_mm, 0)
