"""The conditions under which a finished run is judged again: what is changed in each study."""

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
    """A prepared study with the landmarks found in it as it is."""

    study: Study
    located: Located

    @property
    def rng(self) -> np.random.Generator:
        """Draws that are the same under every condition: only their strength differs."""
        return np.random.default_rng([SEED, self.study.study_id])

    @cached_property
    def canal_mm(self) -> dict[str, np.ndarray]:
        """The canal's points (3,) by level."""
        return canal_of(self.located.points)


@dataclass(frozen=True)
class Condition:
    """One change of studies, or of the landmarks alone, which only models that read crops notice."""

    name: str
    change: Callable[[Subject], Study] = lambda subject: subject.study
    displaced_mm: float = 0.0

    def displaced(self, subject: Subject) -> Located:
        """The subject's landmarks, each off by `displaced_mm`."""
        return displaced(subject.located, self.displaced_mm, subject.rng)


def removed(gone: tuple[str, ...]) -> Condition:
    """Without these sequences."""
    return Condition(f"without {' and '.join(gone)}", lambda subject: subject.study.without(gone))


def covered_from(level: str) -> Condition:
    """Without axial slices that pass above the middle between a level and the one over it.

    A study in which neither is known stays as it is.
    """

    def change(subject: Subject) -> Study:
        around = (level, SPINE[SPINE.index(level) - 1])
        points_mm = [subject.canal_mm[name] for name in around if name in subject.canal_mm]
        if len(points_mm) < len(around):
            return subject.study
        return without_axial_above(subject.study, np.mean(points_mm, axis=0))

    return Condition(f"axial slices from {level2text[level]} down", change)


def worsened(name: str, strength: float) -> Condition:
    """With the greys of every slice made worse, as `prepare.perturb` says."""
    return Condition(
        f"{name} {strength:g}", lambda subject: worse_study(subject.study, name, strength, subject.rng)
    )


def relaid(name: str) -> Condition:
    """With slices that were stored otherwise, as their geometry says, when they were prepared."""
    return Condition(name, lambda subject: relaid_study(subject.study, **LAYOUTS[name]))


CONDITIONS = (
    Condition(UNTOUCHED),
    *(removed(gone) for count in (1, 2) for gone in combinations(SEQUENCES, count)),
    *(covered_from(level) for level in FIRST_COVERED),
    *(Condition(f"landmarks off by {far_mm:g} mm", displaced_mm=far_mm) for far_mm in DISPLACED_MM),
    *(worsened(name, strength) for name in WORSE for strength in GREY_STRENGTHS[name] if strength),
    *map(relaid, LAYOUTS),
)
"""All of them; the first changes nothing."""
