"""Cases: each damage at each dose, determined by the seed alone."""

import kitlib.faults.kinds  # noqa: F401 - registers the damages
from kitlib.faults.cases import OTHERS, PAIRS, STORM, STORMS, all_at_once, combined_cases, doses, single_cases
from kitlib.faults.registry import DAMAGES

STUDIES = range(100, 160)
SOME = [*DAMAGES.values()][:4]


def test_doses_are_one_study_a_tenth_and_a_third():
    assert doses(60) == (1, 6, 20)
    assert doses(8) == (1, 3)


def test_each_damage_comes_alone_at_each_dose_beside_untouched_studies():
    cases = list(single_cases(STUDIES, SOME, 1))
    assert [(case.name, len(case.damages)) for case in cases] == [
        (damage.name, dose) for damage in SOME for dose in doses(len(STUDIES))
    ]
    for case in cases:
        assert set(case.damages.values()) == {(DAMAGES[case.name],)}
        assert len(case.others) == OTHERS
        assert len(set(case.studies)) == len(case.studies)
        assert set(case.studies) <= set(STUDIES)


def test_pairs_and_storms_are_several_damages_of_a_study():
    cases = list(combined_cases(STUDIES, [*DAMAGES.values()], 1))
    assert [case.name for case in cases] == ["pairs"] * PAIRS + ["storms"] * STORMS
    for case in cases:
        assert {len(set(several)) for several in case.damages.values()} == {
            2 if case.name == "pairs" else STORM
        }


def test_the_seed_decides():
    first, again, other = (list(combined_cases(STUDIES, SOME * 2, seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_all_at_once_gives_each_damage_a_study_of_its_own():
    case = all_at_once(STUDIES, SOME)
    assert [*case.damages.values()] == [(damage,) for damage in SOME]
    assert sorted(case.studies) == list(STUDIES)
