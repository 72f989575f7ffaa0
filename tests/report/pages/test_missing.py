"""The page of missing sequences: clearly better or worse results are marked, and baselines never are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.evaluate.missing import TABLE_COLUMNS
from kitlib.experiments.scenarios import NOTHING, SCENARIOS
from kitlib.report.pages.missing import scenario_table, scenario_text, write_missing

SCENARIO2INTERVAL = {NOTHING: (-0.1, 0.1), "without_t1": (-0.2, -0.1), "random_50": (0.1, 0.2)}


def missing_of(*experiments: str) -> pd.DataFrame:
    rows = []
    for experiment in experiments:
        is_baseline = experiment in ("pseudo_mean", "views_none")
        for scenario, (low, high) in SCENARIO2INTERVAL.items():
            interval = (0.0, 0.0) if is_baseline else (low, high)
            r2 = np.nan if experiment == "views_none" else 0.25
            numbers = {"score": 0.5, "low": interval[0], "high": interval[1], "r2": r2}
            rows.append({"experiment": experiment, "scenario": scenario, **numbers, "verdict": "so"})
    return pd.DataFrame(rows, columns=list(TABLE_COLUMNS))


def test_what_is_clearly_better_or_worse_is_marked_and_counted() -> None:
    table = scenario_table(missing_of("views_none", "views_vae")).set_index("removed")
    assert table.columns.tolist() == ["masked fusion", "VAE"]
    assert table["VAE"].tolist() == ["0.500", "**0.500**", "0.500 (worse)", "1, 1 of 3", "0.25 to 0.25"]
    assert table["masked fusion"].tolist() == ["0.500"] * 3 + ["-", "-"]


def test_each_family_has_its_table_and_its_baseline(tmp_path: Path) -> None:
    facts = {"made by": "`the command`", "data": "12 phantoms"}
    write_missing(tmp_path, missing_of("pseudo_mean", "pseudo_knn", "views_none", "views_knn"), facts)
    text = (tmp_path / "missing_sequences.md").read_text()
    assert text.index("`the command`") < text.index("## Means of slices") < text.index("## Views of")
    assert text.count("| 50% at random |") == 2
    assert len(pd.read_csv(tmp_path / "missing_sequences.csv")) == 12
    write_missing(tmp_path, missing_of("views_none"), facts)
    assert "## Means of slices" not in (tmp_path / "missing_sequences.md").read_text()


@pytest.mark.parametrize(
    ("scenario", "text"),
    [
        ("nothing", "nothing"),
        ("without_t2_axial", "T2, axial"),
        ("without_t1", "T1"),
        ("random_80", "80% at random"),
        ("half", "half of each study's"),
    ],
)
def test_scenarios_are_told_in_words(scenario: str, text: str) -> None:
    assert scenario_text(scenario) == text


def test_no_two_scenarios_read_alike() -> None:
    assert len({scenario_text(scenario) for scenario in SCENARIOS}) == len(SCENARIOS)
