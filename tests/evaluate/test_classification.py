"""Accuracy, macro-F1 and macro AUC-ROC of every cell."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from kitlib.competition.submission import to_array, to_rows
from kitlib.errors import SubmissionError
from kitlib.evaluate.classification import (
    auc_by_fold,
    binned_rates,
    confusion_counts,
    labelled_cells,
    per_cell,
    worst_cells,
)
from kitlib.terms import CELLS, EMPTY, PROBABILITIES
from tests.competition.builders import make_labels, make_predictions


def test_one_row_for_each_cell_in_order():
    labels = make_labels(30)
    measures = per_cell(labels, make_predictions(labels.index))
    assert measures.columns.tolist() == ["condition", "level", "n", "accuracy", "macro_f1", "macro_auc"]
    assert list(zip(measures.condition, measures.level)) == [tuple(cell) for cell in CELLS]
    assert measures["n"].tolist() == (labels != EMPTY).sum().tolist()


def test_the_truth_is_perfect_and_chance_is_a_half():
    labels = make_labels(400, empty=0)
    truth = to_rows(labels.index, np.eye(3)[labels.to_numpy()])
    assert (per_cell(labels, truth)[["accuracy", "macro_f1", "macro_auc"]] == 1).all(axis=None)
    uniform = to_rows(labels.index, np.full((len(labels), 25, 3), 1 / 3))
    assert (per_cell(labels, uniform)["macro_auc"] == 0.5).all()


def test_a_cell_by_hand():
    labels = make_labels(5, empty=0)
    labels.iloc[:, 0] = np.array([0, 0, 1, 2, EMPTY], np.int8)
    probabilities = to_array(labels.index, make_predictions(labels.index))
    probabilities[:, 0] = [(0.8, 0.1, 0.1), (0.2, 0.7, 0.1), (0.3, 0.6, 0.1), (0.1, 0.2, 0.7), (0, 0, 1)]
    row = per_cell(labels, to_rows(labels.index, probabilities)).iloc[0]
    assert row["n"] == 4
    assert row["accuracy"] == 3 / 4
    assert row["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    one_vs_rest = [
        roc_auc_score([1, 1, 0, 0], [0.8, 0.2, 0.3, 0.1]),
        roc_auc_score([0, 0, 1, 0], [0.1, 0.7, 0.6, 0.2]),
        1,
    ]
    assert row["macro_auc"] == pytest.approx(np.mean(one_vs_rest))


def test_the_auc_of_folds_does_not_see_that_their_priors_differ():
    labels = make_labels(400, empty=0)
    folds = pd.Series(np.arange(len(labels)) % 2, index=labels.index)
    constant = np.array([[0.8, 0.1, 0.1], [0.2, 0.4, 0.4]])[folds]  # what sees no image, fitted twice
    blind = to_rows(labels.index, np.repeat(constant[:, None], len(CELLS), axis=1))
    assert auc_by_fold(labels, blind, folds) == 0.5
    assert per_cell(labels, blind)["macro_auc"].mean() != 0.5
    seen = make_predictions(labels.index)
    parts = [per_cell(labels[folds == fold], seen)["macro_auc"].mean() for fold in (0, 1)]
    assert auc_by_fold(labels, seen, folds) == pytest.approx(np.mean(parts))


def test_a_fold_without_a_cell_of_all_severities_has_no_auc():
    labels = make_labels(6, empty=0)
    labels.iloc[:3] = 0
    folds = pd.Series([0, 0, 0, 1, 1, 1], index=labels.index)
    seen = make_predictions(labels.index)
    assert auc_by_fold(labels, seen, folds) == per_cell(labels[3:], seen)["macro_auc"].mean()
    assert np.isnan(auc_by_fold(labels[:3], seen, folds[:3]))


def test_undefined_measures_are_nan_without_warning():
    labels = make_labels(6, empty=0)
    labels.iloc[:, 0] = EMPTY
    labels.iloc[:, 1] = 0
    labels.iloc[:, 2] = np.array([0, 0, 1, 1, 0, 1], np.int8)
    measures = per_cell(labels, make_predictions(labels.index))
    assert measures.loc[0, ["accuracy", "macro_f1", "macro_auc"]].isna().all()
    assert measures.loc[1:2, "macro_auc"].isna().all()
    assert measures.loc[1:2, ["accuracy", "macro_f1"]].notna().all(axis=None)
    nothing = per_cell(labels.iloc[:0], make_predictions([]))
    assert nothing["n"].tolist() == [0] * 25


def test_rows_are_joined_by_row_id_normalised_and_unchanged():
    labels = make_labels(20)
    predictions = make_predictions(labels.index)
    scaled = predictions.sample(frac=1, random_state=0) * 3
    before = scaled.copy()
    pd.testing.assert_frame_equal(per_cell(labels, scaled), per_cell(labels, predictions))
    pd.testing.assert_frame_equal(scaled, before)
    with pytest.raises(SubmissionError, match="have no prediction"):
        per_cell(labels, predictions[50:])


def test_only_labelled_and_predicted_cells_are_there_whatever_the_order():
    labels = make_labels(5)
    predictions = make_predictions(labels.index)
    cells = labelled_cells(predictions, labels)
    assert len(cells) == (labels != EMPTY).to_numpy().sum()
    shuffled = labelled_cells(predictions.sample(frac=1, random_state=1), labels.iloc[::-1])
    assert shuffled["label"].value_counts().equals(cells["label"].value_counts())
    assert len(labelled_cells(predictions, labels.iloc[:2])) == (labels.iloc[:2] != EMPTY).to_numpy().sum()


def test_rows_are_normalised_and_inputs_stay():
    labels = make_labels(2)
    predictions = make_predictions(labels.index) * 3
    before = predictions.copy()
    cells = labelled_cells(predictions, labels)
    np.testing.assert_allclose(cells[list(PROBABILITIES)].sum(axis=1), 1)
    assert predictions.equals(before)
    assert labelled_cells(predictions.iloc[:0], labels).empty


def test_confusion_counts_every_labelled_cell_once_in_the_row_of_its_label():
    labels = make_labels(6)
    cells = labelled_cells(make_predictions(labels.index), labels)
    counts = confusion_counts(cells)
    assert counts.sum(axis=1).tolist() == [(labels == code).to_numpy().sum() for code in range(3)]
    likeliest = cells[list(PROBABILITIES)].to_numpy().argmax(axis=1)
    assert counts.sum(axis=0).tolist() == [(likeliest == code).sum() for code in range(3)]


def test_bins_hold_equally_many_and_keep_the_means():
    random = np.random.default_rng(0)
    said = random.random(1000)
    came_true = random.random(1000) < said
    means, rates = binned_rates(said, came_true, 10)
    assert len(means) == 10
    assert (np.diff(means) > 0).all()
    np.testing.assert_allclose(means, rates, atol=0.15)
    assert means.mean() == pytest.approx(said.mean())
    assert len(binned_rates(said[:3], came_true[:3], 10)[0]) == 3


def test_the_worst_cells_are_one_a_study_and_the_costliest_first():
    labels = make_labels(12)
    predictions = make_predictions(labels.index)
    worst = worst_cells(labels, predictions, 5)
    assert len(worst) == 5
    assert worst["study_id"].is_unique
    assert worst["loss"].is_monotonic_decreasing
    array, codes = to_array(labels.index, predictions), labels.to_numpy()
    array = array / array.sum(axis=2, keepdims=True)
    costs = np.zeros(codes.shape)
    for study, cell in np.argwhere(codes != EMPTY):
        costs[study, cell] = -(2.0 ** codes[study, cell]) * np.log(array[study, cell, codes[study, cell]])
    np.testing.assert_allclose(worst["loss"], np.sort(costs.max(axis=1))[::-1][:5])
    for row in worst.to_dict("records"):
        assert codes[labels.index.get_loc(row["study_id"]), row["cell"]] == row["severity"]
