import datetime
from pathlib import Path

import pandas as pd

from kitlib.evaluate.baselines import baselines, score_table
from kitlib.report.pages.results import results_page
from kitlib.terms import CELL_NAMES
from tests.models.builders import make_labels

LABELS = pd.DataFrame(make_labels(12), index=range(12), columns=list(CELL_NAMES))


def test_a_page_says_how_it_was_made_and_puts_the_best_first() -> None:
    prior = baselines(LABELS, pd.DataFrame(), Path("nowhere"))["1/3"]
    better = prior.assign(normal_mild=0.6, moderate=0.2, severe=0.2)
    scores = score_table(LABELS, {"1/3": prior, "mine": better}, against="1/3")
    page = results_page("A run", {"made by": "`a command`"}, {"Out of fold": scores})
    assert "| made by | `a command` |" in page
    assert str(datetime.date.today()) in page
    rows = [line for line in page.splitlines() if line.startswith(("| mine", "| 1/3"))]
    assert len(rows) == 2
    best = scores.loc[scores["total"].idxmin(), "prediction"]
    assert rows[0].startswith(f"| {best} ")
    (of_itself,) = (row for row in rows if row.startswith("| 1/3"))
    assert "+0.000" in of_itself
