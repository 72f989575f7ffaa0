import pandas as pd
import pytest

from kitlib.cli import main
from kitlib.competition.submission import write_submission
from kitlib.competition.tables import read_predictions
from tests.run.builders import make_competition


@pytest.fixture
def data(tmp_path):
    return make_competition(tmp_path / "data")


def test_a_valid_submission_is_said_to_be_so(data, tmp_path, capsys):
    submission = tmp_path / "submission.csv"
    write_submission(submission, read_predictions(data / "sample_submission.csv"))
    assert main(["validate", str(submission), "--data", str(data)]) == 0
    assert capsys.readouterr().out == "valid: 50 rows of 2 studies\n"


def test_scores_stand_beside_the_prior_and_thirds(data, tmp_path, capsys):
    labels = pd.read_csv(data / "train.csv").set_index("study_id")
    rows = {
        f"{study}_{cell}": (0.0, 0.0, 1.0) if severity == "Severe" else (1.0, 0.0, 0.0)
        for study, severities in labels.iterrows()
        for cell, severity in severities.items()
    }
    predictions = pd.DataFrame.from_dict(rows, orient="index", columns=["normal_mild", "moderate", "severe"])
    write_submission(tmp_path / "right.csv", predictions.rename_axis("row_id"))
    assert main(["score", str(tmp_path / "right.csv"), "--labels", str(data / "train.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["this", "file", *["0.0000"] * 5]
    assert lines[2].startswith("prior of these labels")
    assert lines[3].split()[2:5] == ["1.0986"] * 3
