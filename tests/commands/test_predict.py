"""The command `predict`: a folder, its older spelling, a competition, and what it refuses."""

import os
import shutil
import subprocess

import pandas as pd
import pytest

from kitlib.cli import main
from kitlib.competition.submission import validate_submission
from kitlib.predict.predictor import Predictor


@pytest.fixture
def study(data, tmp_path):
    """A study with a damaged series."""
    folder = shutil.copytree(data.root / "test_images" / "11", tmp_path / "11")
    for path in (folder / "111").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to predict"),
        (["here", "--data", "there"], "several folders to predict"),
        (["here", "--study", "there"], "several folders to predict"),
        (["--data", "nowhere", "--work", "nowhere", "--out", "x.csv"], "Run the notebooks to the end"),
        (["--data", "nowhere", "--work", "nowhere"], "--data requires --out"),
        (["--data", "nowhere", "--out", "x.csv", "--report", "x.html"], "does not allow --report"),
        (["nowhere", "--work", "WORK"], "there is no such folder"),
        (["EMPTY", "--work", "WORK"], "the folder holds no file"),
        (["EMPTY", "--work", "WORK", "--report", "x.pdf"], "a file of HTML"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(arguments, message, work, tmp_path, capsys):
    places = {"WORK": str(work), "EMPTY": str(tmp_path)}
    assert main(["predict", *(places.get(argument, argument) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_what_a_killed_command_left_beside_its_rows_is_taken_away(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    draft = tmp_path / f".a.csv.{gone.pid}.0123abcd.draft"
    draft.touch()
    assert main(["predict", "nowhere", "--out", str(tmp_path / "a.csv")]) == 2
    assert not draft.exists()


def test_rows_do_not_depend_on_the_number_of_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "")  # so that it is restored
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert main(["predict"]) == 2
    assert os.environ["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("spelling", [[], ["--study"]])
def test_one_study_is_predicted_and_its_faults_are_counted(study, work, tmp_path, capsys, spelling):
    out = tmp_path / "a.csv"
    assert main(["predict", *spelling, str(study), "--work", str(work), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"25 rows in {out}: 25 fewer views"
    assert "study 11: 5 x slice.not_dicom, file dropped" in lines
    assert any("1 x series.undescribed, left out (neither tags" in line for line in lines)
    validate_submission(out, [11])


def test_without_a_file_severities_are_printed(study, work, capsys):
    assert main(["predict", str(study), "--work", str(work)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "study 11: Axial T2"
    assert [line.split()[0] for line in lines[2:7]] == ["L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1"]
    assert all(line.count("%") == 5 for line in lines[2:7])


def test_without_a_run_what_ships_predicts(study, predictor, monkeypatch, capsys):
    monkeypatch.setattr(Predictor, "shipped", lambda: predictor)
    assert main(["predict", str(study)]) == 0
    assert capsys.readouterr().out.startswith("study 11: Axial T2")


def test_a_test_folder_is_predicted(data, work, tmp_path, capsys):
    out = tmp_path / "all.csv"
    assert main(["predict", "--data", str(data.root), "--work", str(work), "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"75 rows in {out}: 75 full model"
    assert len(pd.read_csv(out)) == 75


def test_faults_of_no_study_are_the_test_sets(data, work, tmp_path, capsys):
    (tmp_path / "test_images").symlink_to(data.root / "test_images")
    (tmp_path / "test_series_descriptions.csv").write_text("no,table\n")
    out = tmp_path / "all.csv"
    assert main(["predict", "--data", str(tmp_path), "--work", str(work), "--out", str(out)]) == 0
    assert "test set: 1 x table.unreadable, done without (missing columns" in capsys.readouterr().out


def test_a_report_is_a_page_beside_the_rows(study, work, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["predict", str(study), "--work", str(work), "--report", str(page)]) == 0
    assert f"report in {page}" in capsys.readouterr().out
    assert "<h1>Study 11</h1>" in page.read_text()
