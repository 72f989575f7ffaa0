"""The body around a spine: skin, fat with its septa, the belly's wall, and within them muscles and organs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from kitlib.phantom.body.abdomen import Abdomen, draw_abdomen, paint_bowel, paint_organs, paint_vessels
from kitlib.phantom.body.arches import SPINOUS_MM
from kitlib.phantom.body.canal import Canal
from kitlib.phantom.body.grid import PATIENT, Canvas
from kitlib.phantom.body.muscles import GROOVE_MM, Build, Places, paint_back, paint_beside
from kitlib.phantom.body.person import Person
from kitlib.phantom.body.spine import Spine, Vertebra
from kitlib.phantom.body.texture import Texture, draw_texture
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.body.vertebrae import LUMBOSACRAL, SIDES

MUSCLE_DEPTH_MM = 47.0  # from the canal to the lumbar fascia
ILIUM_MM = 56.0  # how far the iliac bones reach behind the middle of S1
SKIN_MM = 2.0
SEPTA_MM = (9.0, 4.0)  # spacing along the skin and in depth


@dataclass(frozen=True, eq=False)
class Torso:
    """A body around a spine; heights are patient z in mm, one table row per mm from `floor_mm`."""

    floor_mm: float
    spine_x_mm: np.ndarray
    spine_y_mm: np.ndarray  # of the canal
    fascia_y_mm: np.ndarray  # of the back, where it is farthest back
    skin_y_mm: np.ndarray
    half_width_mm: float
    belly_y_mm: float  # of the front skin
    belly_fat_mm: float
    build: Build
    texture: Texture
    abdomen: Abdomen
    hips_mm: np.ndarray  # (4, 2, 3) ends of the muscles on the iliac bones


def draw_torso(person: Person, spine: Spine, canal: Canal, rng: np.random.Generator) -> Torso:
    """Draw the body around a spine."""
    z = np.arange(-220.0, 260.0)
    curve = canal.centres_mm
    x, y = np.interp(z, curve[:, 2], curve[:, 0]), np.interp(z, curve[:, 2], curve[:, 1])
    thinner = np.interp(z, curve[[0, canal.rows[-1]], 2], (0.35, 1.0))  # over the sacrum
    deep = MUSCLE_DEPTH_MM * person.size * (0.75 + 0.25 * person.muscle)
    tips = np.array([_spinous_tip(body, length) for body, length in zip(spine.vertebrae, SPINOUS_MM)])
    behind_tips = np.interp(z, tips[:, 2], tips[:, 1]) + GROOVE_MM + 1
    fascia = _smooth(np.maximum(_smooth(y, 28) + deep * thinner, behind_tips), 12)
    sacrum = spine.vertebrae[LUMBOSACRAL].frame.origin_mm
    crests = np.where(np.abs(z - sacrum[2]) < 60, sacrum[1] + ILIUM_MM * person.size, fascia)
    outer = np.maximum(np.maximum(_smooth(fascia, 45), fascia), crests)
    belly = float(np.interp(0, z, y) - person.size * rng.normal(138, 12) - person.fat_mm)
    return Torso(
        floor_mm=z[0],
        spine_x_mm=_smooth(x, 15),
        spine_y_mm=_smooth(y, 6),
        fascia_y_mm=fascia,
        skin_y_mm=_smooth(outer, 15) + 3 + person.fat_mm,
        half_width_mm=person.size * rng.normal(165, 10) + person.fat_mm,
        belly_y_mm=belly,
        belly_fat_mm=6 + person.fat_mm * rng.uniform(0.6, 1.6),
        build=Build(person.size, person.muscle, person.fatty),
        texture=draw_texture(rng),
        abdomen=draw_abdomen(person, spine, rng),
        hips_mm=_hips(spine, person.size),
    )


def paint_torso(canvas: Canvas, torso: Torso) -> None:
    """Paint the body without its spine, once for each slice: none of it needs partial volume."""
    middles = canvas.middles()
    middles = replace(middles, tissue=middles.tissue.contiguous())
    body = _measured(middles, torso)
    side, behind = body.places.side.abs(), body.places.behind
    below = torch.minimum(body.below_back, body.below_front)
    wall = body.below_front - torso.belly_fat_mm
    with body.within((wall > 8) & (behind < 5) & (below > SKIN_MM)) as some:
        paint_bowel(some.tissue, some.places, torso.texture)
    middles.paint(middles.everything, (wall > 8) & (behind >= 5), Tissue.FAT)
    paint_organs(middles, torso.abdomen)
    with body.within((wall > 0) & (wall < 20) & (behind < 0) & (below > SKIN_MM)) as some:
        _paint_wall(some, torso)
    with body.within((below > SKIN_MM) & ((behind > 25) | (wall < 0))) as some:
        _paint_fat(some, torso)
    for ends in torso.hips_mm:
        middles.fill(middles.rod(PATIENT, ends, (12, 12), (1, 1, 3)), Tissue.MUSCLE)
    for under_mm, tissue in ((5.0, Tissue.FAT), (SKIN_MM, Tissue.SKIN), (0.0, Tissue.AIR)):
        middles.paint(middles.everything, below < under_mm, tissue)  # trims what stands out
    front_most = (0.4 * (body.places.up + 40)).clamp_(max=0).sub_(55)  # of the psoas
    with body.within((behind > front_most) & (behind < 20) & (side > 14) & (below > 14)) as some:
        paint_beside(some.tissue, some.places, torso.build, torso.texture)
    with body.within((behind > 2) & (behind < body.places.depth + 2) & (side < 80)) as some:
        paint_back(some.tissue, some.places, torso.build, torso.texture)
    canvas.by_slice()[:] = middles.tissue[:, None]


def paint_abdomen(canvas: Canvas, torso: Torso) -> None:
    """Paint the vessels, with partial volume; the organs are painted with the torso."""
    paint_vessels(canvas, torso.abdomen)


@dataclass(frozen=True, eq=False)
class Points:
    """Points of the body with what lies there, and how far below the skin of back and belly they are."""

    tissue: Tensor
    places: Places
    below_back: Tensor
    below_front: Tensor

    @contextmanager
    def within(self, where: Tensor) -> Iterator["Points"]:
        """Those points (N,) alone; what is painted on them is written back."""
        index = where.view(-1).nonzero().squeeze(1)
        of = self.places
        every = (self.tissue, of.side, of.behind, of.up, of.depth, self.below_back, self.below_front)
        tissue, *places, back, front = (torch.index_select(one.view(-1), 0, index) for one in every)
        yield Points(tissue, Places(*places), back, front)
        self.tissue.view(-1).index_copy_(0, index, tissue)


def _measured(canvas: Canvas, torso: Torso) -> Points:
    """All points of a canvas, measured from the torso's spine, fascia and skin."""
    x, y, z = canvas.local(PATIENT, canvas.everything)
    row = (z - torso.floor_mm).round_().clamp_(0, len(torso.spine_x_mm) - 1).int().view(-1)
    spine_x, spine_y, fascia, skin = (
        torch.index_select(canvas.on_device(table), 0, row).view(x.shape)
        for table in (torso.spine_x_mm, torso.spine_y_mm, torso.fascia_y_mm, torso.skin_y_mm)
    )
    side = x - spine_x
    flank = (side / torso.half_width_mm).square_().pow_(3).mul_(80)
    front = 0.9 * (y - torso.belly_y_mm) - (z / 45) ** 2 - flank
    return Points(canvas.tissue, Places(side, y - spine_y, z, fascia - spine_y), skin - y - flank, front)


def _paint_fat(points: Points, torso: Torso) -> None:
    """Subcutaneous fat with its septa: sheets where the noise changes its sign and lie along the skin."""
    places, below = points.places, torch.minimum(points.below_back, points.below_front)
    along, deep = places.up + 0.7 * places.side, below + 0.12 * places.up - 0.2 * places.side
    fine, _ = torso.texture.across(SEPTA_MM, along, deep)
    points.tissue.fill_(Tissue.FAT)
    points.tissue[fine.abs() < 0.06] = Tissue.MESENTERY


def _paint_wall(points: Points, torso: Torso) -> None:
    """The belly's muscles: rectus before, the three obliques beside."""
    x, deep = points.places.x, (points.below_front - torso.belly_fat_mm) / torso.build.muscle
    rectus = x < 55
    points.tissue[(deep < 9) | (deep < 17) & ~rectus] = Tissue.MUSCLE
    points.tissue[(deep < 1) | (x < 2) & (deep < 9)] = Tissue.FASCIA
    between = ((deep - 6.5).abs() < 0.6) | ((deep - 11.5).abs() < 0.6)
    points.tissue[between & ~rectus] = Tissue.FAT


def _spinous_tip(body: Vertebra, length_mm: float) -> np.ndarray:
    back = body.depth_mm / 2 + body.pars_gap_mm + 25 + length_mm * body.process
    return body.frame.to_patient(0, back, -0.4 * body.height_mm)


def _hips(spine: Spine, size: float) -> np.ndarray:
    """Ends (4, 2, 3) of iliacus before each iliac wing, and of gluteus medius behind it."""
    iliacus, gluteus = ((51, -8, 0), (102, -68, 8)), ((64, 34, 0), (124, -50, 8))
    ends = size * np.array([iliacus, gluteus])
    return spine.vertebrae[LUMBOSACRAL].frame.origin_mm + np.concatenate(
        [ends * (side, 1, 1) for side in SIDES]
    )


def _smooth(values: np.ndarray, sigma_mm: float) -> np.ndarray:
    return gaussian_filter1d(values, sigma_mm, mode="nearest")
