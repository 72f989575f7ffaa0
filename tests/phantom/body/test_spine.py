import json
from typing import Any

import numpy as np
import pytest

from kitlib.phantom.body.person import draw_person
from kitlib.phantom.body.spine import Spine, draw_spine
from kitlib.phantom.body.vertebrae import LUMBOSACRAL, VERTEBRAE, disc_of
from kitlib.phantom.labels import draw_grades
from kitlib.terms import CELLS, LEVELS

SPINES = 2000
GRADED = [disc_of(level) for level in LEVELS]


def spine_of(grades: np.ndarray, seed: int) -> Spine:
    rng = np.random.default_rng(seed)
    return draw_spine(draw_person(grades, rng), grades, rng)


@pytest.fixture(scope="module")
def spines() -> list[Spine]:
    grades = draw_grades(SPINES, np.random.default_rng(0))
    return [spine_of(one, seed) for seed, one in enumerate(grades)]


@pytest.fixture(scope="module")
def facts(spines: list[Spine]) -> list[dict[str, Any]]:
    return [spine.facts() for spine in spines]


def rate(found: list[Any]) -> float:
    return float(np.mean([bool(one) for one in found]))


def test_facts_are_json_and_the_seed_decides(facts: list[dict[str, Any]]) -> None:
    assert json.loads(json.dumps(facts[:50])) == facts[:50]
    grades = np.linspace(0.1, 2.5, len(CELLS))
    one, again, other = spine_of(grades, 3), spine_of(grades, 3), spine_of(grades, 4)
    places = [np.stack([v.frame.origin_mm for v in spine.vertebrae]) for spine in (one, again, other)]
    assert np.array_equal(places[0], places[1])
    assert not np.allclose(places[0], places[2])
    assert one.facts() == again.facts()


def test_findings_are_as_frequent_as_stated(facts: list[dict[str, Any]]) -> None:
    assert 0.05 < rate([one["transitional"] for one in facts]) < 0.09
    assert {one["transitional"] for one in facts} == {"", "lumbarised S1", "sacralised L5"}
    assert 0.01 < rate([one["metal"] for one in facts]) < 0.03
    assert 0.03 < rate([one["listhesis_mm"]["L4/L5"] for one in facts]) < 0.10
    assert 0.02 < rate([one["listhesis_mm"]["L5/S1"] for one in facts]) < 0.06
    assert 0.10 < rate([one["schmorl"] for one in facts]) < 0.20
    assert 0.02 < rate([one["fractures"] for one in facts]) < 0.08
    assert 0.03 < rate([one["haemangiomas"] for one in facts]) < 0.08
    assert 0.02 < rate([one["scoliosis_deg"] > 10 for one in facts]) < 0.09


def test_slips_have_their_levels_and_sizes(facts: list[dict[str, Any]]) -> None:
    slips = np.array([list(one["listhesis_mm"].values()) for one in facts])
    assert not slips[:, 0].any()
    assert (slips[:, 1:3] <= 0).all()
    assert slips[:, 1:3].min() > -4.01
    forward = slips[:, 3:][slips[:, 3:] != 0]
    assert forward.min() >= 3
    assert forward.max() <= 10


def test_slopes_are_those_of_adults(facts: list[dict[str, Any]]) -> None:
    slope, lordosis = (
        np.array([one[name] for one in facts]) for name in ("sacral_slope_deg", "lordosis_deg")
    )
    assert slope.min() > 11.9
    assert slope.max() < 76.1
    assert abs(slope.mean() - 34) < 1
    assert abs(lordosis.mean() - 44) < 3
    assert np.corrcoef(slope, lordosis)[0, 1] > 0.7


def test_modic_changes_go_with_wear(spines: list[Spine], facts: list[dict[str, Any]]) -> None:
    lower = np.array([[one["modic"][level] for level in ("L4/L5", "L5/S1")] for one in facts])
    worn = np.array([[spine.discs[disc].water < 0.5 for disc in GRADED[3:]] for spine in spines])
    assert 0.2 < (lower[worn] > 0).mean() < 0.4
    assert (lower[~worn] > 0).mean() < 0.1
    counts = np.bincount(lower.ravel(), minlength=4)
    assert counts[2] > counts[1] > counts[3] > 0


@pytest.mark.parametrize("level", LEVELS)
def test_wear_takes_height_and_water_of_its_own_disc_only(level: str) -> None:
    raised = np.array([2.7 if cell.level == level else 0.4 for cell in CELLS])
    for seed in range(10):
        fresh, worn = spine_of(np.full(len(CELLS), 0.4), seed), spine_of(raised, seed)
        own = disc_of(level)
        assert worn.discs[own].height_mm < 0.75 * fresh.discs[own].height_mm
        assert worn.discs[own].water < fresh.discs[own].water
        others = [disc for disc in GRADED if disc != own]
        for disc in others:
            assert worn.discs[disc].height_mm == fresh.discs[disc].height_mm
            assert worn.discs[disc].water == fresh.discs[disc].water
        assert [v.width_mm for v in worn.vertebrae] == [v.width_mm for v in fresh.vertebrae]
        assert worn.transitional == fresh.transitional
        assert worn.pathology.metal == fresh.pathology.metal


def test_wear_leaves_the_lots_that_follow_as_they_were() -> None:
    after = []
    for grade in (0.1, 2.9):
        rng = np.random.default_rng(5)
        grades = np.full(len(CELLS), grade)
        draw_spine(draw_person(grades, rng), grades, rng)
        after.append(rng.random())
    assert after[0] == after[1]


def test_counting_from_below_is_possible(spines: list[Spine]) -> None:
    """S1 is the first wedge, whatever is left of the disc below it, unless it is lumbarised."""
    s1, s2 = LUMBOSACRAL, LUMBOSACRAL - 1
    for spine in spines[:400]:
        lumbarised = spine.transitional == "lumbarised S1"
        assert (spine.vertebrae[s1].taper < 0.14) == lumbarised
        assert spine.discs[s2].extent == 1 or not lumbarised
        assert all(disc.extent == 1 for disc in spine.discs[s1:])
        heights = np.array([vertebra.frame.origin_mm[2] for vertebra in spine.vertebrae[s1:]])
        assert (np.diff(heights) > 4).all()
        assert len(spine.discs) == len(VERTEBRAE) - 1


def test_remnants_of_sacral_discs_are_anything_from_fused_to_well_formed(spines: list[Spine]) -> None:
    whole = [spine for spine in spines if not spine.transitional]
    heights_mm = np.array([[disc.height_mm for disc in spine.discs[:LUMBOSACRAL]] for spine in whole])
    low, high = np.quantile(heights_mm, (0.05, 0.95), axis=0)
    assert low[-1] < 1.3
    assert high[-1] > 5.5
    assert (np.diff(high) > 0).all()  # sacra fuse from below
