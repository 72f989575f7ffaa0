import numpy as np
import pandas as pd
import pytest

from kitlib.report.figures import models as figures
from kitlib.terms import EMPTY
from tests.report.builders import drawn, make_labels, make_predictions

CURVES = ["experiment", "fold", "part", "epoch", "train_loss", "valid_loss"]


@pytest.mark.parametrize("experiments", [0, 1, 4])
def test_learning_curves_draw_with_missing_losses(experiments):
    rows = [
        (f"model {k}", fold, "0", epoch, np.nan if epoch == 0 else 1 / epoch, 1.0)
        for k in range(experiments) for fold in range(2) for epoch in range(3)
    ]  # fmt: skip
    texts = drawn(figures.learning_curves(pd.DataFrame(rows, columns=CURVES)))
    assert "weighted log loss (nats)" in texts or texts == ["no model here learns in epochs"]


@pytest.mark.parametrize("studies", [0, 1, 12])
def test_figures_of_predictions_draw_without_a_warning(studies):
    labels = make_labels(studies)
    predictions = make_predictions(labels)
    assert drawn(figures.confusion(predictions, labels))
    assert drawn(figures.reliability({"before": predictions, "after": predictions}, labels))


def test_confusion_counts_labelled_cells_only_in_any_order_of_rows():
    labels = make_labels(6)
    predictions = make_predictions(labels).sample(frac=1, random_state=0)
    texts = drawn(figures.confusion(predictions, labels))
    labels[:] = EMPTY
    assert any(text.startswith("100%") or "%" in text for text in texts)
    assert drawn(figures.confusion(predictions, labels)) == ["no labelled cell was predicted"]


def test_bins_hold_equally_many_and_keep_the_means():
    random = np.random.default_rng(0)
    said = random.random(1000)
    came_true = random.random(1000) < said
    means, rates = figures.binned_rates(said, came_true, 10)
    assert len(means) == 10
    assert (np.diff(means) > 0).all()
    np.testing.assert_allclose(means, rates, atol=0.15)
    assert means.mean() == pytest.approx(said.mean())
    assert len(figures.binned_rates(said[:3], came_true[:3], 10)[0]) == 3
