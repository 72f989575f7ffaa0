import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from kitlib.artefacts import save_table
from kitlib.errors import StepError, TableError, UsageError
from kitlib.kaggle.ledger import enter_score, read_ledger, record
from kitlib.run import layout
from kitlib.run.steps import manifest_path
from tests.run.finished import EXPERIMENTS, MADE


@pytest.fixture
def finished(work: Path, tmp_path: Path) -> Path:
    """A finished run with its scores and a submission."""
    folder = shutil.copytree(work, tmp_path / "work")
    rows = pd.DataFrame([("calibrated blend", 0.4, 0.3, 0.5)], columns=["prediction", "total", "low", "high"])
    save_table(layout.SCORES.under(folder), rows, MADE)
    manifest = json.loads(manifest_path(folder, layout.ENSEMBLING).read_text())
    manifest["parameters"] = {"name": "smoke"}
    manifest_path(folder, layout.ENSEMBLING).write_text(json.dumps(manifest))
    submit(folder, "one")
    return folder


def submit(work: Path, text: str) -> None:
    path = layout.SUBMISSION_CSV.under(work)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_a_submission_is_recorded_once_with_what_it_was_made_of(finished: Path, tmp_path: Path) -> None:
    file = tmp_path / "ledger.csv"
    assert record(file, finished) == record(file, finished) == 1
    (row,) = read_ledger(file).to_dict("records")
    assert (row["profile"], row["studies"]) == ("smoke", 6)
    assert (row["cv"], row["cv_low"], row["cv_high"]) == (0.4, 0.3, 0.5)
    assert set(row["experiments"].split()) <= {entry.name for entry in EXPERIMENTS}
    assert len(row["submission_sha256"]) == len(row["ensemble_sha256"]) == 64
    submit(finished, "two")
    assert record(file, finished) == 2
    assert read_ledger(file)["submission_sha256"].nunique() == 2


def test_what_kaggle_left_in_its_working_folder_is_recorded(finished: Path, tmp_path: Path) -> None:
    layout.SUBMISSION_CSV.under(finished).replace(finished / "submission.csv")
    assert record(tmp_path / "ledger.csv", finished) == 1


def test_a_score_is_entered_and_nothing_else_changes(finished: Path, tmp_path: Path) -> None:
    file = tmp_path / "ledger.csv"
    record(file, finished)
    before = read_ledger(file)
    enter_score(file, 1, 0.41)
    after = enter_score(file, 1, 0.43, "private")
    assert after[["public", "private"]].to_numpy().tolist() == [[0.41, 0.43]]
    rest = [name for name in before if name not in ("public", "private")]
    pd.testing.assert_frame_equal(read_ledger(file)[rest], before[rest])
    submit(finished, "two")
    record(file, finished)  # entered scores are kept
    assert read_ledger(file)["public"].iloc[0] == 0.41


def test_whole_scores_are_numbers_like_others(finished: Path, tmp_path: Path) -> None:
    file = tmp_path / "ledger.csv"
    record(file, finished)
    enter_score(file, 1, 1.0)
    assert enter_score(file, 1, 0.41)["public"].tolist() == [0.41]  # after it was saved as 1


def test_an_unknown_number_and_what_is_no_score_are_refused(finished: Path, tmp_path: Path) -> None:
    file = tmp_path / "ledger.csv"
    with pytest.raises(UsageError, match=r"no submission 1 in the ledger.*It has none"):
        enter_score(file, 1, 0.4)
    record(file, finished)
    with pytest.raises(UsageError, match=r"no submission 7 in the ledger.*It has 1\."):
        enter_score(file, 7, 0.4)
    for value in (float("nan"), float("inf"), -0.1):
        with pytest.raises(UsageError, match="is not a score"):
            enter_score(file, 1, value)


def test_a_run_without_a_submission_or_an_ensemble_says_which(finished: Path, tmp_path: Path) -> None:
    manifest_path(finished, layout.ENSEMBLING).unlink()
    with pytest.raises(StepError, match="05_ensembling is not done"):
        record(tmp_path / "ledger.csv", finished)
    layout.SUBMISSION_CSV.under(finished).unlink()
    with pytest.raises(StepError, match=r"no submission\.csv is here"):
        record(tmp_path / "ledger.csv", finished)
    assert not (tmp_path / "ledger.csv").exists()


@pytest.mark.parametrize("text", ["", "id,date\n1,2\n", '"'])
def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "ledger.csv").write_text(text)
    with pytest.raises(TableError):
        read_ledger(tmp_path / "ledger.csv")
