"""Plan the series of a study, and the stacks of each.

Rates are those of the competition's tables (docs/facts.md, 2); values without a figure there are typical of
lumbar protocols and chosen by eye.
"""

from dataclasses import dataclass, replace

import numpy as np

from kitlib.phantom.body.anatomy import Anatomy
from kitlib.phantom.scan.prescription import (
    MOTION_MM,
    Plan,
    Size,
    Targets,
    prescribe_blocks,
    prescribe_sagittal,
    prescribe_stack,
)
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES

STUDIES = 1975
COUNT_RATES = {  # share of studies with one, two, ... series of a sequence
    SAGITTAL_T1: np.array([1968, 7]) / STUDIES,
    SAGITTAL_T2: np.array([1975, 0]) / STUDIES,
    AXIAL_T2: np.array([1640, 306, 28, 1]) / STUDIES,
}
RIGHT_TO_LEFT_RATE = 0.64  # sagittal series numbered from the patient's right
HEAD_TO_FOOT_RATE = 1431 / 1629  # axial series numbered from the head
BLOCKS_RATE = 0.5
HALVES_RATE = 0.5  # of two axial series: an upper and a lower one, instead of blocks and a stack
REPEATED_RATE = 0.03  # of axial series: some slices were acquired again
REPEATED_SLICES = 5
MIXED_RATE = 0.03  # of axial series: two sizes of matrix
RENUMBERED_RATE = 0.05  # of series: instance numbers start late or have a gap
COPIED_RATE = 0.7  # of sagittal series planned as copies of the first


@dataclass(frozen=True, eq=False)
class SeriesPlan:
    """A series to acquire: one or more plans, and its instance numbers."""

    sequence: str
    plans: tuple[Plan, ...]
    ascending: bool  # whether numbers increase along the stacks
    motion_mm: np.ndarray  # (3,) of the patient since the first series
    numbers: np.ndarray  # (slices,) int64, increasing

    def instance_numbers(self) -> list[np.ndarray]:
        """Return the numbers (N,) of each plan's slices."""
        numbers = self.numbers if self.ascending else self.numbers[::-1]
        return np.split(numbers, np.cumsum([len(plan.centres_mm) for plan in self.plans])[:-1])


def plan_study(
    anatomy: Anatomy, size: Size, uncovered: int, missing_rate: float, rng: np.random.Generator
) -> list[SeriesPlan]:
    """Plan the series of a study, in the order of SEQUENCES.

    The axial ones omit the `uncovered` upper levels; `missing_rate` is the probability that one sequence, any
    of the three with equal probability, was not acquired.
    """
    targets = Targets.of(anatomy)
    counts = {name: 1 + int(rng.choice(len(rates), p=rates)) for name, rates in COUNT_RATES.items()}
    missing = rng.choice(SEQUENCES) if rng.random() < missing_rate else None
    planned: list[tuple[str, list[Plan]]] = []
    for sequence in SEQUENCES:
        if sequence == AXIAL_T2:
            found = _axial_series(targets, size, uncovered, counts[sequence], rng)
        else:
            found = [[prescribe_sagittal(targets, size, rng)] for _ in range(counts[sequence])]
        planned += [(sequence, plans) for plans in found if sequence != missing]
    _copy_sagittal(planned, rng)
    return [_series(sequence, plans, order > 0, rng) for order, (sequence, plans) in enumerate(planned)]


def _series(sequence: str, plans: list[Plan], later: bool, rng: np.random.Generator) -> SeriesPlan:
    """Combine plans into one series, with instance numbers and, unless it is the first, patient motion."""
    ascending = rng.random() < (1 - HEAD_TO_FOOT_RATE if sequence == AXIAL_T2 else RIGHT_TO_LEFT_RATE)
    again = _repeated(plans, rng) if sequence == AXIAL_T2 else []
    plans = [*plans, *again] if ascending else [*again, *plans]  # repeats get the last numbers either way
    numbers = np.arange(1, sum(len(plan.centres_mm) for plan in plans) + 1)
    if rng.random() < RENUMBERED_RATE:
        first = 0 if rng.random() < 0.5 else int(rng.integers(1, len(numbers)))
        numbers[first:] += rng.integers(1, 40)
    way = rng.normal(size=3)
    motion = later * rng.uniform(0, MOTION_MM) * way / np.linalg.norm(way)
    return SeriesPlan(sequence, tuple(plans), bool(ascending), motion, numbers)


def _copy_sagittal(planned: list[tuple[str, list[Plan]]], rng: np.random.Generator) -> None:
    """Give most of the later sagittal series the slices of the first one, but their own matrix."""
    first = planned[0][1][0]
    for sequence, plans in planned[1:]:
        if sequence != AXIAL_T2 and rng.random() < COPIED_RATE:
            plans[0] = replace(first, px_mm=plans[0].px_mm, shape=plans[0].shape)


def _axial_series(
    targets: Targets, size: Size, uncovered: int, count: int, rng: np.random.Generator
) -> list[list[Plan]]:
    """Plan each axial series; of several, either halves or whole ones come first."""
    wholes = [prescribe_blocks(targets, size, uncovered, rng), prescribe_stack(targets, size, uncovered, rng)]
    if rng.random() >= BLOCKS_RATE:
        wholes.reverse()
    if count == 1:
        series = wholes[:1]
    elif rng.random() < HALVES_RATE:
        series = [*_halves(wholes[0]), *wholes[::-1]][:count]
    else:
        series = [*wholes, *_halves(wholes[0])][:count]
    return [_mixed(plans, rng) for plans in series]


def _halves(plans: list[Plan]) -> list[list[Plan]]:
    """Split an axial series into a lower and an upper one; halves of a single stack overlap by two slices."""
    if len(plans) > 1:
        return [plans[: len(plans) // 2], plans[len(plans) // 2 :]]
    centres = plans[0].centres_mm
    middle = len(centres) // 2
    parts = centres[: middle + 1], centres[middle - 1 :]
    return [[replace(plans[0], centres_mm=part)] for part in parts]


def _mixed(plans: list[Plan], rng: np.random.Generator) -> list[Plan]:
    """Sometimes give one block another matrix."""
    if len(plans) == 1 or rng.random() >= MIXED_RATE / BLOCKS_RATE:
        return plans
    one = int(rng.integers(len(plans)))
    px = plans[one].shape[1] * 3 // 4
    view_mm = plans[one].px_mm * plans[one].shape[1]
    return [*plans[:one], replace(plans[one], shape=(px, px), px_mm=view_mm / px), *plans[one + 1 :]]


def _repeated(plans: list[Plan], rng: np.random.Generator) -> list[Plan]:
    """Sometimes return some slices of a plan to acquire again."""
    if rng.random() >= REPEATED_RATE:
        return []
    plan = plans[int(rng.integers(len(plans)))]
    start = int(rng.integers(max(1, len(plan.centres_mm) - REPEATED_SLICES)))
    return [replace(plan, centres_mm=plan.centres_mm[start : start + REPEATED_SLICES])]
