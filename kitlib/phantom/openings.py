"""How far the canal, the recesses and the foramina are open, in mm, as severity has it."""

from dataclasses import dataclass

import numpy as np

from kitlib.terms import LEVELS

SEVERITY_KNOTS = (0.0, 1.0, 2.0, 3.0)
# Fractions of a person's own normal opening. With some 16 mm of canal and 7.5 mm of recess they put moderate
# canals at 7.5-11.5 mm and moderate recesses at 2.5-5 mm, severe ones below: absolute stenosis is put at
# 10 mm (Verbiest, 1954) and a narrow recess at 3 mm (Ciric, J Neurosurg 1980); a foramen is severe when the
# fat around its root is gone (Lee, AJR 2010).
CANAL_OPEN = (1.0, 0.71, 0.46, 0.20)
RECESS_OPEN = (1.0, 0.64, 0.34, 0.05)
FORAMEN_OPEN = (1.0, 0.68, 0.36, 0.05)
WITHIN_CLASS = (
    0.8  # how much of its class a grade may use: borderline cells are rarer than even chance has it
)
JITTER = 0.07  # of anatomy, in grades


@dataclass(frozen=True, eq=False)
class Openings:
    """What is left open, as fractions of normal; sides are left, right."""

    canal: np.ndarray  # (5,)
    foramen: np.ndarray  # (5, 2)
    recess: np.ndarray  # (5, 2)
    from_front: np.ndarray  # (5,) share of narrowing that the disc makes; facets and flavum make the rest


def draw_openings(grades: np.ndarray, rng: np.random.Generator) -> Openings:
    """Openings of the continuous severities (25,) of a study."""
    whole = np.floor(grades)
    typical = whole + 0.5 + WITHIN_CLASS * (grades - whole - 0.5)
    grade = np.clip(typical + rng.normal(0, JITTER, grades.shape), 0, 3).reshape(-1, len(LEVELS))
    return Openings(
        canal=np.interp(grade[0], SEVERITY_KNOTS, CANAL_OPEN),
        foramen=np.interp(grade[1:3].T, SEVERITY_KNOTS, FORAMEN_OPEN),
        recess=np.interp(grade[3:5].T, SEVERITY_KNOTS, RECESS_OPEN),
        from_front=np.clip(rng.normal(0.52, 0.12, len(LEVELS)), 0.2, 0.8),
    )
