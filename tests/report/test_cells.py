import numpy as np

from kitlib.report.cells import labelled_cells
from kitlib.terms import EMPTY, PROBABILITIES
from tests.report.builders import make_labels, make_predictions


def test_only_labelled_and_predicted_cells_are_there_whatever_the_order():
    labels = make_labels(5)
    predictions = make_predictions(labels)
    cells = labelled_cells(predictions, labels)
    assert len(cells) == (labels != EMPTY).to_numpy().sum()
    shuffled = labelled_cells(predictions.sample(frac=1, random_state=1), labels.iloc[::-1])
    assert shuffled["label"].value_counts().equals(cells["label"].value_counts())
    assert len(labelled_cells(predictions, labels.iloc[:2])) == (labels.iloc[:2] != EMPTY).to_numpy().sum()


def test_rows_are_normalised_and_inputs_stay():
    labels = make_labels(2)
    predictions = make_predictions(labels) * 3
    before = predictions.copy()
    cells = labelled_cells(predictions, labels)
    np.testing.assert_allclose(cells[list(PROBABILITIES)].sum(axis=1), 1)
    assert predictions.equals(before)
    assert labelled_cells(predictions.iloc[:0], labels).empty
