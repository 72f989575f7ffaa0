import numpy as np
import pandas as pd
import pytest

from kitlib.report.figures import tables as figures
from kitlib.terms import SEVERITIES
from tests.report.builders import drawn, make_labels, make_landmarks

CORRELATIONS = (figures.correlation, figures.pair_correlations, figures.side_level_correlations)


def test_prevalence_names_every_severity_and_its_axis():
    texts = drawn(figures.prevalence(make_labels()))
    assert {*SEVERITIES, "empty", "share of studies (%)", "L4/L5"} <= set(texts)


@pytest.mark.slow
@pytest.mark.parametrize("draw", CORRELATIONS)
def test_correlations_are_drawn_from_three_studies_on(draw):
    for studies in (3, 30):
        assert "rank correlation" in drawn(draw(make_labels(studies)))
    for studies in (0, 2):
        assert drawn(draw(make_labels(studies))) == ["a correlation needs three studies or more"]


def test_no_labels_say_so():
    assert drawn(figures.prevalence(make_labels(0))) == ["no labels"]


def test_a_table_of_one_severity_has_no_correlation_and_still_draws():
    figure = figures.pair_correlations(make_labels(5, empty=0) * 0)
    assert "rank correlation" in drawn(figure)
    assert {text.get_text() for axes in figure.axes for text in axes.texts} == {""}


def test_landmarks_are_counted_in_every_cell():
    labels = make_labels(4, empty=0)
    landmarks = make_landmarks(labels)
    texts = drawn(figures.landmark_counts(labels, landmarks))
    assert {"with a point", "label without a point", "point without a label", "4", "0"} <= set(texts)
    assert "3" in drawn(figures.landmark_counts(labels, landmarks.iloc[1:]))


@pytest.mark.parametrize("rows", [1, None])
def test_instances_have_a_panel_for_each_condition(rows):
    texts = drawn(figures.landmark_instances(make_landmarks(make_labels(4)).iloc[:rows]))
    assert {"series", "instances", "Spinal canal stenosis"} <= set(texts)


def test_no_landmarks_say_so():
    landmarks = make_landmarks(make_labels(1)).iloc[:0]
    assert drawn(figures.landmark_instances(landmarks)) == ["no landmarks"]
    assert drawn(figures.landmark_sides(landmarks)) == ["no pair of left and right points"]


def test_sides_say_their_units_and_the_share():
    texts = drawn(figures.landmark_sides(make_landmarks(make_labels(4))))
    assert "x of left - x of right (pixels)" in texts
    assert sum("100.0% above zero" in text for text in texts) == 2


def test_imputed_values_stand_beside_the_mean():
    truth = pd.DataFrame({"step_mm": [4.0, 5.0, 6.0, np.nan], "slices": [np.nan] * 4})
    texts = drawn(
        figures.imputation(truth, truth.fillna(1.0), truth.mean(), {"step_mm": "mm", "slices": "slices"})
    )
    assert "true (mm)" in texts
    assert "slices: none held out" in texts


def test_nothing_held_out_says_so():
    assert drawn(figures.imputation(pd.DataFrame(), pd.DataFrame(), pd.Series(), {"a": "mm"})) == [
        "no value was held out"
    ]
