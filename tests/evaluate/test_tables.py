import numpy as np
import pandas as pd
import pytest

from kitlib.competition.root import find_root
from kitlib.evaluate import tables
from kitlib.mri.ledger import Fault, Ledger
from kitlib.terms import CELL_NAMES, CELLS, CONDITIONS, EMPTY, SEQUENCES
from tests.report.builders import make_labels, make_landmarks


def test_shares_of_a_cell_sum_to_one_and_count_empty_cells():
    labels = make_labels()
    shares = tables.severity_shares(labels)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares["empty"].sum() * len(labels) == pytest.approx((labels == EMPTY).to_numpy().sum())


def test_any_severe_counts_studies_with_a_labelled_canal_only():
    labels = make_labels(4, empty=0) * 0
    labels.loc[100, CELL_NAMES[0]] = 2
    labels.loc[101, CELL_NAMES[5]] = 2  # a foramen is no canal
    labels.loc[102, list(CELL_NAMES[:5])] = EMPTY
    assert tables.any_severe_rate(labels) == pytest.approx(1 / 3)
    assert np.isnan(tables.any_severe_rate(labels.iloc[:0]))


def test_correlation_leaves_empty_cells_out_and_constant_ones_undefined():
    labels = make_labels(40, empty=0)
    labels[CELL_NAMES[10]] = labels[CELL_NAMES[5]]  # right L1/L2 foramen as the left one
    labels.loc[100, CELL_NAMES[10]] = EMPTY
    labels[CELL_NAMES[1]] = 0
    correlation = tables.severity_correlation(labels)
    assert correlation.at[CELL_NAMES[5], CELL_NAMES[10]] == pytest.approx(1)
    assert correlation[CELL_NAMES[1]].isna().all()
    assert tables.side_correlation(correlation).iloc[0, 0] == pytest.approx(1)
    assert tables.level_correlation(correlation).shape == (len(CONDITIONS), 4)


def test_sides_across_levels_have_the_same_level_on_the_diagonal():
    correlation = tables.severity_correlation(make_labels(60))
    across = tables.side_level_correlation(correlation, "subarticular")
    same_level = tables.side_correlation(correlation).loc["Subarticular Stenosis"]
    np.testing.assert_array_equal(np.diag(across), same_level)
    left, right = "left_subarticular_stenosis_l4_l5", "right_subarticular_stenosis_l1_l2"
    assert across.at["L4/L5", "L1/L2"] == correlation.at[left, right]


def test_patterns_count_every_study_once():
    series = pd.DataFrame(
        {
            "study_id": [1, 1, 1, 2, 2, 2, 2, 3],
            "sequence": [*SEQUENCES, *SEQUENCES, SEQUENCES[2], SEQUENCES[0]],
        }
    )
    patterns = tables.series_patterns(series)
    assert patterns["studies"].sum() == 3
    assert patterns[list(SEQUENCES)].apply(tuple, axis=1).tolist().count((1, 1, 2)) == 1


def test_gaps_are_found_in_both_directions():
    labels = make_labels(3, empty=0)
    landmarks = make_landmarks(labels)
    labels.loc[100, CELL_NAMES[3]] = EMPTY  # its point stays
    landmarks = landmarks.drop(landmarks.index[-1])  # the last cell of the last study loses its point
    gaps = tables.landmark_gaps(labels, landmarks)
    assert gaps.loc[tuple(CELLS[3]), "point_without_label"] == gaps["point_without_label"].sum() == 1
    assert gaps.loc[tuple(CELLS[-1]), "label_without_point"] == gaps["label_without_point"].sum() == 1


def test_offsets_are_left_minus_right():
    landmarks = make_landmarks(make_labels(3, empty=0))
    for group in ("foraminal", "subarticular"):
        offsets = tables.side_offsets(landmarks, group)
        assert len(offsets) == 15
        assert (offsets["x"] == 4).all()
        assert (offsets["instance"] == 2).all()
    assert tables.side_offsets(landmarks.iloc[:0], "foraminal").empty


def test_faults_are_counted_by_code_and_action():
    ledger = Ledger([Fault("a", "dropped", 1), Fault("a", "dropped", 2), Fault("b", "kept")])
    counts = tables.fault_counts(ledger.table())
    assert counts.to_dict("list") == {
        "code": ["a", "b"],
        "action": ["dropped", "kept"],
        "times": [2, 1],
        "studies": [2, 0],
    }
    assert tables.fault_counts(Ledger().table()).empty


def test_holes_are_drawn_among_known_values_and_the_table_stays():
    table = pd.DataFrame(np.arange(200.0).reshape(50, 4), columns=list("abcd"))
    table.iloc[0, 0] = np.nan
    before = table.copy()
    holed, hidden = tables.with_holes(table, share=0.3, seed=1)
    pd.testing.assert_frame_equal(table, before)
    assert holed.isna().equals(hidden | table.isna())
    assert 0.2 < hidden.to_numpy().mean() < 0.4
    assert not hidden.iloc[0, 0]
    pd.testing.assert_frame_equal(hidden, tables.with_holes(table, share=0.3, seed=1)[1])


def test_holes_in_labels_are_empty_cells():
    labels = make_labels(20)
    holed, hidden = tables.with_holes(labels, share=0.2, seed=0, hole=EMPTY)
    assert (holed.dtypes == labels.dtypes).all()
    assert (holed.to_numpy()[hidden.to_numpy()] == EMPTY).all()
    assert not (hidden & (labels == EMPTY)).to_numpy().any()


@pytest.mark.slow
def test_real_tables_show_what_the_facts_say(real_dir):
    competition = find_root(real_dir / "tables")
    labels, landmarks = competition.train_labels(), competition.landmarks()
    shares = tables.severity_shares(labels)
    assert shares["empty"].sum() * len(labels) == pytest.approx(572)
    assert shares.loc[("spinal_canal_stenosis", "l4_l5"), "Severe"] * len(labels) == pytest.approx(255)
    assert tables.any_severe_rate(labels) == pytest.approx(0.185, abs=5e-4)
    assert tables.series_patterns(competition.series("train"))["studies"].tolist()[:3] == [1632, 304, 28]
    assert tables.landmark_gaps(labels, landmarks)["point_without_label"].sum() == 35
    assert (tables.side_offsets(landmarks, "foraminal")["instance"] > 0).mean() == pytest.approx(
        0.64, abs=0.005
    )


def test_errors_of_forest_and_mean():
    errors = tables.imputation_errors(pd.Series([1.0, 3.0]), pd.Series([1.0, 2.0]), 4.0)
    assert errors["forest"] == pytest.approx(0.5)
    assert errors["mean"] == pytest.approx(2.0)
