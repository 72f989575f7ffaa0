"""The person scanned: age, sex and stature, and their effects on fat, muscle and marrow."""

from dataclasses import dataclass

import numpy as np

FEMALE_RATE = 0.55  # typical of outpatients with back pain


@dataclass(frozen=True)
class Person:
    """Properties of the whole body."""

    age_years: float  # 20..90
    female: bool
    size: float  # of the skeleton, 1 is typical
    fat_mm: float  # subcutaneous, at the back
    muscle: float  # of the back and psoas muscles, 1 is typical
    fatty: float  # share of the back muscles replaced by fat, 0..0.6
    marrow_fat: float  # fat fraction of the lumbar marrow, 0.25..0.65


def draw_person(grades: np.ndarray, rng: np.random.Generator) -> Person:
    """Draw a person whose age rises with the mean of the grades (25,), which do not affect the random draws.

    Marrow fat rises from a quarter in the young to more than half in the old (Kugel, J Magn Reson Imaging
    2001), and fat replaces muscle with age (Crawford, Eur Spine J 2016); the other figures are typical.
    """
    lot = rng.standard_normal(5)
    female = bool(rng.random() < FEMALE_RATE)
    fat_mm = rng.gamma(4, 2.2)
    age = float(np.clip(34 + 34 * np.mean(grades) + 13 * lot[0], 20, 90))
    return Person(
        age_years=age,
        female=female,
        size=float(np.clip((0.965 if female else 1.04) + 0.04 * lot[1], 0.85, 1.16)),
        fat_mm=float(fat_mm + (3 if female else 0)),
        muscle=float(np.clip((0.93 if female else 1.07) - 0.002 * (age - 55) + 0.1 * lot[2], 0.65, 1.4)),
        fatty=float(np.clip(0.03 + 0.0055 * (age - 25) + 0.09 * lot[3], 0, 0.6)),
        marrow_fat=float(np.clip(0.27 + 0.0048 * (age - 20) + 0.05 * lot[4], 0.25, 0.65)),
    )
