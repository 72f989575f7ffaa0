import numpy as np
import pandas as pd
import pytest

from kitlib.competition.metric import loss_by_level
from kitlib.evaluate.classification import per_cell
from kitlib.report.figures import scores as figures
from tests.report.builders import drawn, make_labels, make_predictions


def table(*names):
    return pd.DataFrame({"prediction": names, "total": 0.5, "low": 0.4, "high": np.nan})


@pytest.mark.parametrize("names", [(), ("prior",), ("a",), ("a", "b", "prior", "1/3")])
def test_scores_draw_with_and_without_marks(names):
    texts = drawn(figures.scores(table(*names)))
    assert ("mean weighted log loss (nats)" in texts) == bool(names)
    assert ("prior 0.500" in texts) == ("prior" in names)


def test_losses_and_measures_draw_without_a_warning_where_severities_are_absent():
    labels = make_labels(3)
    predictions = make_predictions(labels)
    assert "log loss (nats)" in drawn(figures.loss_by_level({"blend": loss_by_level(labels, predictions)}))
    assert "Macro-F1" in drawn(figures.measures(per_cell(labels, predictions)))


def test_empty_tables_say_so():
    assert drawn(figures.loss_by_level({})) == ["no loss to draw"]
    assert drawn(figures.measures(pd.DataFrame())) == ["nothing was measured"]
    assert drawn(figures.scores(pd.DataFrame())) == ["no score"]
