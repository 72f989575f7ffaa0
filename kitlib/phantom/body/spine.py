"""The shape of a spine: vertebrae and discs from T10 to S4, each with its own axes, and their wear."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kitlib.phantom.body import vertebrae as typical
from kitlib.phantom.body.grid import LocalFrame
from kitlib.phantom.body.pathology import LUMBARISED, SACRALISED, Change, Pathology, draw_pathology
from kitlib.phantom.body.person import Person
from kitlib.phantom.body.sacrum import BODIES, LEAST_TAPER, Sacrum, draw_sacrum
from kitlib.phantom.body.vertebrae import ANCHOR, COUNT, GRADED, LUMBOSACRAL, VERTEBRAE
from kitlib.terms import LEVELS, level2text

# Mean, standard deviation, bounds: from the mean of standing adults (40; Vialle, J Bone Joint Surg Am 2005),
# reduced for lying.
SACRAL_SLOPE_DEG = (34.0, 12.0, 12.0, 76.0)
LOWER_SHARE_SD = 0.35  # of the log share of lordosis at L5/S1, with the opposite sign at L1/L2
LUMBARISED_DISC_MM = 7.0  # between a lumbarised S1 and S2, at least
COBB_DEG = (3.5, 38.0)  # mean of the exponential, and its bound: some 5 % have more than 10 degrees
L5, S1, S2 = LUMBOSACRAL + 1, LUMBOSACRAL, LUMBOSACRAL - 1


@dataclass(frozen=True, eq=False)
class Vertebra:
    """A rigid bone; lengths in mm along its own axes."""

    frame: LocalFrame  # origin at the body's centre
    width_mm: float
    depth_mm: float
    height_mm: float
    wedge: float  # radians, positive if the front is taller
    taper: float
    lip_mm: float  # osteophytes at the rims
    pedicle_mm: float  # from the midline to the pedicle's axis
    process: float  # length of the spinous process, 1 is typical
    sunken_mm: float  # concavity of each endplate
    pars_gap_mm: float  # how far the arch has stayed behind, 0 if it is intact
    changes: tuple[Change, ...]  # of the marrow


@dataclass(frozen=True, eq=False)
class Disc:
    """A disc; its frame's origin is its centre."""

    frame: LocalFrame
    width_mm: float
    depth_mm: float
    height_mm: float
    wedge: float
    water: float  # 0 black .. 1 bright on T2
    slip_mm: float  # forward displacement of the vertebra above
    bulge_mm: float  # beyond the rims, to the front and the sides
    extent: float  # share of the bodies' outline that it fills; less than 1 only in the sacrum
    vacuum: bool  # gas in the nucleus
    fissured: bool  # a bright tear at the back of the annulus


@dataclass(frozen=True, eq=False)
class Spine:
    """Vertebrae, from below, and the disc above each one except the last."""

    vertebrae: tuple[Vertebra, ...]
    discs: tuple[Disc, ...]
    pathology: Pathology
    rib_mm: float  # length of the twelfth ribs

    @property
    def transitional(self) -> str:
        """`lumbarised S1`, `sacralised L5` or nothing."""
        return self.pathology.transitional

    def facts(self) -> dict[str, Any]:
        """Return the truth of shape and findings, as JSON values."""
        found, graded = self.pathology, list(zip(level2text.values(), GRADED))
        named = [(name, one.kind) for name, changes in zip(VERTEBRAE, found.changes) for one in changes]
        fractures = {
            name: "wedge" if loss else "biconcave"
            for name, loss, sunken in zip(VERTEBRAE, found.front_loss, found.sunken_mm)
            if loss or sunken
        }
        return {
            "transitional": found.transitional,
            "metal": [VERTEBRAE[index] for index in found.metal],
            "listhesis_mm": {text: round(float(found.slip_mm[disc]), 2) for text, disc in graded},
            "isthmic": found.pars_gap_mm > 0,
            "modic": {text: int(found.modic[disc]) for text, disc in graded},
            "schmorl": [name for name, kind in named if kind == "schmorl"],
            "haemangiomas": [name for name, kind in named if kind == "haemangioma"],
            "fractures": fractures,
            "sacral_slope_deg": round(self._slope_deg(S1), 2),
            "lordosis_deg": round(self._slope_deg(S1) - self._slope_deg(VERTEBRAE.index("L1")), 2),
            "scoliosis_deg": round(self._cobb_deg(), 2),
        }

    def _slope_deg(self, index: int) -> float:
        """Forward tilt of an upper endplate."""
        vertebra = self.vertebrae[index]
        _, back, up = vertebra.frame.axes[2]
        return float(np.degrees(np.arctan2(-back, up) - vertebra.wedge / 2))

    def _cobb_deg(self) -> float:
        lean = [np.degrees(np.arctan2(v.frame.axes[2][0], v.frame.axes[2][2])) for v in self.vertebrae[L5:]]
        return float(max(lean) - min(lean))


@dataclass(frozen=True, eq=False)
class Shape:
    """Sizes of all bodies and discs (12,) during drawing; changed in place."""

    depth: np.ndarray  # mm
    height: np.ndarray  # mm
    taper: np.ndarray
    body_wedge: np.ndarray  # radians
    disc_height: np.ndarray  # mm
    extent: np.ndarray  # of the discs, see `Disc`
    water: np.ndarray


def draw_spine(person: Person, grades: np.ndarray, rng: np.random.Generator) -> Spine:
    """Draw a spine whose discs degenerate with the grades (25,) of their levels; L3 is at the origin.

    The grades affect the outcome of the random draws, never the draws themselves: with one grade raised, it
    is the same spine, more worn at that level.
    """
    worn = _degeneration(grades, rng)
    found = draw_pathology(person, worn, rng)
    sacrum = draw_sacrum(rng.spawn(1)[0])
    sizes = person.size * rng.normal(1, 0.025, (3, COUNT)) * _graded(rng, 0.012)
    disc_noise = rng.normal(1, 0.08, COUNT) * _graded(rng, 0.04)
    lips, tears = rng.uniform(0.5, 5, COUNT), rng.random((2, COUNT))
    process, rib_mm = rng.normal(1, 0.12, COUNT), float(rng.uniform(45, 115))
    width, depth, height = np.array([typical.WIDTH_MM, typical.DEPTH_MM, typical.HEIGHT_MM]) * sizes
    disc_height = typical.DISC_HEIGHT_MM * person.size * disc_noise * (1 - 0.55 * worn**1.3)
    body_wedge, disc_wedge, slope = _wedges(rng)
    water = np.clip(1.05 - 1.1 * worn, 0, 1)
    shape = Shape(depth, height, np.array(typical.TAPER), body_wedge, disc_height, np.ones(COUNT), water)
    _shape_sacrum(sacrum, person.size, shape)
    _make_transitional(found.transitional, shape)
    body_wedge -= found.front_loss * height / depth
    height = height * (1 - found.front_loss / 2)
    heights, wedges = _interleaved(height, disc_height), _interleaved(body_wedge, disc_wedge)
    frames = _stacked(heights, wedges, _interleaved(np.zeros(COUNT), found.slip_mm), slope, rng)
    lip = np.maximum(worn, np.roll(worn, 1)) ** 2 * lips
    gap = np.where(np.arange(COUNT) == L5, found.pars_gap_mm, 0.0)
    bodies = zip(
        frames[::2], width, depth, height, body_wedge, shape.taper, lip, typical.PEDICLE_MM * sizes[0],
        process, 2.2 + found.sunken_mm, gap, found.changes,
    )  # fmt: skip
    mobile = np.arange(COUNT) >= S1
    vacuum = mobile & (worn > 0.72) & (tears[0] < 0.3)
    fissured = mobile & (worn > 0.35) & (tears[1] < 0.3)
    between = zip(
        frames[1::2], _between(width, shape.taper), _between(depth, shape.taper), disc_height, disc_wedge,
        shape.water, found.slip_mm, 0.3 + 2.4 * worn**2, shape.extent, vacuum, fissured,
    )  # fmt: skip
    return Spine(tuple(Vertebra(*one) for one in bodies), tuple(Disc(*one) for one in between), found, rib_mm)


def _degeneration(grades: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the wear of each disc, 0..1."""
    of_level = grades.reshape(-1, len(LEVELS)).mean(axis=0)
    worn = np.full(COUNT, 0.15 + 0.1 * of_level.mean())
    worn[GRADED] = 0.08 + 0.42 * of_level
    worn[:LUMBOSACRAL] = 0.6
    return np.clip(worn + rng.normal(0, 0.13, COUNT), 0, 1)


def _wedges(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Draw wedges of bodies and of the discs above them, and the sacral slope they depend on, in radians.

    Lordosis L1-S1 follows the slope (Roussouly, Spine 2005) with random variation, as does the share of the
    lower discs. Both are less than when standing: patients lie with flexed hips (chosen on open data).
    """
    mean, scatter, low, high = SACRAL_SLOPE_DEG
    slope = float(np.clip(rng.normal(mean, scatter), low, high))
    lordosis = 14 + 0.87 * slope + rng.normal(0, 8)
    means = np.array([typical.BODY_WEDGE_DEG, typical.DISC_WEDGE_DEG])
    body, disc = means + rng.normal(0, [[1.2], [2.0]], (2, COUNT))
    lumbar = slice(S1, VERTEBRAE.index("L1"))
    disc[lumbar] *= np.exp(rng.normal(0, LOWER_SHARE_SD) * np.linspace(1, -1, 5))
    scale = (lordosis - body[L5 : L5 + 5].sum()) / disc[lumbar].sum()
    disc[lumbar] *= max(0.15, scale)
    return np.radians(body), np.radians(disc), float(np.radians(slope))


def _graded(rng: np.random.Generator, scatter: float) -> np.ndarray:
    """Draw factors (12,) that change by a constant ratio from each vertebra to the next, 1 at L3."""
    return np.exp(rng.normal(0, scatter) * (np.arange(COUNT) - ANCHOR))


def _shape_sacrum(sacrum: Sacrum, size: float, shape: Shape) -> None:
    """Apply the individual shape of the sacrum, and of the disc above it, for a person of this size."""
    own, discs = slice(0, BODIES), slice(0, LUMBOSACRAL)
    shape.depth[own] *= sacrum.depth
    shape.height[own] *= sacrum.height
    shape.taper[own] = (shape.taper[own] + sacrum.taper).clip(LEAST_TAPER)
    shape.body_wedge[own] += sacrum.wedge
    shape.disc_height[discs] = size * sacrum.remnant_mm
    shape.disc_height[LUMBOSACRAL] *= sacrum.disc_height
    shape.extent[discs], shape.water[discs] = sacrum.extent, sacrum.water


def _make_transitional(kind: str, shape: Shape) -> None:
    """Square a lumbarised S1 and add a disc below it, or square a sacralised L5 and thin its disc.

    They are Castellvi's types II to IV, the fused or articulated ones, as seen in the midline.
    """
    if kind == LUMBARISED:
        shape.depth[[S1, S2]] *= (1.1, 1.45)
        shape.taper[[S1, S2]] = 0.13, 0.4
        shape.body_wedge[S1] *= 0.6
        shape.disc_height[S2] = max(shape.disc_height[S2], LUMBARISED_DISC_MM)
        shape.extent[S2], shape.water[S2] = 1.0, 0.7
    elif kind == SACRALISED:
        shape.disc_height[S1] *= 0.5
        shape.taper[L5] = 0.14
        shape.body_wedge[L5] *= 0.5
        shape.water[S1] = min(shape.water[S1], 0.45)


def _stacked(
    heights: np.ndarray, wedges: np.ndarray, slips: np.ndarray, slope: float, rng: np.random.Generator
) -> list[LocalFrame]:
    """Stack the frames of alternating bodies and discs, from S4 up, with the top of S1 at its slope."""
    lean = np.cumsum(wedges) - wedges / 2
    tilt = slope + np.cumsum(wedges)[2 * S1] - lean
    coronal, twist = _scoliosis(len(heights), rng)
    axes = [_axes(*angles) for angles in zip(tilt, coronal, twist)]
    steps = np.array([up for _, _, up in axes]) * heights[:, None]
    steps -= np.array([back for _, back, _ in axes]) * slips[:, None]
    centres = np.cumsum(steps, axis=0) - steps / 2
    return [LocalFrame(centre - centres[2 * ANCHOR], axis) for centre, axis in zip(centres, axes)]


def _scoliosis(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the left lean and rotation of bodies and discs in radians; bodies rotate to the convex side."""
    mean, most = COBB_DEG
    cobb = min(rng.exponential(mean), most)
    phase = np.linspace(0, rng.uniform(3.5, 7), count) + rng.uniform(0, 2 * np.pi)
    pelvis, turn = rng.normal(0, 1.3), rng.normal(0, 2)
    mobile = np.clip((np.arange(count) - 2 * S1) / 4, 0, 1)  # the sacrum is not affected
    wave = np.sin(phase)
    wave -= wave[2 * L5 :].mean()  # the head stays over the pelvis
    coronal = cobb * wave * mobile / max(float(np.ptp(wave[2 * L5 :])), 0.5) + pelvis
    return np.radians(coronal), np.radians(turn - 0.45 * cobb * np.cos(phase) * mobile)


def _axes(tilt: float, coronal: float, twist: float) -> np.ndarray:
    """Left, back and up axes of a structure tilted forward, leaning left and rotated about its own axis."""
    s, c = np.sin([tilt, coronal, twist]), np.cos([tilt, coronal, twist])
    forward = np.array([[1, 0, 0], [0, c[0], s[0]], [0, -s[0], c[0]]])
    sideways = np.array([[c[1], 0, -s[1]], [0, 1, 0], [s[1], 0, c[1]]])
    turned = np.array([[c[2], s[2], 0], [-s[2], c[2], 0], [0, 0, 1]])
    return turned @ forward @ sideways


def _interleaved(bodies: np.ndarray, discs: np.ndarray) -> np.ndarray:
    return np.stack([bodies, discs], axis=1).ravel()[:-1]


def _between(size: np.ndarray, taper: np.ndarray) -> np.ndarray:
    """Sizes of the discs: the mean of the two adjacent endplates."""
    above, below = size * (1 + taper / 2), size * (1 - taper / 2)
    return (above[:-1] + below[1:]) / 2
