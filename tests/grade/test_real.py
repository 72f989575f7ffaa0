"""Training on phantoms carries over to patients: on open images, which are not part of the project."""

from pathlib import Path

import pandas as pd
from sklearn.metrics import roc_auc_score

from kitlib.grade.network import Grader
from kitlib.grade.table import grade_table

EACH = 50  # rows a place and severity: the clear ones
LEAST_AUC = {"canal": 0.8, "foramen": 0.85, "recess": 0.8}


def test_severe_places_of_patients_rank_above_normal_ones(real_dir: Path, tmp_path: Path) -> None:
    folder = real_dir / "rsna_open"
    rows = pd.read_csv(folder / "grade.csv", dtype=str, keep_default_na=False)
    clear = rows[rows["severity"] != "Moderate"]
    some = clear.groupby(["place", "severity"]).sample(EACH, replace=False, random_state=0)
    some["image"] = [str(folder / name) for name in some["image"]]
    some.to_csv(tmp_path / "some.csv", index=False)
    graded = grade_table(tmp_path / "some.csv", Grader.shipped())
    assert not graded.problems
    for place, own in graded.rows.groupby("place"):
        area = roc_auc_score(own["severity"] == "Severe", own["moderate"] + 2 * own["severe"])
        assert area > LEAST_AUC[place]
