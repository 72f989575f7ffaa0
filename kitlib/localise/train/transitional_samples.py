"""Crops of the lumbosacral junction of phantoms, with transitional ones strongly oversampled.

Only the crop is painted: all sagittal slices of a person together cost hardly more than one slice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from kitlib.artefacts import Provenance, fingerprint
from kitlib.nn.rows import Rows
from kitlib.nn.shards import drawn_in_shards
from kitlib.phantom.body.anatomy import Anatomy, draw_anatomy
from kitlib.phantom.body.grid import PATIENT, Canvas
from kitlib.phantom.body.pathology import LUMBARISED, SACRALISED
from kitlib.phantom.labels import draw_grades
from kitlib.phantom.scan.contrast import displayed, draw_look, occluded, received, textured
from kitlib.phantom.scan.domain_randomised import BACK_MM, landmarks_mm
from kitlib.phantom.scan.plans import SeriesPlan
from kitlib.phantom.scan.prescription import Plan
from kitlib.phantom.scan.scanner import acquire, draw_scanner
from kitlib.phantom.truth import VERSION
from kitlib.terms import LANDMARKS, SAGITTAL_T1, SAGITTAL_T2, Landmark

RECIPE = 1
"""Increase this when the drawn crops change."""
SHARD = 20  # persons
SLICES, DRAWN_PX, DRAWN_MM = 11, 80, 1.8
STEP_MM = (4.0, 6.0)
TRANSITIONAL_SHARE = 0.4
CLASS_BALANCE = 0.2
LOOKS = 2  # random series per person, in addition to the clinical one
TURN_DEG = (6.0, 3.0, 3.0)  # about the axes to the left (in plane), back and head
TRANSITIONS = ("", LUMBARISED, SACRALISED)
L5_S1 = LANDMARKS.index(Landmark("canal", "l5_s1", None))


@dataclass(frozen=True, eq=False)
class Bags(Rows):
    """Series of parallel sagittal crops, each around a person's L5/S1 point."""

    images: np.ndarray  # (n, 11, 80, 80) uint8, upright, 1.8 mm per pixel, the point in the centre
    kinds: np.ndarray  # (n,) int64, index into TRANSITIONS
    persons: np.ndarray  # (n,) int64


def make_bags(folder: Path, *, persons: int, seed: int = 2024, workers: int = 1) -> Bags:
    """Draw the bags of some persons; shards already in the folder are reused."""
    return drawn_in_shards(
        Bags,
        partial(draw_bags, seed=seed),
        folder,
        f"junction_{fingerprint({'seed': seed, 'recipe': RECIPE, 'phantoms': VERSION})}",
        count=persons,
        shard=SHARD,
        unit="persons",
        provenance=Provenance({}, seed=seed),
        workers=workers,
    )


def draw_bags(number: int, seed: int) -> Bags:
    """Draw one clinical series and LOOKS random ones of a person; deterministic in its arguments."""
    rng = np.random.default_rng((seed, number, 2))
    anatomy = draw_person_with(rng.random() < TRANSITIONAL_SHARE, rng)
    series = [_clinical(anatomy, _plan(anatomy, rng), rng), *_looks(anatomy, _plan(anatomy, rng), rng)]
    kind = TRANSITIONS.index(anatomy.spine.transitional)
    return Bags(np.stack(series), np.full(len(series), kind), np.full(len(series), number))


def draw_person_with(transitional: bool, rng: np.random.Generator) -> Anatomy:
    """Draw a transitional or normal anatomy, by rejection, so that nothing else differs."""
    while True:
        anatomy = draw_anatomy(draw_grades(1, rng, class_balance=CLASS_BALANCE)[0], rng)
        if bool(anatomy.spine.transitional) == transitional:
            return anatomy


def _plan(anatomy: Anatomy, rng: np.random.Generator) -> Plan:
    """Plan parallel slices around the L5/S1 point, wide enough for the transverse processes."""
    turn = Rotation.from_euler("xyz", rng.normal(0, np.array(TURN_DEG)), degrees=True).as_matrix()
    left, back, up = turn
    step = rng.uniform(*STEP_MM)
    offsets = (np.arange(SLICES) - (SLICES - 1) / 2) * step + rng.normal(0, 2)
    centre = landmarks_mm(anatomy)[L5_S1] - anatomy.at_mm
    shape = (DRAWN_PX, DRAWN_PX)
    return Plan(centre + offsets[:, None] * left, back, -up, DRAWN_MM, shape, 0.85 * step, 3)


def _clinical(anatomy: Anatomy, plan: Plan, rng: np.random.Generator) -> np.ndarray:
    sequence = (SAGITTAL_T1, SAGITTAL_T2)[rng.integers(2)]
    series = SeriesPlan(sequence, (plan,), True, np.zeros(3), np.arange(1, SLICES + 1))
    _, (stack,) = acquire(anatomy, series, draw_scanner(rng), rng)
    top = max(float(np.quantile(stack.pixels, 0.998)), 1e-6)
    return (stack.pixels / top * 255).clip(0, 255).round().astype(np.uint8)


def _looks(anatomy: Anatomy, plan: Plan, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the same slices in random contrasts, as in `draw_random_slice`."""
    down, right = DRAWN_MM * plan.column_direction, DRAWN_MM * plan.row_direction
    canvas = Canvas.over(plan.origins_mm, down, right, plan.shape, plan.thickness_mm, plan.samples)
    anatomy.paint(canvas)
    middles, middle = canvas.middles(), anatomy.canal.centres_mm.mean(axis=0)
    _, y, z = middles.local(PATIENT, middles.everything)
    depth, height = BACK_MM + float(middle[1]) - y, z - float(middle[2])
    water = np.array([disc.water for disc in anatomy.spine.discs])
    for _ in range(LOOKS):
        look = draw_look(water, rng)
        # Slices side by side form one image, so that artefacts are much alike in all of them.
        images = [textured(tissue, look, DRAWN_MM, rng) for tissue in canvas.by_slice()]
        images = [received(*part, look, DRAWN_MM, rng) for part in zip(images, depth, height)]
        tall = displayed(torch.cat(images), look, rng).view(SLICES, DRAWN_PX, DRAWN_PX)
        yield (torch.stack([occluded(image, rng) for image in tall]) * 255).round().byte().numpy()
