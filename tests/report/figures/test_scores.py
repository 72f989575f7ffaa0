import numpy as np
import pandas as pd
import pytest

from kitlib.competition.metric import loss_by_level
from kitlib.evaluate.classification import per_cell
from kitlib.experiments.scenarios import NOTHING
from kitlib.report.figures import scores as figures
from tests.report.builders import drawn, make_labels, make_predictions


def table(*names):
    return pd.DataFrame({"prediction": names, "total": 0.5, "low": 0.4, "high": np.nan})


@pytest.mark.parametrize("names", [(), ("prior",), ("a",), ("a", "b", "prior", "1/3")])
def test_scores_draw_with_and_without_baselines(names):
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


def judged_table(systems: int = 2) -> pd.DataFrame:
    rows = [
        {
            "system": f"system {k}",
            "kind": kind,
            "accuracy": 0.7 + k / 20,
            "macro_f1": 0.4,
            "macro_auc": np.nan,
        }
        for k in range(systems)
        for kind in ("honest", "leaking", "published")
    ]
    return pd.DataFrame(rows, columns=["system", "kind", "accuracy", "macro_f1", "macro_auc"])


def test_every_system_and_every_kind_of_judging_is_named() -> None:
    texts = drawn(figures.leaks(judged_table(), normal_accuracy=0.78))
    assert {"system 0", "system 1", "honest", "leaking", "published", "Accuracy"} <= set(texts)
    assert figures.NORMAL_EVERYWHERE in texts
    assert figures.NORMAL_EVERYWHERE not in drawn(figures.leaks(judged_table()))


def test_nothing_judged_twice_says_so() -> None:
    assert drawn(figures.leaks(judged_table(0))) == ["no system was judged twice"]


def test_the_curve_of_missing_sequences_has_a_line_for_each_imputer_and_the_prior() -> None:
    scenarios = [NOTHING, "random_30", "without_t1"]
    rows = [(name, scenario, 0.6) for name in ("pseudo_mean", "pseudo_dae") for scenario in scenarios]
    table = pd.DataFrame(rows, columns=["experiment", "scenario", "score"])
    figure = figures.missing_curve(table, 0.79)
    assert {"pseudo_mean", "pseudo_dae", "prior, 0.790"} <= set(drawn(figure))
    shares = [line.get_xdata() for line in figure.axes[0].lines if line.get_label() in table.values]
    assert [share.tolist() for share in shares] == [[0, 30]] * 2
    assert drawn(figures.missing_curve(table[:0], 0.79)) == ["no sequences were removed at random"]


@pytest.mark.parametrize("known", [True, False])
def test_the_true_severity_stands_in_brackets_where_it_is_known(known):
    probabilities = np.full((25, 3), 1 / 3)
    truth = make_labels(1, empty=0).to_numpy()[0] if known else None
    assert ("[0.33]" in drawn(figures.study_rows(probabilities, "A study", truth))) == known


def test_the_curve_of_labels_has_a_line_a_start_and_what_ships_untouched() -> None:
    points = [("shipped", 0, 0), ("shipped", 25, 25), ("shipped", 50, 40), ("nothing", 25, 25)]
    rows = [(view, *point) for view in ("canal on Axial T2", "foramen on Sagittal T1") for point in points]
    table = pd.DataFrame(rows, columns=["view", "start", "asked", "learnt"])
    for measure in ("auc", "scaled", "prior"):
        table = table.assign(**{measure: 0.6, f"{measure}_min": 0.5, f"{measure}_max": 0.7})
    figure = figures.label_curve(table)
    texts = set(drawn(figure))
    assert {
        "canal on Axial T2",
        "from shipped",
        "from nothing",
        "shipped, no label",
        "prior by level",
    } <= texts
    assert figure.axes[0].lines[0].get_xdata().tolist() == [25, 40]
    assert drawn(figures.label_curve(table[:0])) == ["no grader was judged"]


def test_submissions_stand_by_number_on_each_leaderboard_that_has_scored_them() -> None:
    ledger = pd.DataFrame({"id": [1, 2], "cv": [0.4, 0.5], "cv_low": 0.3, "cv_high": 0.6})
    texts = drawn(figures.leaderboard(ledger.assign(public=[0.41, np.nan], private=np.nan)))
    assert {"1", "public, n = 1"} <= set(texts)
    assert "2" not in texts
    nothing = ledger.assign(public=np.nan, private=np.nan)
    assert drawn(figures.leaderboard(nothing)) == ["no leaderboard score yet"]
