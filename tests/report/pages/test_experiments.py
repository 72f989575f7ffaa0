import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.evaluate.baselines import baselines, score_table
from kitlib.experiments.table import NORMAL
from kitlib.report.pages import experiments as page
from tests.report.builders import drawn, make_labels

NONE = dict.fromkeys(["published_accuracy", "published_f1", "published_auc"], np.nan)
MEASURES = {"accuracy": 0.8, "macro_f1": 0.5, "macro_auc": np.nan, "macro_auc_folds": 0.61}
INTERVALS = {"score": 0.55, "low": 0.5, "high": 0.6, "difference": -0.25, "difference_low": -0.3}
COSTS = {"difference_high": -0.2, "fit_s": 1.25, "fit_peak_mb": 300.0, "reason": "", "notes": ""}
HONEST = {
    "experiment": "svc", "description": "A | B", "model": "svc", "weights": "shipped", "state": "done",
    "leaks": False, "split": "studies", "twin_of": "", "rows": 240, "shared": 0.0,
    **MEASURES, **INTERVALS, **COSTS, **NONE, "published_accuracy": 0.91, "published_f1": 0.6,
}  # fmt: skip
LEAKING = {**HONEST, "experiment": "svc_leaking_series", "leaks": True, "split": "series", "twin_of": "svc"}
LEAKING |= {
    "rows": 754,
    "shared": 0.95,
    "accuracy": 0.93,
    "low": np.nan,
    "high": np.nan,
    "notes": "it learns",
}
ABSENT = {**HONEST, **NONE, "experiment": "vit", "state": "not run", "reason": "no weights"}
RESULTS = pd.DataFrame([HONEST, LEAKING, ABSENT])
BASELINE = {"low": 0.7, "high": 0.9, "difference": 0.0, "difference_low": 0.0, "difference_high": 0.0}
BASELINES = pd.DataFrame(
    {"experiment": name, **MEASURES, **NONE, "score": score, **BASELINE, "rows": 240}
    for name, score in (("prior", 0.8), (NORMAL, 15.0))
)


def test_whole_study_rows_stand_by_score_among_the_baselines_and_leaking_ones_do_not():
    table = page.honest_table(RESULTS, BASELINES)
    assert table["experiment"].tolist() == ["svc", "prior", NORMAL]
    assert table["score"][0] == f"0.550 (0.500{page.NBSP}to{page.NBSP}0.600)"
    assert table["minus the prior"][0].startswith("-0.250 (-0.300")
    assert (table["macro AUC"][0], table["AUC, mean of folds"][0]) == ("-", "61.0")
    assert table["backbone trained on"].tolist() == ["shipped", "", ""]
    assert table["what it is"].str.startswith("A baseline: ").tolist() == [False, True, True]


def test_a_prior_that_was_run_replaces_the_baseline_of_that_name():
    prior = {**HONEST, "experiment": "prior_alone", "model": "prior", "score": 0.8}
    table = page.honest_table(pd.DataFrame([prior]), BASELINES)
    assert table["experiment"].tolist() == ["prior_alone", NORMAL]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("[weights] the package of these weights is not installed. Install it.", "no weights"),
        ("[extra] it needs MONAI, which is not installed. Install it.", "not run"),
    ],
)
def test_a_row_without_weights_or_library_says_so_and_shows_no_score_and_the_kit_s_own_stand_last(
    reason, said
):
    skipped = {**ABSENT, "experiment": "m152", "state": "skipped", "reason": reason, "weights": np.nan}
    scores = {"crops": 0.4, "blend": 0.3}
    own = [{**HONEST, "experiment": name, "model": name, "score": score} for name, score in scores.items()]
    results = pd.DataFrame([*own, skipped, HONEST, {**skipped, "experiment": "x_leaking", "leaks": True}])
    results.loc[results["state"] == "skipped", ["accuracy", "score", "low", "high"]] = np.nan
    table = page.honest_table(results, BASELINES).set_index("experiment")
    assert table.index.tolist() == ["svc", "prior", NORMAL, "m152", "crops", "blend"]
    row = table.loc["m152"]
    assert (row["score"], row["accuracy"], row["minus the prior"]) == (said, "-", "-")
    assert row["backbone trained on"] == reason
    assert (page.LACKING in page.footnotes(results)) == (said == "no weights")
    assert page.absent_table(results)["experiment"].tolist() == ["x_leaking"]


def test_a_leaking_row_stands_beside_its_twin_and_what_was_published():
    (row,) = page.leaking_table(RESULTS).to_dict("records")
    assert row["accuracy"] == "93.0"
    assert row["whole studies: acc / F1 / AUC"].replace(page.NBSP, " ") == "80.0 / 50.0 / -"
    assert row["whole studies: score"] == "0.550"
    assert page.leaking_table(RESULTS.iloc[:1]).empty


def test_the_picture_of_leaks_has_the_accuracy_of_normal_everywhere():
    texts = drawn(page.leak_picture(RESULTS, BASELINES))
    assert {"svc (series)", "honest", "leaking", "published"} <= set(texts)
    assert any("Normal/Mild" in text for text in texts)


def test_what_is_absent_has_its_reason_and_notes_their_experiment():
    assert page.absent_table(RESULTS).to_dict("records") == [
        {"experiment": "vit", "state": "not run", "reason": "no weights"}
    ]
    lines = page.footnotes(RESULTS)
    assert lines == ["svc_leaking_series: it learns.", "1 of 3 experiments have not been run."]


def test_markdown_escapes_bars_and_pages_show_tables_that_have_rows():
    assert page.markdown(pd.DataFrame({"what": ["A | B", None]})) == "| what |\n| --- |\n| A \\| B |\n| - |"
    tables = {page.HONEST: page.honest_table(RESULTS, BASELINES), page.MISSING: pd.DataFrame()}
    made = "\n".join(page.markdown_sections(tables, ["A note."]))
    for text in (made, page.html_page("A title", "A lead.", tables, ["A note."], {})):
        assert page.HONEST in text
        assert "A note." in text
        assert page.MISSING not in text


def test_numbers_that_are_not_there_are_dashes():
    assert page.percent(np.nan) == page.number(np.nan) == page.triple({}, "abc") == "-"
    assert page.number(0.1234, sign="+") == "+0.123"


def test_a_page_says_how_it_was_made_and_puts_the_best_first() -> None:
    labels = make_labels(12)
    prior = baselines(labels, pd.DataFrame(), Path("nowhere"))["1/3"]
    better = prior.assign(normal_mild=0.6, moderate=0.2, severe=0.2)
    scores = score_table(labels, {"1/3": prior, "mine": better}, against="1/3")
    text = page.results_page("A run", {"made by": "`a command`"}, {"Out of fold": scores})
    assert "| made by | `a command` |" in text
    assert str(datetime.date.today()) in text
    rows = [line for line in text.splitlines() if line.startswith(("| mine", "| 1/3"))]
    assert len(rows) == 2
    best = scores.loc[scores["total"].idxmin(), "prediction"]
    assert rows[0].startswith(f"| {best} ")
    (of_itself,) = (row for row in rows if row.startswith("| 1/3"))
    assert "+0.000" in of_itself
