import pandas as pd

from kitlib.report.pages.experiments import NBSP
from kitlib.report.pages.speed import speed_page

RATIOS = pd.DataFrame(
    [("reading", "a loop", 100.4, 250.6, 2.5, 2.0, 3.04)],
    columns=["what", "against", "loop_per_s", "kit_per_s", "ratio", "ratio_min", "ratio_max"],
)
PREDICTING = pd.DataFrame(
    {"studies": [1, 10], "wall_s": [5.0, 8.0], "study_s": [1.0, 0.25], "peak_memory_mb": [1000.0, 1100.0]}
)
STEPS = pd.DataFrame({"step": ["01", "04"], "wall_s": [25.0, 75.0], "peak_memory_mb": [400, 2000]})


def test_ratios_have_their_range_seconds_their_studies_and_steps_their_share() -> None:
    lines = speed_page({"data": "phantoms"}, RATIOS, PREDICTING, STEPS).splitlines()
    assert f"| reading | a loop | 100 | 251 | 2.5 (2.0{NBSP}to{NBSP}3.0) |" in lines
    assert "| 1 | 1.00 | 5.00 | 1000 | 1.00 |" in lines
    assert "| 10 | 0.25 | 0.80 | 1100 | 1.10 |" in lines
    assert "| 04 | 75.0 | 75 | 2000 |" in lines
