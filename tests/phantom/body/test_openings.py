import numpy as np
import pytest

from kitlib.phantom.body import openings
from kitlib.phantom.body.openings import Openings, draw_openings
from kitlib.terms import CELLS, Group


def drawn(grade: float, seed: int = 0) -> Openings:
    return draw_openings(np.full(len(CELLS), grade), np.random.default_rng(seed))


def measures(one: Openings) -> list[np.ndarray]:
    return [one.area_mm2, one.depth_mm, one.recess_mm, one.foramen_mm - one.root_mm[:, None]]


LIMITS = (
    openings.SAC_AREA_MM2,
    openings.SAC_DEPTH_MM,
    openings.RECESS_DEPTH_MM,
    openings.FAT_BESIDE_ROOT_MM,
)


@pytest.mark.parametrize("grade", [1, 2, 3])
def test_whole_grades_lie_at_the_thresholds(grade: int) -> None:
    for seed in range(5):
        for measure, limits in zip(measures(drawn(float(grade), seed)), LIMITS):
            np.testing.assert_allclose(measure, limits[grade - 1], atol=1e-9)


def test_what_is_normal_is_wider_than_moderate_in_everyone() -> None:
    for seed in range(300):
        one = drawn(0.0, seed)
        assert (one.area_mm2 > 1.1 * openings.SAC_AREA_MM2[0]).all()
        assert (one.depth_mm > 1.1 * openings.SAC_DEPTH_MM[0]).all()
        assert (one.recess_mm > 1.1 * openings.RECESS_DEPTH_MM[0]).all()
        assert (one.foramen_mm > 1.1 * (one.root_mm + openings.FAT_BESIDE_ROOT_MM[0])[:, None]).all()
        for lost in (one.lost_canal, one.lost_recess, one.lost_foramen):
            np.testing.assert_allclose(lost, 0, atol=1e-12)


def test_openings_fall_with_every_step_of_the_grade() -> None:
    for seed in range(3):
        ladder = [measures(drawn(grade, seed)) for grade in np.linspace(0, 2.99, 24)]
        for steps in zip(*ladder):
            assert (np.diff(steps, axis=0) < 0).all()


def test_lost_fractions_rise_towards_but_not_to_one() -> None:
    mild, worst = drawn(0.5), drawn(2.99)
    for name in ("lost_canal", "lost_recess", "lost_foramen"):
        low, high = getattr(mild, name), getattr(worst, name)
        assert (low > 0).all()
        assert (high > low + 0.3).all()
        assert (high < 1).all()


def test_a_persons_own_normal_does_not_depend_on_the_grades() -> None:
    first, second = drawn(0.2, seed=7), drawn(2.7, seed=7)
    for name in ("normal_area_mm2", "normal_depth_mm", "normal_recess_mm", "normal_foramen_mm", "from_front"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize(
    ("group", "measured", "expected"),
    [
        ("spinal", {"area_mm2": 150, "depth_mm": 14}, 0),
        ("spinal", {"area_mm2": 99, "depth_mm": 14}, 1),
        ("spinal", {"area_mm2": 150, "depth_mm": 7.0}, 2),
        ("subarticular", {"depth_mm": 3.7}, 0),
        ("subarticular", {"depth_mm": 3.5}, 1),
        ("subarticular", {"depth_mm": 1.9}, 2),
        ("foraminal", {"width_mm": 8.0, "root_mm": 5.0}, 0),
        ("foraminal", {"width_mm": 6.9, "root_mm": 5.0}, 1),
        ("foraminal", {"width_mm": 4.9, "root_mm": 5.0}, 2),
    ],
)
def test_thresholds(group: Group, measured: dict[str, float], expected: int) -> None:
    assert openings.severity(group, measured) == expected
