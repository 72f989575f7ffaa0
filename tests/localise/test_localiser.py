import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from kitlib.errors import UsageError
from kitlib.localise.localiser import (
    AMBIGUOUS,
    FEW_LEVELS,
    NO_CANAL,
    NO_SAGITTAL,
    UNREADABLE,
    Localiser,
)
from kitlib.localise.network import build_network
from kitlib.localise.sagittal import DISAGREE
from kitlib.localise.sagittal import SURE as LEAST_SURE
from kitlib.mri.ledger import Ledger
from kitlib.terms import AXIAL_T2, LANDMARKS, SAGITTAL_T1, SAGITTAL_T2
from tests.localise.fakes import (
    NETWORKS,
    fake_reader,
    make_axial,
    make_canal,
    make_places,
    make_sagittal,
    make_study,
)

CANAL = make_canal(bend_mm=5.0)
PLACES = make_places(CANAL)
T1, T2, AXIAL = 11, 12, 13
SEQUENCES = {T1: SAGITTAL_T1, T2: SAGITTAL_T2, AXIAL: AXIAL_T2}
STACKS = {T1: [make_sagittal()], T2: [make_sagittal(count=13, step_mm=5.0)], AXIAL: [make_axial(CANAL)]}
STUDY = make_study(STACKS, SEQUENCES)
SURE = Localiser(NETWORKS, read=fake_reader(PLACES))


def place2points(located):
    return {place: [p for p in located.points if p.landmark.place == place] for place in place2series}


place2series = {"canal": T2, "foramen": T1, "recess": AXIAL}


def test_a_study_has_all_landmarks_on_the_sequences_that_grade_them():
    located = SURE.locate_study(STUDY)
    assert not located.abstained
    assert {point.landmark for point in located.points} == set(LANDMARKS)
    for point in located.points:
        assert np.linalg.norm(point.patient_mm - PLACES[point.landmark]) < 2.5
        assert point.series_id == place2series[point.landmark.place]
        assert 0.5 < point.confidence <= 1


def test_pixels_instances_and_millimetres_agree():
    points = SURE.locate_study(STUDY).points
    assert points
    for point in points:
        (stack,) = STACKS[point.series_id]
        (index,) = np.flatnonzero(stack.instance_numbers == point.instance_number)
        col, row, depth = stack.to_pixel(point.patient_mm)
        assert abs(depth - index) <= 0.51
        np.testing.assert_allclose([col, row], [point.x, point.y], atol=1e-6)


def test_sides_follow_the_patient_and_not_the_order_of_slices():
    located = SURE.locate_study(STUDY)
    both = place2points(located)["foramen"] + place2points(located)["recess"]
    assert len(both) == 20
    for point in both:
        left = point.patient_mm[0] > CANAL[point.landmark.level][0]
        assert point.landmark.side == ("left" if left else "right")


def test_other_orientations_of_the_same_slices_give_the_same_points():
    def turned(stack):
        last = stack.to_patient(stack.pixels.shape[2] - 1, 0, np.arange(len(stack)))
        return replace(
            stack,
            pixels=stack.pixels[:, :, ::-1],
            origins_mm=last,
            row_direction=-stack.row_direction,
        )

    before = SURE.locate_study(STUDY).points
    mirrored = {key: [turned(stack) for stack in stacks] for key, stacks in STACKS.items()}
    after = SURE.locate_study(make_study(mirrored, SEQUENCES))
    assert len(before) == len(after.points) > 0
    for one, other in zip(before, after.points):
        assert one.landmark == other.landmark
        np.testing.assert_allclose(one.patient_mm, other.patient_mm, atol=1e-6)


def test_a_single_mid_sagittal_slice_is_enough_for_the_canal():
    located = SURE.locate_study(make_study({5: [make_sagittal(count=1)]}))
    assert not located.abstained
    assert {point.landmark.level for point in located.points} == set(CANAL)
    assert {point.landmark.place for point in located.points} == {"canal"}


def test_a_far_lateral_slice_abstains_without_a_point():
    ledger = Ledger()
    located = SURE.locate_study(make_study({5: [make_sagittal(count=1, middle=(60.0, 0, 10))]}), ledger)
    assert (located.points, located.abstained, located.reason) == ((), True, NO_CANAL)
    assert [fault.code for fault in ledger] == ["landmarks.abstained"]


@pytest.mark.parametrize(
    ("stacks", "reason"),
    [({}, UNREADABLE), ({1: []}, UNREADABLE), ({1: [make_axial(CANAL)]}, NO_SAGITTAL)],
)
def test_without_sagittal_slices_there_is_no_count(stacks, reason):
    located = SURE.locate_study(make_study(stacks))
    assert (located.points, located.abstained, located.reason) == ((), True, reason)


def test_few_levels_are_no_count():
    few = {one: place for one, place in PLACES.items() if one.level in ("t12_l1", "l1_l2", "l2_l3")}
    located = Localiser(NETWORKS, read=fake_reader(few)).locate_study(STUDY)
    assert (located.points, located.reason) == ((), FEW_LEVELS)


def test_levels_that_end_above_the_sacrum_are_not_counted_on():
    above = {one: place for one, place in PLACES.items() if one.level not in ("l5_s1", "s1_s2")}
    located = Localiser(NETWORKS, read=fake_reader(above)).locate_study(STUDY)
    assert (located.abstained, located.reason) == (True, AMBIGUOUS)
    assert len(place2points(located)["canal"]) == 5
    assert all(point.confidence < 0.5 for point in located.points)


def test_a_network_of_two_minds_abstains_and_gives_its_guess_little_confidence():
    located = Localiser(NETWORKS, read=fake_reader(PLACES, mixed=0.7)).locate_study(STUDY)
    assert located.abstained
    assert located.reason == AMBIGUOUS
    assert located.points
    assert all(point.confidence < 0.9 for point in located.points)
    assert max(point.confidence for point in located.points) <= located.confidence < LEAST_SURE
    assert SURE.locate_study(STUDY).confidence >= LEAST_SURE


def by_series(t1, t2):
    """A reader that reads the T1 series, which has 15 slices, differently from the T2 series."""
    return lambda net, stack, *rest: (t1 if len(stack) == 15 else t2)(net, stack, *rest)


def test_series_that_count_differently_are_told_apart_or_abstained_from():
    right, wrong = fake_reader(PLACES), fake_reader(PLACES, step=1)
    located = Localiser(NETWORKS, read=by_series(wrong, right)).locate_study(STUDY)
    assert (located.abstained, located.reason) == (True, DISAGREE)
    torn = fake_reader(PLACES, mixed=0.55)
    for read in (by_series(torn, right), by_series(right, torn)):
        located = Localiser(NETWORKS, read=read).locate_study(STUDY)
        assert not located.abstained
        assert len(place2points(located)["canal"]) == len(CANAL)
        for point in place2points(located)["canal"]:
            assert np.linalg.norm(point.patient_mm - PLACES[point.landmark]) < 2.5


def test_series_that_agree_are_surer_together():
    mixed = Localiser(NETWORKS, read=fake_reader(PLACES, mixed=0.3))
    alone = place2points(mixed.locate_study(make_study({T2: STACKS[T2]})))["canal"]
    both = place2points(mixed.locate_study(STUDY))["canal"]
    assert min(point.confidence for point in both) > min(point.confidence for point in alone)


def test_recesses_without_an_axial_network_lie_at_the_mean_offset():
    only = Localiser({"sagittal": NETWORKS["sagittal"]}, read=fake_reader(PLACES))
    recesses = place2points(only.locate_study(STUDY))["recess"]
    assert len(recesses) == 10
    for point in recesses:
        assert np.linalg.norm(point.patient_mm - PLACES[point.landmark]) < 5
        assert point.confidence < 0.6


def test_what_was_not_found_is_filled_only_when_asked():
    nothing = Localiser(NETWORKS, read=fake_reader({}))
    assert nothing.locate_study(STUDY).points == ()
    ledger = Ledger()
    located = nothing.locate_study(make_study(STACKS, SEQUENCES, study_id=3), ledger, fill=True)
    assert {point.landmark for point in located.points} == set(LANDMARKS)
    assert {point.confidence for point in located.points} == {0.0}
    assert located.abstained
    assert {(fault.code, fault.study_id) for fault in ledger} == {
        ("landmarks.abstained", 3),
        ("landmarks.prior", 3),
    }
    canal = {one: place for one, place in PLACES.items() if one.place == "canal"}
    some = Localiser(NETWORKS, read=fake_reader(canal)).locate_study(STUDY, fill=True)
    for point in place2points(some)["foramen"]:
        assert point.confidence == 0
        assert np.linalg.norm(point.patient_mm - PLACES[point.landmark]) < 3


def test_an_array_needs_no_patient():
    stack = make_sagittal()
    moved = {one: place - stack.origins_mm[0] for one, place in PLACES.items()}
    located = Localiser(NETWORKS, read=fake_reader(moved)).locate_array(stack.pixels, 1.1)
    canal = [point for point in located.points if point.landmark.place == "canal"]
    for point in canal:
        col, row, depth = stack.to_pixel(PLACES[point.landmark])
        np.testing.assert_allclose([point.x, point.y], [col, row], atol=1.5)
        assert abs(point.instance_number - 1 - depth) <= 1
    assert json.loads(json.dumps(located.to_json()))["abstained"] is False
    lone = Localiser(NETWORKS, read=fake_reader({})).locate_array(np.zeros((64, 64)), 4.0)
    assert lone.reason == NO_CANAL


def test_an_untrained_network_invents_nothing():
    localiser = Localiser({"sagittal": build_network("sagittal").eval()})
    noise = np.random.default_rng(3).random((2, 90, 70))
    located = localiser.locate_array(noise, 3.0)
    assert located.abstained
    assert all(point.confidence < 0.9 for point in located.points)


def test_a_localiser_needs_a_sagittal_network():
    with pytest.raises(UsageError, match="sagittal"):
        Localiser({})


@pytest.mark.slow
def test_finding_landmarks_does_not_load_the_phantom():
    code = "import sys, kitlib.localise.localiser; print([name for name in sys.modules if 'phantom' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
