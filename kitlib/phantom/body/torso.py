"""The body around a spine: skin, fat with septa, the abdominal wall, and muscles and organs inside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from kitlib.phantom.body.abdomen import Abdomen, draw_abdomen, paint_bowel, paint_organs
from kitlib.phantom.body.arches import SPINOUS_MM
from kitlib.phantom.body.canal import Canal
from kitlib.phantom.body.grid import PATIENT, Canvas
from kitlib.phantom.body.muscles import GROOVE_MM, Places, paint_back, paint_beside
from kitlib.phantom.body.person import Person
from kitlib.phantom.body.spine import Spine, Vertebra
from kitlib.phantom.body.tissues import Texture, Tissue, draw_texture
from kitlib.phantom.body.vertebrae import LUMBOSACRAL, SIDES

MUSCLE_DEPTH_MM = 47.0  # from the canal to the lumbar fascia
BOWEL_MM = -28.0  # posterior limit of the bowel, from the canal
ILIUM_MM = 56.0  # extent of the iliac bones behind the middle of S1
SKIN_MM = 2.0
SEPTA_MM = (9.0, 4.0)  # spacing along the skin and in depth


@dataclass(frozen=True, eq=False)
class Torso:
    """A body around a spine; heights are patient z in mm, one table row per mm from `floor_mm`."""

    floor_mm: float
    spine_x_mm: np.ndarray
    spine_y_mm: np.ndarray  # of the canal
    fascia_y_mm: np.ndarray  # of the back, at its most posterior point
    skin_y_mm: np.ndarray
    half_width_mm: float
    belly_y_mm: float  # of the front skin
    belly_fat_mm: float
    person: Person
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
        person=person,
        texture=draw_texture(rng),
        abdomen=draw_abdomen(person, spine, rng),
        hips_mm=_hips(spine, person.size),
    )


def paint_torso(canvas: Canvas, torso: Torso) -> None:
    """Paint the body without its spine, in two versions with shifted edges for partial volume."""
    everywhere, below_back, below_front = _measured(canvas, torso)
    body = canvas.tissue.new_zeros((len(everywhere.apart), *below_back.shape))
    planes = [_plane(canvas, n, tissue) for n, tissue in enumerate(body)]
    within = partial(_within, body, everywhere)
    x, behind, below = everywhere.x, everywhere.behind, torch.minimum(below_back, below_front)
    wall = below_front - torso.belly_fat_mm
    body.masked_fill_(wall > 8, Tissue.FAT)
    with within((wall > 8) & (behind < BOWEL_MM)) as (tissue, places, _):
        paint_bowel(tissue, places, torso.texture)
    for plane in planes:
        paint_organs(plane, torso.abdomen)
    with within((wall > -1) & (wall < 20) & (behind < 0), wall) as (tissue, places, (deep,)):
        _paint_wall(tissue, places, deep / torso.person.muscle)
    with within((below > 0) & ((behind > 25) | (wall < 0)), below) as (tissue, places, (deep,)):
        _paint_fat(tissue, places, deep, torso.texture)
    for plane, ends in product(planes, torso.hips_mm):
        plane.fill(plane.rod(PATIENT, ends, (12, 12), (1, 1, 3)), Tissue.MUSCLE)
    with within(below < 6, below) as (tissue, places, (deep,)):
        _paint_skin(tissue, deep - places.apart)
    front_most = (0.4 * (everywhere.up + 40)).clamp_(max=0).sub_(55)  # of the psoas
    near = (behind > front_most) & (behind < 20)
    with within(near & (x > 14) & (below > 14)) as (tissue, places, _):
        paint_beside(tissue, places, torso.person, torso.texture)
    with within((behind > 2) & (behind < everywhere.depth + 2) & (x < 80)) as (tissue, places, _):
        paint_back(tissue, places, torso.person, torso.texture)
    for n, samples in enumerate(canvas.by_slice().unbind(1)):
        samples.copy_(body[n % len(planes)])


@contextmanager
def _within(
    body: Tensor, of: Places, where: Tensor, *more: Tensor
) -> Iterator[tuple[Tensor, Places, list[Tensor]]]:
    """Yield tissue (P, N), places and more values of selected points; then write the tissue to the body."""
    index = where.view(-1).nonzero().squeeze(1)
    every = (of.side, of.behind, of.up, of.depth, *more)
    side, behind, up, depth, *others = (torch.index_select(one.view(-1), 0, index) for one in every)
    tissue = torch.index_select(body.view(len(body), -1), 1, index)
    yield tissue, Places(side, behind, up, depth, of.apart), others
    body.view(len(body), -1).index_copy_(1, index, tissue)


def _measured(canvas: Canvas, torso: Torso) -> tuple[Places, Tensor, Tensor]:
    """Return all points of the slices' middle planes, and their depth below the skin of back and abdomen."""
    middles = canvas.middles()
    px_mm = float(np.linalg.norm(canvas.down_mm))
    apart = canvas.on_device([[-px_mm / 4], [px_mm / 4]] if canvas.samples > 1 else [[0.0]])
    x, y, z = middles.local(PATIENT, middles.everything)
    row = (z - torso.floor_mm).round_().clamp_(0, len(torso.spine_x_mm) - 1).int().view(-1)
    spine_x, spine_y, fascia, skin = (
        torch.index_select(canvas.on_device(table), 0, row).view(x.shape)
        for table in (torso.spine_x_mm, torso.spine_y_mm, torso.fascia_y_mm, torso.skin_y_mm)
    )
    side = x.sub_(spine_x)
    flank = (side / torso.half_width_mm).square_().pow_(3).mul_(80)
    front = (y - torso.belly_y_mm).mul_(0.9).sub_((z / 45).square_()).sub_(flank)
    back = skin.sub_(y).sub_(flank)
    return Places(side, y.sub_(spine_y), z, fascia.sub_(spine_y), apart), back, front


def _plane(canvas: Canvas, sample: int, tissue: Tensor) -> Canvas:
    """Return one sample plane of each slice as a canvas over the tissue (K, H, W)."""
    origins = canvas.origins_mm[sample :: canvas.samples]
    return Canvas(origins, canvas.down_mm, canvas.right_mm, tissue, 1)


def _paint_fat(tissue: Tensor, places: Places, below: Tensor, texture: Texture) -> None:
    """Paint subcutaneous fat with its septa: sheets along the skin, where the noise changes sign."""
    along, deep = places.up + 0.7 * places.side, below + 0.12 * places.up - 0.2 * places.side
    fine, _ = texture.at(SEPTA_MM, along, deep)
    tissue.fill_(Tissue.FAT)
    tissue.masked_fill_((fine + 0.1 * places.apart).abs() < 0.06, Tissue.MESENTERY)


def _paint_skin(tissue: Tensor, below: Tensor) -> None:
    """Paint skin on fat, and air outside, which trims whatever protrudes."""
    for under_mm, kind in ((5.0, Tissue.FAT), (SKIN_MM, Tissue.SKIN), (0.0, Tissue.AIR)):
        tissue.masked_fill_(below < under_mm, kind)


def _paint_wall(tissue: Tensor, places: Places, deep: Tensor) -> None:
    """Paint the abdominal muscles: rectus in front, the three lateral layers at the sides."""
    x, deep = places.x, deep - places.apart
    inner = 9 + (0.5 * (x - 48)).clamp_(0, 8)
    tissue.masked_fill_((deep > 0) & (deep < inner), Tissue.MUSCLE)
    tissue.masked_fill_((deep > 0) & ((deep < 1) | (x < 2) & (deep < 9)), Tissue.FASCIA)
    between = ((deep - 6.5).abs() < 0.6) | ((deep - 11.5).abs() < 0.6)
    tissue.masked_fill_(between & (x > 62), Tissue.MESENTERY)


def _spinous_tip(body: Vertebra, length_mm: float) -> np.ndarray:
    back = body.depth_mm / 2 + body.pars_gap_mm + 25 + length_mm * body.process
    return body.frame.to_patient(0, back, -0.4 * body.height_mm)


def _hips(spine: Spine, size: float) -> np.ndarray:
    """Ends (4, 2, 3) of iliacus anterior to each iliac wing, and of gluteus medius behind it."""
    iliacus, gluteus = ((51, -8, 0), (102, -68, 8)), ((64, 34, 0), (124, -50, 8))
    ends = np.concatenate([size * np.array([iliacus, gluteus]) * (side, 1, 1) for side in SIDES])
    return spine.vertebrae[LUMBOSACRAL].frame.origin_mm + ends


def _smooth(values: np.ndarray, sigma_mm: float) -> np.ndarray:
    return gaussian_filter1d(values, sigma_mm, mode="nearest")
