"""Results of a run as a dated Markdown page: how it was made, and its scores beside the baselines."""

import datetime
from collections.abc import Mapping

import pandas as pd

from kitlib.report.pages.experiments import markdown, number, with_interval

LEAD = (
    "The competition's metric, lower is better; 95 % intervals draw whole studies with replacement, "
    "differences are paired on the same studies. Written by the command below, and not edited."
)
COLUMNS = ("spinal", "foraminal", "subarticular", "any_severe_spinal")


def results_page(title: str, facts: Mapping[str, str], tables: Mapping[str, pd.DataFrame]) -> str:
    """Markdown of scores, as `score_table` gives them against a baseline, by heading.

    `facts` say how they were made, such as the command, the data and the weights; the date is today's.
    """
    said = {**facts, "date": str(datetime.date.today())}
    parts = [f"# {title}", LEAD, markdown(pd.DataFrame(said.items(), columns=["", " "]))]
    for heading, scores in tables.items():
        parts += [f"## {heading}", markdown(_as_text(scores.sort_values("total")))]
    return "\n\n".join(parts) + "\n"


def _as_text(scores: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {
            "prediction": row["prediction"],
            "score": with_interval(row, "total", "low", "high"),
            f"minus the {row['against']}": with_interval(
                row, "difference", "difference_low", "difference_high", "+"
            ),
            **{column.replace("_", " "): number(row[column]) for column in COLUMNS},
        }
        for row in scores.to_dict("records")
    ]
    return pd.DataFrame(rows)
