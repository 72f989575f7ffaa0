"""Openings of the canal, the recesses and the foramina in millimetres, and their severities."""

from dataclasses import dataclass

import numpy as np

from kitlib.terms import LEVELS, Group

# At or below the first number a place is moderate, at or below the second severe; the third is the minimum.
# 100 mm2: Schonstrom, Spine 1985; 10 mm: Verbiest, J Bone Joint Surg 1954; these and others in use: Steurer,
# BMC Musculoskelet Disord 2011.
SAC_AREA_MM2 = (100.0, 70.0, 20.0)
SAC_DEPTH_MM = (10.0, 7.5, 3.5)
RECESS_DEPTH_MM = (3.6, 2.0, 0.3)  # Strojnik, in Steurer's review; Ciric, J Neurosurg 1980
# A root is no longer surrounded by fat if less than a millimetre is left on either side of it, and has no fat
# if the foramen is as narrow as the root (Wildermuth, Radiology 1998; Lee, AJR 2010).
FAT_BESIDE_ROOT_MM = (2.0, 0.0, -3.6)
# Normal adults, L1/L2 to L5/S1, rounded to typical values: the sac is smaller at L5/S1, with more fat around.
NORMAL_AREA_MM2 = np.array([168.0, 168.0, 168.0, 164.0, 133.0])
NORMAL_DEPTH_MM = np.array([15.0, 15.0, 15.0, 14.7, 12.8])
NORMAL_RECESS_MM = np.array([7.4, 7.4, 7.2, 7.0, 6.8])
NORMAL_FORAMEN_MM = np.array([9.8, 10.2, 10.6, 10.6, 10.4])
ROOT_MM = np.array([4.4, 4.8, 5.2, 5.6, 6.0])  # diameters of the roots L1 to L5 in their foramina
SPARE = 1.15  # the narrowest normal opening, as a multiple of the moderate threshold


@dataclass(frozen=True, eq=False)
class Openings:
    """Openings at each level, and those without degeneration; sides are left, right."""

    area_mm2: np.ndarray  # (5,) cross-section of the dural sac
    depth_mm: np.ndarray  # (5,) of the sac, front to back in the midline
    recess_mm: np.ndarray  # (5, 2) depth
    foramen_mm: np.ndarray  # (5, 2) from front to back at the root
    root_mm: np.ndarray  # (5,) diameter of a free root in its foramen
    normal_area_mm2: np.ndarray  # (5,)
    normal_depth_mm: np.ndarray  # (5,)
    normal_recess_mm: np.ndarray  # (5, 2)
    normal_foramen_mm: np.ndarray  # (5, 2)
    from_front: np.ndarray  # (5,) share of narrowing due to the disc; the rest is due to facets and flavum

    @property
    def lost_canal(self) -> np.ndarray:
        """Fraction (5,) of the sac's normal depth that is lost."""
        return 1 - self.depth_mm / self.normal_depth_mm

    @property
    def lost_recess(self) -> np.ndarray:
        """Fraction (5, 2) of the recesses' normal depth that is lost."""
        return 1 - self.recess_mm / self.normal_recess_mm

    @property
    def lost_foramen(self) -> np.ndarray:
        """Fraction (5, 2) of the foramina's normal width that is lost."""
        return 1 - self.foramen_mm / self.normal_foramen_mm


def draw_openings(grades: np.ndarray, rng: np.random.Generator) -> Openings:
    """Draw the openings for severities (25,): the person's own normal at 0, the thresholds at 1 and 2."""
    canal, *sides = grades.reshape(-1, len(LEVELS))
    foramen, recess = np.stack(sides[:2], axis=1), np.stack(sides[2:], axis=1)
    deep, wide, lateral, outlet = np.clip(rng.normal(1, [0.04, 0.03, 0.05, 0.04]), 0.92, 1.08)
    root_mm = ROOT_MM * np.clip(rng.normal(1, 0.03), 0.95, 1.05)
    depth = _at_least(NORMAL_DEPTH_MM * deep * _scatter(rng, 5), SAC_DEPTH_MM[0])
    area = _at_least(NORMAL_AREA_MM2 * deep * wide * _scatter(rng, 5), SAC_AREA_MM2[0])
    normal_recess = _at_least(NORMAL_RECESS_MM[:, None] * lateral * _scatter(rng, (5, 2)), RECESS_DEPTH_MM[0])
    limits_mm = root_mm[:, None, None] + np.array(FAT_BESIDE_ROOT_MM)  # (5, 1, 3)
    normal_foramen = _at_least(NORMAL_FORAMEN_MM[:, None] * outlet * _scatter(rng, (5, 2)), limits_mm[..., 0])
    return Openings(
        area_mm2=_narrowed(canal, area, SAC_AREA_MM2),
        depth_mm=_narrowed(canal, depth, SAC_DEPTH_MM),
        recess_mm=_narrowed(recess, normal_recess, RECESS_DEPTH_MM),
        foramen_mm=_narrowed(foramen, normal_foramen, limits_mm),
        root_mm=root_mm,
        normal_area_mm2=area,
        normal_depth_mm=depth,
        normal_recess_mm=normal_recess,
        normal_foramen_mm=normal_foramen,
        from_front=np.clip(rng.normal(0.52, 0.12, len(LEVELS)), 0.2, 0.8),
    )


def severity(group: Group, measures: dict[str, float]) -> int:
    """Return severity 0, 1 or 2 by the thresholds on a cell's measures: for a sac, by the worse of both."""
    if group == "spinal":
        return max(_passed(measures["area_mm2"], SAC_AREA_MM2), _passed(measures["depth_mm"], SAC_DEPTH_MM))
    if group == "foraminal":
        return _passed(measures["width_mm"] - measures["root_mm"], FAT_BESIDE_ROOT_MM)
    return _passed(measures["depth_mm"], RECESS_DEPTH_MM)


def _passed(measure: float, limits: tuple[float, ...]) -> int:
    return sum(measure <= limit for limit in limits[:2])


def _scatter(rng: np.random.Generator, shape: int | tuple[int, int]) -> np.ndarray:
    return np.clip(rng.normal(1, 0.015, shape), 0.97, 1.03)


def _at_least(normal: np.ndarray, moderate: float | np.ndarray) -> np.ndarray:
    return np.maximum(normal, SPARE * moderate)


def _narrowed(grade: np.ndarray, normal: np.ndarray, limits: tuple[float, ...] | np.ndarray) -> np.ndarray:
    """Convert grades in 0..3 to openings, piecewise linear between normal and the limits (..., 3)."""
    knots = np.concatenate([normal[..., None], np.broadcast_to(limits, (*normal.shape, 3))], axis=-1)
    below = np.clip(np.floor(grade), 0, 2).astype(int)[..., None]
    start, stop = (np.take_along_axis(knots, below + n, axis=-1)[..., 0] for n in (0, 1))
    return start + (stop - start) * (grade - below[..., 0])
