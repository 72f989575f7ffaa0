"""The shape of a spine: vertebrae and discs from T10 to S4, each with its own axes, and how worn they are."""

from dataclasses import dataclass

import numpy as np

from kitlib.phantom.grid import Frame
from kitlib.terms import LEVELS

VERTEBRAE = ("S4", "S3", "S2", "S1", "L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10")  # from below
SIDES = (1, -1)  # left, right: the sign of x in patient coordinates, and the order of columns in `Openings`
# Width, depth and height of the body in mm, its lordotic wedge and that of the disc above it in degrees, and
# the height of that disc in mm: rounded means of adults (Panjabi, Spine 1992; Zhou, Eur Spine J 2000;
# Been, Eur Spine J 2010). TAPER is how much wider a body is above than below.
WIDTH_MM = (24, 31, 41, 50, 50, 48, 46, 44, 42, 39, 35, 32)
DEPTH_MM = (10, 13, 18, 32, 34, 34.5, 34, 33, 32, 31, 30, 28)
HEIGHT_MM = (18, 21, 25, 30, 27.5, 28, 28, 27.5, 27, 25, 22.5, 21)
BODY_WEDGE_DEG = (-8, -6, -4, 12, 8, 2, 1, -1, -2, -4, -4, -4)
DISC_WEDGE_DEG = (0, 0, -4, 14, 12, 9, 7, 5, 1, -1, -1, 0)
DISC_HEIGHT_MM = (0.8, 1.0, 2.6, 10.0, 11.0, 10.5, 9.5, 8.2, 7.0, 5.8, 5.0, 5.0)
TAPER = (0.4, 0.35, 0.4, 0.36, 0.05, 0.02, 0, -0.02, -0.03, -0.04, -0.04, -0.04)
PEDICLE_MM = (23, 23, 23, 23, 20.5, 17.8, 16.9, 15.9, 15, 14.3, 13.7, 13)  # from the midline to the pedicle
LUMBOSACRAL = VERTEBRAE.index("S1")
ANCHOR = VERTEBRAE.index("L3")


def disc_of(level: str) -> int:
    """Index of a graded level's disc: discs are counted by the vertebra below them."""
    return LUMBOSACRAL + len(LEVELS) - 1 - LEVELS.index(level)


@dataclass(frozen=True, eq=False)
class Vertebra:
    """A rigid bone; lengths in mm along its own axes."""

    frame: Frame  # origin at the body's centre
    width_mm: float
    depth_mm: float
    height_mm: float
    wedge: float  # radians, positive where the front is taller
    taper: float
    lip_mm: float  # osteophytes at the rims
    pedicle_mm: float  # from the midline to the pedicle's axis
    process: float  # length of the spinous process, 1 is typical


@dataclass(frozen=True, eq=False)
class Disc:
    """A disc; its frame's origin is its centre."""

    frame: Frame
    width_mm: float
    depth_mm: float
    height_mm: float
    wedge: float
    water: float  # 0 black .. 1 bright on T2


@dataclass(frozen=True, eq=False)
class Spine:
    """Vertebrae from below, and the disc above each but the last."""

    vertebrae: tuple[Vertebra, ...]
    discs: tuple[Disc, ...]


def draw_spine(grades: np.ndarray, rng: np.random.Generator) -> Spine:
    """A spine whose discs have degenerated with the grades (25,) of their levels; L3 stands at the origin."""
    count = len(VERTEBRAE)
    person = rng.normal(1, 0.05) * rng.normal(1, 0.02, (3, count))
    width, depth, height = np.array([WIDTH_MM, DEPTH_MM, HEIGHT_MM]) * person
    worn = _degeneration(grades, rng)
    disc_height = np.array(DISC_HEIGHT_MM) * rng.normal(1, 0.06, count) * (1 - 0.55 * worn**1.3)
    body_wedge, disc_wedge = _wedges(rng)
    frames = _stacked(_interleaved(height, disc_height), _interleaved(body_wedge, disc_wedge), rng)
    lip = np.maximum(worn, np.roll(worn, 1)) ** 2 * rng.uniform(0.5, 3.5, count)
    pedicle, process = PEDICLE_MM * person[0], rng.normal(1, 0.12, count)
    bodies = zip(frames[::2], width, depth, height, body_wedge, TAPER, lip, pedicle, process)
    between = zip(frames[1::2], _between(width), _between(depth), disc_height, disc_wedge, 1 - worn)
    return Spine(tuple(Vertebra(*one) for one in bodies), tuple(Disc(*one) for one in between))


def _degeneration(grades: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How worn each disc is, 0..1."""
    of_level = grades.reshape(-1, len(LEVELS)).mean(axis=0)
    worn = np.full(len(VERTEBRAE), 0.15 + 0.1 * of_level.mean())
    worn[[disc_of(level) for level in LEVELS]] = 0.08 + 0.42 * of_level
    worn[:LUMBOSACRAL] = 0.6
    return np.clip(worn + rng.normal(0, 0.13, len(worn)), 0, 1)


def _wedges(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Wedges of bodies and of the discs above them in radians; lordosis scales the lumbar ones together."""
    lordosis = np.where(np.arange(len(VERTEBRAE)) < LUMBOSACRAL, 1.0, np.clip(rng.normal(0.9, 0.2), 0.4, 1.6))
    noise = rng.normal(0, [[1.0], [1.5]], (2, len(VERTEBRAE)))
    body, disc = np.radians(np.array([BODY_WEDGE_DEG, DISC_WEDGE_DEG]) * lordosis + noise)
    return body, disc


def _stacked(heights: np.ndarray, wedges: np.ndarray, rng: np.random.Generator) -> list[Frame]:
    """Frames of bodies and discs in turn, from S4 up."""
    lean = np.cumsum(wedges) - wedges / 2
    tilt = lean[2 * ANCHOR] - lean - np.radians(rng.normal(7, 3))  # L3 leans backwards in supine patients
    curve = np.sin(np.linspace(0, rng.uniform(3, 7), len(heights)) + rng.uniform(0, 6.3))
    coronal = np.radians(abs(rng.normal(0, 3.5)) * curve + rng.normal(0, 1.5))
    twist = np.radians(rng.normal(0, 3) * curve + rng.normal(0, 2))
    axes = [_axes(*angles) for angles in zip(tilt, coronal, twist)]
    steps = np.array([up for _, _, up in axes]) * heights[:, None]
    centres = np.cumsum(steps, axis=0) - steps / 2
    return [Frame(centre - centres[2 * ANCHOR], axis) for centre, axis in zip(centres, axes)]


def _axes(tilt: float, coronal: float, twist: float) -> np.ndarray:
    """Left, back and up of a structure that tilts forward, leans to the left and turns about its own axis."""
    s, c = np.sin([tilt, coronal, twist]), np.cos([tilt, coronal, twist])
    forward = np.array([[1, 0, 0], [0, c[0], s[0]], [0, -s[0], c[0]]])
    sideways = np.array([[c[1], 0, -s[1]], [0, 1, 0], [s[1], 0, c[1]]])
    turned = np.array([[c[2], s[2], 0], [-s[2], c[2], 0], [0, 0, 1]])
    return turned @ forward @ sideways


def _interleaved(bodies: np.ndarray, discs: np.ndarray) -> np.ndarray:
    return np.stack([bodies, discs], axis=1).ravel()[:-1]


def _between(size: np.ndarray) -> np.ndarray:
    """Sizes of the discs: what the two endplates around each have on average."""
    above, below = size * (1 + np.array(TAPER) / 2), size * (1 - np.array(TAPER) / 2)
    return (above[:-1] + below[1:]) / 2
