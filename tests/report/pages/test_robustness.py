import datetime

import numpy as np
import pandas as pd

from kitlib.evaluate.robustness import TABLE_COLUMNS
from kitlib.report.pages.experiments import NBSP
from kitlib.report.pages.robustness import robustness_page

ROWS = [
    ("untouched", "crops", 0.4, 0.0, 0.0, 0.0, 0.75, 0.0, 0.8),
    ("untouched", "slices", 0.5, 0.0, 0.0, 0.0, 0.5, 0.0, 0.8),
    ("mirrored", "crops", 0.41, 0.01, -0.02, 0.04, 0.725, 0.025, 0.8),
    ("mirrored", "slices", 0.7, 0.2, 0.1, 0.3, np.nan, np.nan, 0.8),
]


def test_a_condition_is_a_row_and_an_experiment_three_columns_before_the_prior() -> None:
    page = robustness_page({"made by": "`x`"}, pd.DataFrame(ROWS, columns=list(TABLE_COLUMNS)))
    lines = page.splitlines()
    assert f"| date | {datetime.date.today()} |" in lines
    columns = (
        "| condition | crops | crops: change | crops: way | slices | slices: change | slices: way | prior |"
    )
    assert columns in lines
    change = f"+0.010 (-0.020{NBSP}to{NBSP}+0.040)", f"+0.200 (+0.100{NBSP}to{NBSP}+0.300)"
    assert f"| mirrored | 0.410 | {change[0]} | 72.5 | 0.700 | {change[1]} | - | 0.800 |" in lines
    assert sum(line.startswith("| untouched") for line in lines) == 1
