import subprocess
import sys

import pandas as pd
import pytest

from kitlib.cli import main
from kitlib.competition.submission import write_submission
from kitlib.competition.tables import read_predictions
from tests.run.builders import make_competition
from tests.run.finished import make_data, make_run


@pytest.fixture
def data(tmp_path):
    return make_competition(tmp_path / "data")


@pytest.fixture
def submission(data, tmp_path):
    write_submission(tmp_path / "submission.csv", read_predictions(data / "sample_submission.csv"))
    return tmp_path / "submission.csv"


def test_help_needs_no_heavy_library():
    code = (
        "import sys, kitlib.cli as c; c.build_parser(); print({'torch', 'numpy', 'pandas'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in ("run", "phantom", "pretrain", "predict", "validate", "score"))


def test_a_valid_submission_is_said_to_be_so(data, submission, capsys):
    assert main(["validate", str(submission), "--data", str(data)]) == 0
    assert capsys.readouterr().out == "valid: 50 rows of 2 studies\n"


def test_an_error_of_the_kit_is_one_line_and_exit_code_2(data, submission, capsys):
    submission.write_text(submission.read_text().rsplit("\n", 2)[0])
    assert main(["validate", str(submission), "--data", str(data)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("[data.submission] ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ["quantise", "OUT", "--backbone", "test_resnet", "--weights", "random"],
        ["pretrain", "--backbone", "test_resnet", "--studies", "2", "--epochs", "1", "--out", "OUT"],
    ],
    ids=lambda command: command[0],
)
def test_a_place_that_cannot_be_written_is_one_line_before_any_work(command, tmp_path, capsys):
    (tmp_path / "a file").touch()
    out = tmp_path / "a file" / "x.safetensors"
    assert main([str(out) if word == "OUT" else word for word in command]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("[system] ")
    assert captured.err.count("\n") == 1
    assert str(tmp_path / "a file") in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--profile", "demmo"], "Did you mean 'demo'?"),
        (["run", "-p", "epochs"], "'epochs' is not NAME=VALUE"),
        (["run", "-p", "epochz=3"], "unknown parameter 'epochz'"),
        (["run", "--only", "9"], "no step from 9 to 9"),
        (["run", "--data", "nowhere"], "the folder does not exist"),
        (
            ["predict", "--data", "nowhere", "--work", "nowhere", "--out", "x.csv"],
            "Run the notebooks to the end",
        ),
    ],
)
def test_wrong_arguments_say_what_is_wrong(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


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


def test_an_interrupt_has_its_own_exit_code_and_a_bug_its_traceback(data, monkeypatch):
    def raising(error):
        def validate(*_):
            raise error

        monkeypatch.setattr("kitlib.competition.submission.validate_submission", validate)
        return main(["validate", "x.csv", "--data", str(data)])

    assert raising(KeyboardInterrupt()) == 130
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())


def test_phantoms_are_made_in_the_competitions_layout(tmp_path, capsys):
    out = tmp_path / "phantoms"
    assert main(["phantom", "--studies", "1", "--size", "smoke", "--out", str(out)]) == 0
    assert (out / "train.csv").is_file()
    assert capsys.readouterr().out == f"1 + 0 studies in {out}\n"
    assert main(["phantom", "--oracle", "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith("1 training studies of ")


def test_the_oracle_needs_no_images(capsys):
    assert main(["phantom", "--oracle", "--studies", "500", "--seed", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "labels of 500 drawn studies, seed 3, without images"
    assert [line.split()[0] for line in lines[2:]] == ["oracle", "prior", "1/3"]
    oracle, prior, uniform = (float(line.split()[1]) for line in lines[2:])
    assert oracle < 0.5 < prior < uniform


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to do"),
        (["--out", "x"], "how many studies"),
        (["--out", "x", "--studies", "-1"], "cannot draw -1 + 0 studies"),
        (["--out", "x", "--studies", "1", "--defect", "haunted"], "no defect 'haunted'"),
        (["--out", "x", "--studies", "1", "--missing-rate", "2"], "the missing rate is 2.0"),
        (["--oracle", "--studies", "0"], "cannot draw 0 studies"),
    ],
)
def test_a_bad_request_for_phantoms_changes_nothing(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["phantom", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_one_study_is_predicted_and_its_faults_are_counted(tmp_path, capsys):
    work = make_run(tmp_path / "work", make_data(tmp_path / "data"))
    study = tmp_path / "data" / "test_images" / "11"
    for path in (study / "111").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    out = tmp_path / "a.csv"
    assert main(["predict", "--study", str(study), "--work", str(work), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"25 rows in {out}: 25 fewer views"
    assert "study 11: 5 x slice.not_dicom, file dropped" in lines
