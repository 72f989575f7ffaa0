import pytest

from kitlib.evaluate.attention import annotated_mm, share_near_landmarks
from kitlib.terms import AXIAL_T2, group2sequence
from tests.report.builders import SERIES, make_labels, make_landmarks, make_record, make_stack, stacks_of


def test_an_annotated_slice_is_found_by_its_instance_number():
    points = make_landmarks(make_labels(1, empty=0))
    canal = points[points["condition"] == "spinal_canal_stenosis"]  # all on instance 2, the fourth slice
    assert annotated_mm(canal, [make_stack()], group2sequence["spinal"]) == [2.0]
    assert annotated_mm(canal.assign(instance_number=99), [make_stack()], AXIAL_T2) == []
    assert annotated_mm(canal, [], AXIAL_T2) == []


def test_attention_on_the_annotated_slice_is_all_near_and_far_off_none():
    labels = make_labels(2, empty=0)
    points = make_landmarks(labels)
    canal = points[points["condition"] == "spinal_canal_stenosis"]
    there = share_near_landmarks(make_record([100, 101], 3), canal, stacks_of)
    away = share_near_landmarks(make_record([100, 101], 0), canal, stacks_of)
    assert len(there) == len(away) == 10
    assert (there["attention"] == 1).all()
    assert (away["attention"] == 0).all()
    assert there["even"].unique() == pytest.approx(
        3 / 5
    )  # the slice itself and one on either side, 4 mm apart


def test_other_studies_points_do_not_count():
    points = make_landmarks(make_labels(2, empty=0))
    near = share_near_landmarks(make_record([100], 3), points, stacks_of)
    assert near["study_id"].unique() == [100]
    assert set(near["group"]) == set(SERIES)
