"""The commands `grade` and `grader`."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from kitlib.artefacts import Provenance
from kitlib.cli import main
from kitlib.grade.network import ViewNet, save_grader
from tests.grade.test_table import ROW, folder, table  # noqa: F401  # a fixture


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_grader(tmp_path / "grader.safetensors", ViewNet(), Provenance())
    return tmp_path / "grader.safetensors"


def test_a_table_is_graded_and_bad_rows_are_told(folder: Path, weights: Path, capsys) -> None:  # noqa: F811
    out = folder / "graded.csv"
    file = table(folder, ROW, ROW | {"image": "nowhere.png"})
    assert main(["grade", str(file), "--out", str(out), "--weights", str(weights)]) == 1
    said = capsys.readouterr()
    assert "1 of 2 rows graded" in said.out
    assert "line 3: " in said.err
    assert pd.read_csv(out)["severe"].notna().tolist() == [True, False]


def test_a_table_without_a_good_row_is_refused(folder: Path, weights: Path, capsys) -> None:  # noqa: F811
    out = folder / "graded.csv"
    file = table(folder, ROW | {"image": "nowhere.png"})
    assert main(["grade", str(file), "--out", str(out), "--weights", str(weights)]) == 2
    assert "no row could be graded" in capsys.readouterr().err
    assert not out.exists()


def test_useless_trainings_are_refused_before_drawing(tmp_path: Path, capsys) -> None:
    out = tmp_path / "weights.safetensors"
    assert main(["grader", "train", "--out", str(out), "--persons", "1"]) == 2
    assert "persons are two or more" in capsys.readouterr().err
