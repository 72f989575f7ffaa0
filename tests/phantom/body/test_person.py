import numpy as np

from kitlib.phantom.body.person import Person, draw_person
from kitlib.phantom.labels import draw_grades


def people(grade: float, count: int = 300) -> list[Person]:
    return [draw_person(np.full(25, grade), np.random.default_rng(seed)) for seed in range(count)]


def test_the_seed_decides() -> None:
    assert people(0.5, 3) == people(0.5, 3)
    assert people(0.5, 3) != [
        draw_person(np.full(25, 0.5), np.random.default_rng(seed)) for seed in (7, 8, 9)
    ]


def test_the_worn_are_older_and_age_turns_muscle_and_marrow_to_fat() -> None:
    young, old = people(0.3), people(1.5)
    for name in ("age_years", "fatty", "marrow_fat"):
        assert all(getattr(b, name) >= getattr(a, name) for a, b in zip(young, old))
        assert np.mean([getattr(b, name) - getattr(a, name) for a, b in zip(young, old)]) > 0
    assert all(a.female == b.female and a.size == b.size for a, b in zip(young, old))


def test_grades_leave_the_lots_that_follow_as_they_were() -> None:
    after = []
    for grade in (0.1, 2.9):
        rng = np.random.default_rng(5)
        draw_person(np.full(25, grade), rng)
        after.append(rng.random())
    assert after[0] == after[1]


def test_people_are_within_bounds_and_men_larger() -> None:
    rng = np.random.default_rng(0)
    crowd = [draw_person(grades, rng) for grades in draw_grades(800, rng)]
    assert all(20 <= one.age_years <= 90 for one in crowd)
    assert all(0 <= one.fatty <= 0.6 and 0.25 <= one.marrow_fat <= 0.65 for one in crowd)
    assert 50 < np.median([one.age_years for one in crowd]) < 66
    assert 0.5 < np.mean([one.female for one in crowd]) < 0.6
    men, women = ([one.size for one in crowd if one.female is female] for female in (False, True))
    assert np.mean(men) > np.mean(women) + 0.04
