"""Domain-randomised slices: single images of an anatomy, far outside the range of real scanners.

They are training data for localisers. One anatomy yields many slices.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import interpolate

from kitlib.mri.stack import Plane
from kitlib.phantom.body.anatomy import Anatomy
from kitlib.phantom.body.grid import PATIENT, Canvas, Device, unit
from kitlib.phantom.body.vertebrae import disc_of
from kitlib.phantom.scan.contrast import Look, displayed, draw_look, occluded, received, textured
from kitlib.terms import ABOVE, BELOW, CELLS, LANDMARKS, LEVELS, Landmark, landmark_of

Shown = tuple[slice, slice]
"""Rows and columns."""

NEAR_MM = {"canal": 7.0, "foramen": 6.0, "recess": 6.0}
"""How far off a thin slice a landmark may lie and still be visible: about half its size."""

SAGITTAL_TURN_DEG = (30.0, 15.0, 15.0)  # maxima, about the axes to the left (in plane), back and head
AXIAL_TURN_DEG = (15.0, 15.0, 20.0)
BACK_MM = 65.0  # from the canal to the skin of the back
COARSE_RATE = 0.25
COARSE_MM = (2.0, 4.0)  # pixel size of the coarse ones
CROPPED_RATE = 0.3
CANAL_RATE = 0.65  # of sagittal slices at the canal; the others are at a foramen
BESIDE_RATE = 0.15  # of sagittal slices off the canal, up to far lateral ones
WIDE_RATE = 0.4  # of widths, thicknesses and positions drawn outside the clinical range


@dataclass(frozen=True, eq=False)
class SliceGeometry:
    """The geometry of one slice in the patient."""

    origin_mm: np.ndarray  # (3,) LPS position of the first pixel's centre
    row_direction: np.ndarray  # (3,) unit vector along which the COLUMN index grows
    column_direction: np.ndarray  # (3,) unit vector along which the ROW index grows
    normal: np.ndarray  # (3,) unit vector to the patient's left (sagittal) or head (axial)
    spacing_mm: tuple[float, float]  # between rows, between columns
    thickness_mm: float

    def to_pixel(self, places_mm: ArrayLike) -> np.ndarray:
        """Convert patient positions (..., 3) to (x, y, off_plane_mm), the last along the normal."""
        way = np.asarray(places_mm, dtype=np.float64) - self.origin_mm
        x, y = self.row_direction / self.spacing_mm[1], self.column_direction / self.spacing_mm[0]
        return way @ np.stack([x, y, self.normal], axis=1)


@dataclass(frozen=True, eq=False)
class RandomSlice:
    """One image and all landmarks projected onto it; (0, 0) is the centre of the first pixel."""

    image: Tensor  # (H, W) float32 in [0, 1]
    geometry: SliceGeometry
    shown: Shown  # outside these rows and columns is padding
    points: np.ndarray  # (27, 3) float64 x, y and off_plane_mm of all LANDMARKS, in view or not


def draw_random_slice(
    anatomy: Anatomy, rng: np.random.Generator, *, plane: Plane, px: int = 192, device: Device = "cpu"
) -> RandomSlice:
    """Draw a square image of an anatomy with random contrast, quality, view and crop."""
    places = landmarks_mm(anatomy)
    rows, cols = _draw_shown(px, rng)
    if plane == "sagittal":
        # Cut the image below the end of the drawn spine, which would reveal the level count.
        top_mm = anatomy.at_mm + anatomy.spine.vertebrae[-1].frame.origin_mm - [0, 0, rng.uniform(0, 50)]
        geometry = _draw_sagittal(places, top_mm, px, rng)
        rows = slice(min(max(rows.start, int(geometry.to_pixel(top_mm)[1])), rows.stop - 1), rows.stop)
    else:
        geometry = _draw_axial(anatomy, places, px, rng)
    look = draw_look(np.array([disc.water for disc in anatomy.spine.discs]), rng)
    image = occluded(displayed(_imaged(anatomy, geometry, look, px, rng, device), look, rng), rng)
    padded = torch.zeros_like(image)
    padded[rows, cols] = image[rows, cols]
    return RandomSlice(padded, geometry, (rows, cols), geometry.to_pixel(places))


def landmarks_mm(anatomy: Anatomy) -> np.ndarray:
    """Return the patient positions (27, 3) of LANDMARKS in the scanner."""
    places = {landmark_of(cell): anatomy.place_mm(cell) for cell in CELLS}
    places[Landmark("canal", ABOVE, None)] = _behind(anatomy, disc_of(LEVELS[0]) + 1)
    places[Landmark("canal", BELOW, None)] = _behind(anatomy, disc_of(LEVELS[-1]) - 1)
    return np.array([places[mark] for mark in LANDMARKS])


def _behind(anatomy: Anatomy, index: int) -> np.ndarray:
    """Position (3,) in the scanner of the middle of the sac behind a disc."""
    disc, canal = anatomy.spine.discs[index], anatomy.canal
    near = disc.frame.to_patient(0, disc.depth_mm / 2 + 8, 0)
    row = int(np.linalg.norm(canal.centres_mm - near, axis=1).argmin())
    middle = canal.profile["sac_front"][row] + canal.profile["sac_depth"][row] / 2
    return anatomy.at_mm + canal.to_patient(row, 0, float(middle))


def _draw_sagittal(
    places: np.ndarray, top_mm: np.ndarray, px: int, rng: np.random.Generator
) -> SliceGeometry:
    """Draw a slice through the canal, a foramen or beside them, with any part of the lumbar spine in view."""
    canal, foramina = places[:7], places[7:17]
    up = unit((canal[1] - canal[5]) * [1, 0, 1])
    axes = _turned(np.array([np.cross([0, 1, 0], up), [0, 1, 0], up]), SAGITTAL_TURN_DEG, rng)
    aim = rng.random()
    through = rng.permutation(canal if aim < CANAL_RATE else foramina)[0] + axes[0] * rng.normal(0, 3)
    if aim < BESIDE_RATE:
        through = through + axes[0] * rng.uniform(-1, 1) * rng.choice([32, 80])
    anchors = (  # rate, anchor, its height: clinical, whole sacrum, down to S1, without S1, from L1, any
        (0.43, canal[2:4].mean(axis=0), rng.normal(0.47, 0.09)),
        (0.15, canal[5], rng.uniform(0.5, 0.85)),
        (0.17, canal[6], rng.uniform(0.88, 1.02)),
        (0.08, canal[5], rng.uniform(0.93, 1.1)),
        (0.12, canal[1], rng.uniform(-0.05, 0.15)),
        (0.05, canal[3], rng.uniform(0, 1)),
    )
    _, anchor, down = anchors[rng.choice(len(anchors), p=[rate for rate, _, _ in anchors])]
    across = rng.uniform(0.25, 0.85) if rng.random() < WIDE_RATE else rng.normal(0.56, 0.06)
    view_mm = rng.uniform(150, 400) if rng.random() < WIDE_RATE else rng.uniform(240, 320)
    if rng.random() >= CROPPED_RATE:
        view_mm = min(view_mm, max(150, (top_mm - anchor)[2] / max(down, 0.1)))
    return _placed((axes[1], -axes[2], axes[0]), through, anchor, (across, down), view_mm, px, rng)


def _draw_axial(anatomy: Anatomy, places: np.ndarray, px: int, rng: np.random.Generator) -> SliceGeometry:
    """Draw a slice at a graded level or anywhere between T12/L1 and S1/S2, roughly along the nearest disc."""
    level = rng.uniform(0, 6) if rng.random() < WIDE_RATE else rng.integers(1, 6)
    below = min(int(level), 5)
    through = places[below] + (level - below) * (places[below + 1] - places[below])
    up = anatomy.spine.discs[disc_of(LEVELS[0]) + 1 - round(level)].frame.axes[2]
    up = unit(up + rng.random() * np.array([0, 0, 1]))
    left = unit(np.array([1, 0, 0]) - up[0] * up)
    axes = _turned(np.array([left, np.cross(up, left), up]), AXIAL_TURN_DEG, rng)
    through = through + up * rng.normal(0, 3)
    at = rng.normal([0.5, 0.55], [0.03, 0.05])
    if rng.random() < WIDE_RATE:
        at = rng.uniform([0.3, 0.3], [0.7, 0.8])
    view_mm = rng.uniform(110, 400) if rng.random() < WIDE_RATE else rng.uniform(150, 220)
    return _placed((axes[0], axes[1], axes[2]), through, through, at, view_mm, px, rng)


def _turned(axes: np.ndarray, most_deg: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    """Rotate axes (3, 3) about themselves by random, mostly small angles."""
    angles = rng.uniform(-1, 1, 3) * np.array(most_deg) * rng.random()
    return Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ axes


def _placed(
    directions: tuple[np.ndarray, np.ndarray, np.ndarray],
    through_mm: np.ndarray,
    anchor_mm: np.ndarray,
    at: ArrayLike,
    view_mm: float,
    px: int,
    rng: np.random.Generator,
) -> SliceGeometry:
    """Place the plane through one point, with the anchor at a fraction (across, down) of the image."""
    stretch = np.exp(rng.normal(0, 0.04))
    spacing = view_mm / px * np.array([stretch, 1 / stretch])
    along = np.stack(directions[:2])
    in_plane = along @ (anchor_mm - through_mm) - np.asarray(at) * spacing[::-1] * (px - 1)
    thickness = rng.uniform(1, 10) if rng.random() < WIDE_RATE else rng.uniform(3, 5)
    return SliceGeometry(through_mm + in_plane @ along, *directions, (spacing[0], spacing[1]), thickness)


def _imaged(
    anatomy: Anatomy, geometry: SliceGeometry, look: Look, px: int, rng: np.random.Generator, device: Device
) -> Tensor:
    """Compute the signal (px, px) of a slice, sometimes acquired in coarser pixels."""
    acquired = px
    if rng.random() < COARSE_RATE:
        acquired = int(np.clip(px * max(geometry.spacing_mm) / rng.uniform(*COARSE_MM), px // 5, px))
    coarser = px / acquired
    down = coarser * geometry.spacing_mm[0] * geometry.column_direction
    right = coarser * geometry.spacing_mm[1] * geometry.row_direction
    origin = geometry.origin_mm - anatomy.at_mm + (1 - 1 / coarser) / 2 * (down + right)
    samples = 2 if coarser == 1 and geometry.thickness_mm < 4 else 4
    size = acquired, acquired
    canvas = Canvas.over(origin[None], down, right, size, geometry.thickness_mm, samples, device)
    anatomy.paint(canvas)
    px_mm = float(np.linalg.norm(right))
    image = textured(canvas.tissue, look, px_mm, rng)
    middles, middle = canvas.middles(), anatomy.canal.centres_mm.mean(axis=0)
    _, y, z = middles.local(PATIENT, middles.everything)
    image = received(image, BACK_MM + float(middle[1]) - y[0], z[0] - float(middle[2]), look, px_mm, rng)
    return interpolate(image[None, None], size=(px, px), mode="bilinear", align_corners=False)[0, 0]


def _draw_shown(px: int, rng: np.random.Generator) -> Shown:
    """Draw the visible rows and columns; the rest is padding, as around an oblong image."""
    shown = [slice(0, px), slice(0, px)]
    if rng.random() < CROPPED_RATE:
        size = round(px * rng.uniform(0.5, 0.95))
        start = (px - size) // 2 if rng.random() < 0.7 else int(rng.integers(px - size + 1))
        shown[rng.integers(2)] = slice(start, start + size)
    return shown[0], shown[1]
