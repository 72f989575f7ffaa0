import pandas as pd
import pytest

from kitlib.cli import main
from kitlib.evaluate.robustness import TABLE_COLUMNS
from kitlib.run.robustness import Judged


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--work", "nowhere"], "03_embeddings is not done"),
        (["--work", "nowhere", "--studies", "0"], "nothing to judge"),
        (["--work", "nowhere", "--experiments", ","], "nothing to judge"),
    ],
)
def test_a_folder_without_a_finished_run_is_one_line(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["robustness", *options, "--out", "results"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())


def test_the_table_is_written_with_its_command(tmp_path, monkeypatch, capsys):
    table = pd.DataFrame(
        [("untouched", "crops", 0.4, 0, 0, 0, 0.5, 0, 0.8)], columns=list(TABLE_COLUMNS), dtype=object
    ).astype(dict.fromkeys(TABLE_COLUMNS[2:], float))
    asked = []

    def judge(*given, **options):
        asked.append((given, options))
        return Judged(table, {"data": "6 studies", "weights": "crops: some"})

    monkeypatch.setattr("kitlib.run.robustness.judge_robustness", judge)
    monkeypatch.chdir(tmp_path)
    words = [
        "--work",
        "work/demo",
        "--experiments",
        "crops,slices,crops",
        "--studies",
        "3",
        "--out",
        "results",
    ]
    assert main(["robustness", *words]) == 0
    ((_, names), options) = asked[0]
    assert (names, options) == (["crops", "slices"], {"data_dir": "", "studies": 3})
    page = (tmp_path / "results" / "robustness.md").read_text()
    command = "python -m kitlib robustness --work work/demo --experiments crops,slices --studies 3"
    assert f"| made by | `{command}` |" in page
    assert main(["robustness", "--work", str(tmp_path), "--out", "results"]) == 0
    assert str(tmp_path) not in (tmp_path / "results" / "robustness.md").read_text()
    assert "| weights | crops: some |" in page
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "results" / "robustness.csv"), table)
    assert "1 rows in" in capsys.readouterr().out
