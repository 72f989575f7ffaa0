import numpy as np
import pytest

from kitlib.report.figures import attention
from kitlib.terms import AXIAL_T2, CELLS, SEQUENCES, group2sequence
from tests.report.builders import SERIES, drawn, make_labels, make_landmarks, make_stack

series2sequence = {SERIES[group]: sequence for group, sequence in group2sequence.items()}


def stacks_of(_, series_id):
    return [make_stack(sequence=series2sequence[series_id])]


def make_looked(study_ids, weight_on):
    """All attention on one slice of every sequence."""
    weights = np.tile(np.eye(5)[weight_on], (25, 1))
    positions_mm = {
        sequence: [make_stack(sequence=sequence).centres_mm] * len(study_ids) for sequence in SEQUENCES
    }
    return attention.AttentionRecord(
        np.array(study_ids), [dict.fromkeys(SEQUENCES, weights)] * len(study_ids), positions_mm
    )


def test_an_annotated_slice_is_found_by_its_instance_number():
    points = make_landmarks(make_labels(1, empty=0))
    canal = points[points["condition"] == "spinal_canal_stenosis"]  # all on instance 2, the fourth slice
    assert attention.annotated_mm(canal, [make_stack()], group2sequence["spinal"]) == [2.0]
    assert attention.annotated_mm(canal.assign(instance_number=99), [make_stack()], AXIAL_T2) == []
    assert attention.annotated_mm(canal, [], AXIAL_T2) == []


def test_attention_on_the_annotated_slice_is_all_near_and_far_off_none():
    labels = make_labels(2, empty=0)
    points = make_landmarks(labels)
    canal = points[points["condition"] == "spinal_canal_stenosis"]
    there = attention.share_near_landmarks(make_looked([100, 101], 3), canal, stacks_of)
    away = attention.share_near_landmarks(make_looked([100, 101], 0), canal, stacks_of)
    assert len(there) == len(away) == 10
    assert (there["attention"] == 1).all()
    assert (away["attention"] == 0).all()
    assert there["even"].unique() == pytest.approx(
        3 / 5
    )  # the slice itself and one on either side, 4 mm apart


def test_other_studies_points_do_not_count():
    points = make_landmarks(make_labels(2, empty=0))
    near = attention.share_near_landmarks(make_looked([100], 3), points, stacks_of)
    assert near["study_id"].unique() == [100]
    assert set(near["group"]) == set(SERIES)


def test_one_cell_is_drawn_with_units_and_without_a_landmark():
    points = make_landmarks(make_labels(1, empty=0))
    texts = drawn(attention.plot_attention(make_looked([100], 3), 100, CELLS[3], points, stacks_of))
    assert {"attention weight", "right to left, x (mm)", "foot to head, z (mm)"} <= set(texts)
    assert drawn(attention.plot_attention(make_looked([100], 3), 100, CELLS[3], points.iloc[:0], stacks_of))


def test_missing_sequences_and_models_without_attention_say_so():
    nothing = (np.empty(0), np.empty(0))
    assert "not in this study" in drawn(attention.attention({AXIAL_T2: nothing}, {}, "A study"))
    assert drawn(attention.attention({}, {}, "")) == ["this model has no attention to show"]
