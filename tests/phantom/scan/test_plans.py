from collections import Counter

import numpy as np
import pytest

from kitlib.mri.stack import Stack
from kitlib.mri.study import Series
from kitlib.phantom.body.anatomy import Anatomy, draw_anatomy
from kitlib.phantom.scan.plans import MOTION_MM, Plan, SeriesPlan, plan_study
from kitlib.phantom.scan.prescription import SIZES, STEP_MM
from kitlib.terms import AXIAL_T2, CELLS, LEVELS, SEQUENCES, group2sequence


@pytest.fixture(scope="module")
def anatomies() -> list[Anatomy]:
    """Spines from healthy to severely degenerated."""
    return [
        draw_anatomy(np.full(len(CELLS), grade), np.random.default_rng(order))
        for order, grade in enumerate((0.2, 0.9, 1.5, 2.3, 0.5, 2.9))
    ]


def drawn(
    anatomies: list[Anatomy],
    studies: int,
    size: str = "demo",
    *,
    uncovered: int = 0,
    missing_rate: float = 0.0,
    seed: int = 0,
) -> list[list[SeriesPlan]]:
    rng = np.random.default_rng(seed)
    return [
        plan_study(anatomies[order % len(anatomies)], SIZES[size], uncovered, missing_rate, rng)
        for order in range(studies)
    ]


@pytest.fixture(scope="module")
def many(anatomies: list[Anatomy]) -> list[list[SeriesPlan]]:
    """The series of enough studies to count rare events."""
    return drawn(anatomies, 500)


def stack_of(plan: Plan, numbers: np.ndarray) -> Stack:
    """An empty stack at the planned position, relative to the anatomy's origin."""
    pixels = np.broadcast_to(np.float32(0), (len(plan.centres_mm), *plan.shape))
    directions = plan.row_direction, plan.column_direction
    spacing = (plan.px_mm, plan.px_mm)
    return Stack(pixels, plan.origins_mm, *directions, spacing, numbers, tuple(map(str, numbers)))


def stacks_of(series: SeriesPlan) -> list[Stack]:
    return [stack_of(*both) for both in zip(series.plans, series.instance_numbers(), strict=True)]


@pytest.mark.slow
def test_a_study_has_as_many_series_as_real_ones(many: list[list[SeriesPlan]]) -> None:
    order = [[series.sequence for series in study] for study in many[:400]]
    assert all(
        names == sorted(names, key=SEQUENCES.index) and set(names) == set(SEQUENCES) for names in order
    )
    axial = Counter(names.count(AXIAL_T2) for names in order)
    assert axial[2] / 400 == pytest.approx(306 / 1975, abs=0.04)
    assert set(axial) <= {1, 2, 3, 4}
    assert sum(len(names) - names.count(AXIAL_T2) > 2 for names in order) < 12


def test_any_sequence_may_be_missing(anatomies: list[Anatomy]) -> None:
    found = Counter(
        frozenset(series.sequence for series in study)
        for study in drawn(anatomies, 60, "smoke", missing_rate=1)
    )
    assert {len(names) for names in found} == {2}
    assert len(found) == 3


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("uncovered", [0, 2])
def test_every_covered_place_lies_within_slices(anatomies: list[Anatomy], size: str, uncovered: int) -> None:
    for order, study in enumerate(drawn(anatomies, 24, size, uncovered=uncovered)):
        anatomy = anatomies[order % len(anatomies)]
        for cell in CELLS:
            if cell.group == "subarticular" and LEVELS.index(cell.level) < uncovered:
                continue
            place = anatomy.place_mm(cell) - anatomy.at_mm
            assert any(
                Series(1, series.sequence, tuple(stacks_of(series))).slice_at(place + series.motion_mm)
                for series in study
                if series.sequence == group2sequence[cell.group]
            ), cell


def test_axial_slices_stay_below_the_uncovered_levels(anatomies: list[Anatomy]) -> None:
    for order, study in enumerate(drawn(anatomies, 24, uncovered=2)):
        anatomy = anatomies[order % len(anatomies)]
        for stack in (
            stack for series in study if series.sequence == AXIAL_T2 for stack in stacks_of(series)
        ):
            for level in range(2):
                assert anatomy.canal.middle(level) @ stack.normal > stack.positions_mm[-1] + 5


def test_planes_are_those_of_their_names(anatomies: list[Anatomy]) -> None:
    for study in drawn(anatomies, 12):
        for series in study:
            plane = "axial" if series.sequence == AXIAL_T2 else "sagittal"
            assert {stack.plane for stack in stacks_of(series)} == {plane}
            assert all(plan.sagittal == (plane == "sagittal") for plan in series.plans)


def test_the_patient_moves_a_little_after_the_first_series(many: list[list[SeriesPlan]]) -> None:
    studies = many[:60]
    assert not any(study[0].motion_mm.any() for study in studies)
    moved = [np.linalg.norm(series.motion_mm) for study in studies for series in study[1:]]
    assert 0 < min(moved) < max(moved) <= MOTION_MM


def test_instances_are_numbered_once_along_the_stacks_or_against_them(many: list[list[SeriesPlan]]) -> None:
    series = [one for study in many[:100] for one in study]
    unbroken = 0
    for one in series:
        numbers = np.concatenate(one.instance_numbers())
        assert len(set(numbers)) == len(numbers) == sum(len(plan.centres_mm) for plan in one.plans)
        assert numbers.min() > 0
        assert (np.diff(numbers) > 0).all() if one.ascending else (np.diff(numbers) < 0).all()
        unbroken += sorted(numbers) == list(range(1, len(numbers) + 1))
    assert 0.9 < unbroken / len(series) < 1
    from_head = [not one.ascending for one in series if one.sequence == AXIAL_T2]
    from_right = [one.ascending for one in series if one.sequence != AXIAL_T2]
    assert np.mean(from_head) == pytest.approx(0.88, abs=0.08)
    assert np.mean(from_right) == pytest.approx(0.64, abs=0.1)


def test_clinical_series_have_real_dimensions(anatomies: list[Anatomy]) -> None:
    series = [one for study in drawn(anatomies, 100, "clinical") for one in study]
    for one in series:
        slices = sum(len(plan.centres_mm) for plan in one.plans)
        low, high = (5, 192) if one.sequence == AXIAL_T2 else (8, 38)
        assert low <= slices <= high
        for plan in one.plans:
            assert 144 <= min(plan.shape) <= max(plan.shape) <= 1024
            if one.sequence != AXIAL_T2:
                step = np.linalg.norm(np.diff(plan.centres_mm, axis=0), axis=1)
                assert (step >= STEP_MM[0] - 1e-9).all()
                assert (step <= STEP_MM[1] + 1e-9).all()
    spacing = {
        sequence: np.mean([one.plans[0].px_mm for one in series if one.sequence == sequence])
        for sequence in SEQUENCES
    }
    assert list(spacing.values()) == pytest.approx([0.68, 0.65, 0.47], abs=0.1)


@pytest.mark.slow
def test_oddities_of_axial_series_are_rare(many: list[list[SeriesPlan]]) -> None:
    found: Counter[str] = Counter()
    axial = [one for study in many for one in study if one.sequence == AXIAL_T2]
    for one in axial:
        stacks = stacks_of(one)
        places = np.round(np.concatenate([stack.centres_mm for stack in stacks]), 3)
        steps = [np.diff(stack.positions_mm) for stack in stacks]
        _, which, times = np.unique(places, axis=0, return_inverse=True, return_counts=True)
        if again := len(places) - len(times):
            last = np.argsort(np.concatenate(one.instance_numbers()))[-again:]
            assert (times[which.ravel()[last]] == 2).all()
            found["repeated"] += 1
        found["sizes"] += len({plan.shape for plan in one.plans}) > 1
        found["gap"] += any(step.max() > 1.5 * np.median(step) for step in steps)
        found["oblong"] += one.plans[0].shape[0] < one.plans[0].shape[1]
        found["blocks"] += len(one.plans) > 2
    rates = {name: count / len(axial) for name, count in found.items()}
    assert all(0.005 < rates[name] < 0.06 for name in ("repeated", "sizes", "gap", "oblong"))
    assert 0.3 < rates["blocks"] < 0.6


def test_the_same_draws_give_the_same_plans(anatomies: list[Anatomy]) -> None:
    one, other = (drawn(anatomies, 6, seed=3) for _ in range(2))
    for ours, theirs in zip((s for study in one for s in study), (s for study in other for s in study)):
        assert np.array_equal(ours.numbers, theirs.numbers)
        assert all(np.array_equal(a.origins_mm, b.origins_mm) for a, b in zip(ours.plans, theirs.plans))
