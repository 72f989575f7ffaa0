import re

import numpy as np
import pandas as pd
import pytest

from kitlib.evaluate.embeddings import SliceTable, principal_map
from kitlib.report.figures import models as figures
from kitlib.terms import EMPTY, SEVERITIES
from tests.report.builders import drawn, make_labels, make_predictions

CURVES = ["experiment", "fold", "part", "epoch", "train_loss", "valid_loss"]
LABELS = make_labels(6)
PREDICTIONS = make_predictions(LABELS)


@pytest.mark.parametrize("experiments", [1, 4])
def test_learning_curves_draw_with_missing_losses(experiments):
    rows = [
        (f"model {k}", fold, "0", epoch, np.nan if epoch == 0 else 1 / epoch, 1.0)
        for k in range(experiments) for fold in range(2) for epoch in range(3)
    ]  # fmt: skip
    figure = figures.learning_curves(pd.DataFrame(rows, columns=CURVES))
    assert {"weighted log loss (nats)", *(f"model {k}" for k in range(experiments))} <= set(drawn(figure))
    lines = [len(axes.lines) for axes in figure.axes if axes.axison]
    assert lines == [
        4 + 2,
        *[4] * (experiments - 1),
    ]  # training and held-out loss of two folds; two for the legend


def test_no_curves_say_so():
    assert drawn(figures.learning_curves(pd.DataFrame(columns=CURVES))) == ["no model here learns in epochs"]


def panel_texts(figure):
    """The texts inside the panels, without titles and axes."""
    drawn(figure)
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_confusion_writes_shares_and_counts_that_add_up_to_the_labelled_cells():
    shuffled = PREDICTIONS.sample(frac=1, random_state=0)
    texts = panel_texts(figures.confusion(shuffled, LABELS))
    assert len(texts) == 3 * 9
    assert all(re.fullmatch(r"\d+%\n\d+", text) for text in texts)
    assert sum(int(text.split("\n")[1]) for text in texts) == (LABELS != EMPTY).to_numpy().sum()
    assert texts == panel_texts(figures.confusion(PREDICTIONS, LABELS))


def test_reliability_has_a_curve_for_each_prediction_and_severity():
    figure = figures.reliability({"before": PREDICTIONS, "after": PREDICTIONS}, LABELS)
    assert {"before", "after", "predicted probability"} <= set(drawn(figure))
    labels = [[line.get_label() for line in axes.lines[1:]] for axes in figure.axes]
    assert labels == [["before", "after"]] * 3


@pytest.mark.parametrize("labels", [LABELS.iloc[:0], LABELS * 0 + EMPTY], ids=["no study", "no label"])
def test_nothing_labelled_says_so(labels):
    assert drawn(figures.confusion(PREDICTIONS, labels)) == ["no labelled cell was predicted"]
    assert drawn(figures.reliability({"only": PREDICTIONS}, labels)) == ["no labelled cell was predicted"]


@pytest.mark.parametrize("rows", [2, 30])
def test_a_map_has_a_panel_for_each_colouring(rows):
    random = np.random.default_rng(0)
    severities = random.choice(SEVERITIES, rows)
    colours = {"severity": pd.Series(severities), "position (mm)": pd.Series(random.random(rows))}
    texts = drawn(figures.projection(principal_map(random.random((rows, 5))), colours, "A map"))
    assert {"A map", "coloured by severity", "coloured by position (mm)", *severities} <= set(texts)


def test_no_embedding_says_so():
    assert drawn(figures.projection(np.zeros((0, 2)), {}, "A map")) == ["no embedding to draw"]
    empty = SliceTable(np.zeros((0, 2)), pd.DataFrame({"group": [], "severity": []}))
    assert drawn(figures.severity_maps(empty)) == ["no annotated slice was embedded"]


def test_severities_have_a_map_for_each_group():
    groups = ["spinal"] * 4 + ["foraminal"] * 2
    facts = pd.DataFrame({"group": groups, "severity": [*SEVERITIES, *SEVERITIES]})
    texts = drawn(figures.severity_maps(SliceTable(np.random.default_rng(0).random((6, 3)), facts)))
    assert {"Spinal canal", "Neural foramen", *SEVERITIES} <= set(texts)
    assert "Subarticular" not in texts
