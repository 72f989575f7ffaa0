"""The conditions of the robustness test of a finished run: what is changed in each study."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from kitlib.evaluate.robustness import UNTOUCHED
from kitlib.localise.geometry import SPINE
from kitlib.localise.points import Located, canal_of, displaced
from kitlib.mri.study import Study
from kitlib.prepare.altered import relaid_study, without_axial_above, worse_study
from kitlib.prepare.perturb import GREY_STRENGTHS
from kitlib.terms import SEQUENCES, level2text

SEED = 2024
WORSE = ("noise", "bias")
DISPLACED_MM = (2.0, 5.0, 10.0, 15.0, 20.0)
FIRST_COVERED = ("l3_l4", "l4_l5")
LAYOUTS = {
    "turned by 90 degrees": {"swapped": True, "flip_rows": True},
    "turned by 180 degrees": {"flip_rows": True, "flip_columns": True},
    "mirrored": {"flip_columns": True},
}


@dataclass(frozen=True, eq=False)
class Subject:
    """A prepared study, with the landmarks found in it unchanged."""

    study: Study
    located: Located

    @property
    def rng(self) -> np.random.Generator:
        """A generator that draws the same under every condition, so that only the strength differs."""
        return np.random.default_rng([SEED, self.study.study_id])

    @cached_property
    def canal_mm(self) -> dict[str, np.ndarray]:
        """The canal points (3,) by level."""
        return canal_of(self.located.points)


@dataclass(frozen=True)
class Condition:
    """One change to a study, or to its landmarks alone, which affects only models that read crops."""

    name: str
    change: Callable[[Subject], Study] = lambda subject: subject.study
    displaced_mm: float = 0.0

    def displaced(self, subject: Subject) -> Located:
        """The subject's landmarks, each displaced by `displaced_mm`."""
        return displaced(subject.located, self.displaced_mm, subject.rng)


def removed(gone: tuple[str, ...]) -> Condition:
    """A condition without these sequences."""
    return Condition(f"without {' and '.join(gone)}", lambda subject: subject.study.without(gone))


def covered_from(level: str) -> Condition:
    """A condition without axial slices above the midpoint between a level and the next one up.

    A study in which either level was not found is left unchanged.
    """

    def change(subject: Subject) -> Study:
        around = (level, SPINE[SPINE.index(level) - 1])
        points_mm = [subject.canal_mm[name] for name in around if name in subject.canal_mm]
        if len(points_mm) < len(around):
            return subject.study
        return without_axial_above(subject.study, np.mean(points_mm, axis=0))

    return Condition(f"axial slices from {level2text[level]} down", change)


def worsened(name: str, strength: float) -> Condition:
    """A condition with the grey values of every slice degraded as in `prepare.perturb`."""
    return Condition(
        f"{name} {strength:g}", lambda subject: worse_study(subject.study, name, strength, subject.rng)
    )


def relaid(name: str) -> Condition:
    """A condition with slices stored in another orientation before preparation, and geometry to match."""
    return Condition(name, lambda subject: relaid_study(subject.study, **LAYOUTS[name]))


CONDITIONS = (
    Condition(UNTOUCHED),
    *(removed(gone) for count in (1, 2) for gone in combinations(SEQUENCES, count)),
    *(covered_from(level) for level in FIRST_COVERED),
    *(Condition(f"landmarks off by {far_mm:g} mm", displaced_mm=far_mm) for far_mm in DISPLACED_MM),
    *(worsened(name, strength) for name in WORSE for strength in GREY_STRENGTHS[name] if strength),
    *map(relaid, LAYOUTS),
)
"""All conditions; the first changes nothing."""
