"""Phantom slices for training the localiser, drawn once and augmented anew in every epoch.

A slice takes longer to draw than to train on. So a pool of slices is drawn first, in worker processes, and
kept in shards from which an interrupted run resumes; `augment` rotates, scales and changes the greys of
slices each time they are used.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kitlib.artefacts import Provenance, fingerprint
from kitlib.localise.network import plane2landmarks
from kitlib.mri.stack import Plane, Stack
from kitlib.nn.rows import Rows
from kitlib.nn.shards import drawn_in_shards
from kitlib.phantom.body.anatomy import Anatomy, draw_anatomy
from kitlib.phantom.labels import draw_grades
from kitlib.phantom.scan.domain_randomised import NEAR_MM, draw_random_slice, landmarks_mm
from kitlib.phantom.scan.plans import SeriesPlan, plan_study
from kitlib.phantom.scan.prescription import size_named
from kitlib.phantom.scan.scanner import acquire, draw_scanner
from kitlib.phantom.truth import VERSION
from kitlib.prepare.volumes import prepare
from kitlib.terms import AXIAL_T2, LANDMARKS, Landmark

RECIPE = 1
"""Increase this when the drawn slices change, so that older shards are drawn again."""
POOL_PX = 192
SHARD = 10  # anatomies: some five seconds of work
CLASS_BALANCE = 0.2
# Distance from the plane, in units of NEAR_MM plus half a slice, where a landmark starts to fade and is gone.
FADING = (0.7, 1.3)
PLANES: tuple[Plane, ...] = ("sagittal", "axial")


@dataclass(frozen=True, eq=False)
class Pool(Rows):
    """Slices with the landmarks of their plane's network."""

    images: np.ndarray  # (n, 192, 192) uint8; smaller images are centred
    spacing_mm: np.ndarray  # (n, 2) float32 between rows, between columns
    places: np.ndarray  # (n, C, 2) float32 pixels x, y, possibly outside the image
    visibility: np.ndarray  # (n, C) float32, 1 on a slice through the landmark, 0 far from it, NaN unknown
    persons: np.ndarray  # (n,) int64: which slices belong together


def make_pool(
    folder: Path,
    plane: Plane,
    *,
    anatomies: int,
    each: int = 8,
    clinical: float = 0.25,
    seed: int = 2024,
    workers: int = 1,
) -> Pool:
    """Draw `each` slices of every anatomy: a share `clinical` as `draw_study` images them, others random.

    Shards in the folder that were drawn with the same arguments are reused.
    """
    options: dict[str, Any] = {"each": each, "clinical": clinical}
    recipe = {"plane": plane, **options, "seed": seed, "recipe": RECIPE, "phantoms": VERSION}
    return drawn_in_shards(
        Pool,
        partial(draw_samples, plane, seed=seed, **options),
        folder,
        f"{plane}_{fingerprint(recipe)}",
        count=anatomies,
        shard=SHARD,
        unit="anatomies",
        provenance=Provenance({"plane": plane, **options}, seed=seed),
        workers=workers,
    )


def draw_samples(plane: Plane, number: int, *, each: int, clinical: float, seed: int) -> Pool:
    """Draw the slices of one anatomy; deterministic in its arguments."""
    rng = np.random.default_rng((seed, number, PLANES.index(plane)))
    anatomy = draw_anatomy(draw_grades(1, rng, class_balance=CLASS_BALANCE)[0], rng)
    imaged = int(rng.binomial(each, clinical))
    parts = [_randomised(plane, anatomy, number, rng) for _ in range(each - imaged)]
    return Pool.joined([*parts, *(_clinical(plane, anatomy, number, imaged, rng) if imaged else ())])


def channel_targets(
    plane: Plane, points: np.ndarray, within: np.ndarray, thickness_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Target places (C, 2) and visibility (C,) of a plane's network, from LANDMARKS (27, 3): x, y, off plane.

    A channel of several landmarks refers to the nearest to the plane; one not `within` (27,) is not visible.
    Unknown landmarks are NaN, and so is the visibility of a channel that might refer to one of them.
    """
    places, visibility = [], []
    for channel in plane2landmarks[plane]:
        rows = [row for row, landmark in enumerate(LANDMARKS) if answers(channel, landmark)]
        known = [row for row in rows if not np.isnan(points[row, 2])]
        nearest = min(known, key=lambda row: abs(points[row, 2]), default=rows[0])
        seen = visibility_at(points[nearest, 2], channel, thickness_mm) * within[nearest]
        places.append(np.nan_to_num(points[nearest, :2]))
        visibility.append(seen if known == rows or seen > 0 else np.nan)
    return np.array(places, np.float32), np.array(visibility, np.float32)


def answers(channel: Landmark, landmark: Landmark) -> bool:
    """Whether a network's channel covers a landmark: an unspecified level or side matches any."""
    return (
        channel.place == landmark.place
        and channel.level in ("", landmark.level)
        and channel.side in (None, landmark.side)
    )


def visibility_at(off_plane_mm: float, landmark: Landmark, thickness_mm: float) -> float:
    """The visibility of a landmark on a slice: 1 close to its plane, fading to 0 over FADING."""
    near_mm = NEAR_MM[landmark.place] + thickness_mm / 2
    start, end = FADING
    return float(np.clip((end - abs(off_plane_mm) / near_mm) / (end - start), 0, 1))


def one_sample(
    image: np.ndarray, spacing_mm: tuple[float, float], targets: tuple[np.ndarray, np.ndarray], person: int
) -> Pool:
    """Build a pool of one slice (H, W) uint8 with the places and visibility of its network's channels."""
    padded = np.zeros((POOL_PX, POOL_PX), np.uint8)
    height, width = image.shape
    top, left = (POOL_PX - height) // 2, (POOL_PX - width) // 2
    padded[top : top + height, left : left + width] = image
    places, visibility = targets
    moved = places + np.array([left, top], np.float32)
    spacing = np.array(spacing_mm, np.float32)
    return Pool(padded[None], spacing[None], moved[None], visibility[None], np.array([person], np.int64))


def _randomised(plane: Plane, anatomy: Anatomy, number: int, rng: np.random.Generator) -> Pool:
    drawn = draw_random_slice(anatomy, rng, plane=plane, px=POOL_PX)
    rows, cols = drawn.shown
    x, y, _ = drawn.points.T
    within = (x >= cols.start) & (x <= cols.stop - 1) & (y >= rows.start) & (y <= rows.stop - 1)
    image = (drawn.image * 255).round().byte().numpy()
    targets = channel_targets(plane, drawn.points, within, drawn.geometry.thickness_mm)
    return one_sample(image, drawn.geometry.spacing_mm, targets, number)


def _clinical(
    plane: Plane, anatomy: Anatomy, number: int, count: int, rng: np.random.Generator
) -> list[Pool]:
    """Draw at most `count` slices of one series of the plane, as a scanner images it."""
    plans = [
        plan
        for plan in plan_study(anatomy, size_named("demo"), 0, 0.0, rng)
        if (plan.sequence == AXIAL_T2) == (plane == "axial")
    ]
    plan = _thinned(plans[rng.integers(len(plans))], count, rng)
    places_mm = landmarks_mm(anatomy) + plan.motion_mm
    _, stacks = acquire(anatomy, plan, draw_scanner(rng), rng)
    return [
        sample
        for stack in prepare(list(stacks), POOL_PX)
        for sample in stack_samples(plane, stack, places_mm, plan.plans[0].thickness_mm, number)
    ]


def stack_samples(
    plane: Plane, stack: Stack, places_mm: np.ndarray, thickness_mm: float, person: int
) -> list[Pool]:
    """Build a pool of one from each slice of a stack, with targets from places (27, 3) of LANDMARKS."""
    samples = []
    for index, image in enumerate(stack.pixels):
        points, within = slice_points(stack, index, places_mm)
        targets = channel_targets(plane, points, within, thickness_mm)
        samples.append(one_sample(image, stack.spacing_mm, targets, person))
    return samples


def slice_points(stack: Stack, index: int, places_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x, y and off_plane_mm (n, 3) of patient positions (n, 3) on a slice, and a mask (n,) of those in it."""
    way = places_mm - stack.origins_mm[index]
    directions = (stack.row_direction, stack.column_direction, stack.normal)
    points = way @ np.stack(directions, axis=1) / [stack.spacing_mm[1], stack.spacing_mm[0], 1]
    height, width = stack.pixels.shape[1:]
    within = (points[:, :2] >= 0).all(axis=1) & (points[:, :2] <= [width - 1, height - 1]).all(axis=1)
    return points, within


def _thinned(plan: SeriesPlan, count: int, rng: np.random.Generator) -> SeriesPlan:
    """Reduce a series to `count` random slices, so that no others need to be imaged."""
    counts = [len(part.centres_mm) for part in plan.plans]
    kept = np.isin(np.arange(sum(counts)), rng.permutation(sum(counts))[:count])
    plans = tuple(
        replace(part, centres_mm=part.centres_mm[own])
        for part, own in zip(plan.plans, np.split(kept, np.cumsum(counts)[:-1]))
        if own.any()
    )
    return replace(plan, plans=plans, numbers=np.arange(1, kept.sum() + 1))
