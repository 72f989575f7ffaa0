import shutil

import pytest

from kitlib.cli import main


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


def test_one_study_is_predicted_and_its_faults_are_counted(data, work, tmp_path, capsys):
    study = shutil.copytree(data.root / "test_images" / "11", tmp_path / "11")
    for path in (study / "111").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    out = tmp_path / "a.csv"
    assert main(["predict", "--study", str(study), "--work", str(work), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"25 rows in {out}: 25 fewer views"
    assert "study 11: 5 x slice.not_dicom, file dropped" in lines
