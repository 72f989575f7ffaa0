"""The muscles beside and behind the spine, their fasciae, and the fat between and within them.

Positions are given by the distance `x` from the spine's curve, the distance `behind` the canal's middle, and
the height `up` above the middle of L3, in mm; sizes and courses are chosen by eye from axial T2 images.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kitlib.phantom.body.person import Person
from kitlib.phantom.body.tissues import Texture, Tissue

FIBRES_MM = (16.0, 2.0, 2.0)  # grain of fat along the fibres and across them
SLANT = 0.2  # downwards, fibres of the back run towards the back
LAMINA_MM = 14.0  # behind the canal's middle
SOFT = 0.35  # difference of the fat measure between the painted versions, for soft edges
GROOVE_MM = 4.5  # of the back's fascia, in the midline
# By height above the middle of L3: half width of the back muscles, lateral end of multifidus under the
# fascia, and tendency of fat to replace muscle (more at low levels: Kjaer, BMC Med 2007).
HEIGHTS_MM = np.array([-170, -135, -105, -72, -37, 0, 36, 70, 130])
REACH_MM = np.array([24, 36, 48, 60, 68, 71, 70, 66, 56])
SEAM_MM = np.array([24, 36, 40, 33, 24, 16, 12, 10, 9])
INFILTRATED = np.array([2.0, 1.9, 1.7, 1.4, 1.1, 0.8, 0.6, 0.45, 0.35])
# The psoas: half width and depth, and its centre lateral and anterior to the canal's middle.
PSOAS_WIDE_MM = np.array([12, 14, 16, 18, 17.5, 14, 9.5, 5, 0.1])
PSOAS_DEEP_MM = np.array([15, 17, 19, 21, 21, 17.5, 13, 7, 0.1])
PSOAS_LATERAL_MM = np.array([62, 57, 51, 44, 38.5, 34, 29.5, 26, 24])
PSOAS_FORWARD_MM = np.array([78, 64, 50, 32, 25, 22, 19, 17, 15])
AROUND_BODY_MM = (24.0, 20.0)  # half width and depth of the fat around the waist of vertebral bodies
BODY_FORWARD_MM = 26.0


@dataclass(frozen=True, eq=False)
class Places:
    """Points (N,) of the body in the coordinates of this module and `abdomen`."""

    side: Tensor  # signed distance from the spine's curve, positive to the left
    behind: Tensor
    up: Tensor
    depth: Tensor  # of the back's fascia behind the canal's middle, at the height of each point
    apart: Tensor  # (P, 1): P versions are painted with edges this far inwards, for partial volume

    @property
    def x(self) -> Tensor:
        """Distance from the spine's curve."""
        return self.side.abs()


def at_height(up: Tensor, person: Person, *columns: np.ndarray) -> list[Tensor]:
    """Interpolate columns, given at HEIGHTS_MM for a person of typical size, at the height of each point."""
    steps = np.arange(HEIGHTS_MM[0], HEIGHTS_MM[-1] + 1)
    row = (up / person.size - float(steps[0])).clamp_(0, len(steps) - 1).int()
    values = [np.interp(steps, HEIGHTS_MM, column).astype(np.float32) for column in columns]
    return [torch.index_select(torch.from_numpy(value).to(up.device), 0, row) for value in values]


def paint_back(tissue: Tensor, places: Places, person: Person, texture: Texture) -> None:
    """Paint multifidus, erector spinae and the space between the spinous processes on the tissue (P, N)."""
    x, behind, depth = places.x, places.behind, places.depth
    size_mm = person.size * np.array([REACH_MM, SEAM_MM])
    reach, seam, level = at_height(places.up, person, *size_mm, INFILTRATED)
    fine, patches = _fibrous(places, texture)
    ragged = 0.2 * fine + patches  # more would show as jagged edges where a seam crosses sagittal slices
    reach = reach * person.muscle**0.5 + 1.2 * ragged
    edge = _lobe(x, behind, depth - GROOVE_MM * (1 - x / 14).clamp_(min=0) + 0.8 * patches, reach)
    edge = edge - places.apart
    tissue.masked_fill_((edge > -0.3) & (edge < 0.5) & (behind > 0.5 * depth), Tissue.FASCIA)
    inside = edge > 0.5
    cleft = _clefts(x, behind, depth, seam, ragged, person.fatty)
    spread = _infiltrated(x, behind, level * person.fatty, fine, patches)
    fat = torch.maximum(cleft, spread) + SOFT * places.apart.sign()
    _paint_mixed(tissue, inside, fat)
    _paint_midline(tissue, places, fine)


def _fibrous(places: Places, texture: Texture) -> tuple[Tensor, Tensor]:
    """Noise elongated along the fibres; its lattice is rotated against the pixels, or it would show."""
    v, w = places.behind + SLANT * places.up, places.side
    return texture.at(FIBRES_MM, places.up, 0.8 * v + 0.6 * w, 0.8 * w - 0.6 * v)


def _paint_mixed(tissue: Tensor, inside: Tensor, fat: Tensor) -> None:
    """Paint muscle, and fat where the measure is positive, mixed near the edge."""
    tissue.masked_fill_(inside, Tissue.MUSCLE)
    tissue.masked_fill_(inside & (fat > 0), Tissue.MESENTERY)
    tissue.masked_fill_(inside & (fat > 0.4), Tissue.FAT)


def _lobe(x: Tensor, behind: Tensor, depth: Tensor, reach: Tensor) -> Tensor:
    """Depth of a point inside the common outline of the back muscles, in mm."""
    flat = 0.42 * reach
    wide = ((x - flat).clamp_(min=0) / (reach - flat)) ** 2
    half = (depth - 2) / 2
    tall = ((behind - 2 - half) / half) ** 2
    return (1 - (wide + tall).sqrt_()) * half


def _clefts(x: Tensor, behind: Tensor, depth: Tensor, seam: Tensor, ragged: Tensor, fatty: float) -> Tensor:
    """Depth of a point, in mm, inside the fat on laminae and facets, beside the spinous processes or between
    the muscle columns."""
    way = (behind - LAMINA_MM) / (depth - LAMINA_MM).clamp_(min=8)  # 0 deep .. 1 under the fascia
    half = 0.3 + 1.2 * fatty + (2.2 + 4 * fatty) * (0.45 - way).clamp_(min=0)
    shift = 0.45 * ragged
    medial = half - (x - 18 - (seam - 18) * way.clamp(min=0) - shift).abs()
    lateral = 0.4 * half - 0.3 + 0.3 * ragged - (x - 0.4 * seam - 34 - 4 * way + 2 * shift).abs()
    deep = LAMINA_MM + 2.5 - 0.45 * (x - 8).clamp_(min=0)
    on_bone = deep + (1.2 + 3 * fatty) * (0.7 + 0.4 * ragged) - behind - (x - 24).clamp_(min=0)
    beside = 4.2 + 0.5 * ragged + 2 * fatty * (0.6 - way).clamp_(min=0) - x
    return torch.maximum(torch.maximum(medial, lateral), torch.maximum(on_bone, beside))


def _infiltrated(x: Tensor, behind: Tensor, level: Tensor, fine: Tensor, patches: Tensor) -> Tensor:
    """Measure of fat within the muscles, positive inside fat: patches that spread from the medial deep corner
    and branch between fibre bundles."""
    corner = torch.exp(-((x / 27) ** 2) - ((behind - LAMINA_MM) / 23) ** 2)
    share = (level * (0.16 + 1.25 * corner)).clamp_(max=0.95)
    return 0.6 * patches - 0.95 + 5 * share - 1.5 * fine.abs()


def _paint_midline(tissue: Tensor, places: Places, fine: Tensor) -> None:
    """Paint interspinous ligaments in fat, and the supraspinous ligament behind them down to L5."""
    midline = (places.x < 2.6 + 0.3 * fine) & (places.behind > 9)
    below_mm = places.depth - GROOVE_MM - places.behind - places.apart
    between, streaks = midline & (below_mm > 2.5), fine + 2 * SOFT * places.apart.sign()
    tissue.masked_fill_(between, Tissue.MESENTERY)
    tissue.masked_fill_(between & (streaks > 0.4), Tissue.FAT)
    tissue.masked_fill_(between & (streaks < -0.9), Tissue.MUSCLE)
    over = midline & (below_mm > -0.5) & (below_mm < 2.8) & (places.up > -90)
    tissue.masked_fill_(over, Tissue.FASCIA)


def paint_beside(tissue: Tensor, places: Places, person: Person, texture: Texture) -> None:
    """Paint psoas, quadratus lumborum and the origin of the lateral abdominal wall on the tissue (P, N)."""
    x, behind, up = places.x, places.behind, places.up
    wide, deep, lateral, forward, reach = at_height(
        up, person, PSOAS_WIDE_MM, PSOAS_DEEP_MM, PSOAS_LATERAL_MM, PSOAS_FORWARD_MM, REACH_MM
    )
    fine, patches = texture.at((1.7, 1.7), behind + SLANT * up, places.side)
    ragged = 0.03 * (fine + 2 * patches)
    across, before = x / person.size, -behind / person.size
    psoas = ((across - lateral) / wide) ** 2 + ((before - forward) / deep) ** 2
    streak = fine + 0.8 * patches - 4.2 + 1.8 * person.fatty + 2 * SOFT * places.apart.sign()
    inwards = 0.12 * places.apart  # the measures below change by about 0.12 per mm
    around = (across / AROUND_BODY_MM[0]) ** 4 + ((before - BODY_FORWARD_MM) / AROUND_BODY_MM[1]) ** 4
    inside = (psoas + inwards < person.muscle**2 + 2 * ragged) & (around - 2 * inwards > 1)
    low = (-62 - up / person.size).clamp_(min=0)  # below the iliac crests, where both end
    quadratus = (behind + 1 + 0.25 * (x - 58)).abs() / 7.5 / person.muscle + ragged
    quadratus = quadratus**2 + ((x - reach + 10) / 19) ** 2 + (low / 14) ** 2
    wall = behind - 4 + 0.012 * (x - 72).clamp_(min=0) ** 2
    thick = 5 * person.muscle - 0.4 * low - places.apart
    flank = (quadratus + 2 * inwards < 1) | (wall.abs() < thick) & (x > reach + 7 + 30 * ragged)
    _paint_mixed(tissue, inside | flank, streak)
