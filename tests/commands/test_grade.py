"""The commands `grade` and `grader`."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from kitlib.artefacts import Provenance, facts_of
from kitlib.cli import main
from kitlib.errors import WeightsError
from kitlib.grade.network import StudyNet, save_network
from kitlib.grade.samples import ViewSamples
from tests.grade.labels import changed_table, labelled_table
from tests.grade.test_table import ROW, folder, table  # noqa: F401  # a fixture
from tests.grade.test_train import samples  # noqa: F401  # a fixture


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_network(tmp_path / "grader.safetensors", StudyNet(), Provenance())
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
    for wrong in (["--persons", "1"], ["--mixup-alpha", "-1"]):
        assert main(["grader", "train", "--out", str(out), *wrong]) == 2
        assert "persons must be at least 2" in capsys.readouterr().err


def test_weights_say_by_which_command_they_are_made(
    tmp_path: Path,
    samples: ViewSamples,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr("kitlib.grade.samples.make_samples", lambda *_, **__: samples)
    out = tmp_path / "weights.safetensors"
    how = ["--persons", "12", "--epochs", "1", "--start", "nothing", "--backbone", "test_resnet"]
    how += ["--mixup-alpha", "0.4", "--seed", "3"]
    assert main(["grader", "train", "--out", str(out), *how]) == 0
    said = facts_of(out)["command"].removeprefix("python -m kitlib ").split()
    assert sorted(said) == sorted(["grader", "train", *how, "--out", out.name])
    assert '"foramen: accuracy by mm"' in capsys.readouterr().out


@pytest.mark.slow
def test_a_grader_is_tuned_on_a_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file, out = labelled_table(tmp_path / "labels", studies=4), tmp_path / "tuned.safetensors"
    (tmp_path / "labels" / "1_l3_l4.png").unlink()
    how = ["--start", "nothing", "--backbone", "test_resnet", "--epochs", "1", "--mixup-alpha", "0.4"]
    assert main(["grader", "train", "--table", str(file), "--out", str(out), *how]) == 0
    said = capsys.readouterr()
    assert "log loss on held-out studies: " in said.out
    assert "line 16: " in said.err
    graded = tmp_path / "graded.csv"
    assert main(["grade", str(file), "--out", str(graded), "--weights", str(out)]) == 1
    assert pd.read_csv(graded)["severe"].notna().sum() == 39


@pytest.mark.parametrize("command", [["train", "--table"], ["curve"]])
@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"severity": None}, "columns 'severity' are missing"),
        ({"severity": "bad"}, "the severity in line 2 is unfit"),
        ({"severity": "Severe"}, "of 1 severity"),
        ({"study_id": "7"}, "of 1 study_id"),
        ({"image": "none.png"}, "0 labelled places can be seen"),
    ],
)
def test_tables_that_nothing_can_be_learnt_from_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture, command: list[str], columns: dict, why: str
) -> None:
    file = changed_table(labelled_table(tmp_path / "labels", studies=2), **columns)
    out = tmp_path / "out.safetensors"
    assert main(["grader", *command, str(file), "--out", str(out)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[")]
    assert why in line
    assert not out.exists()


@pytest.mark.slow
def test_a_curve_is_a_table_a_page_and_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("kitlib.grade.curve.started", lambda _: StudyNet("test_resnet"))
    file, out = labelled_table(tmp_path / "labels", studies=6), tmp_path / "curve"
    how = ["--studies", "2,3", "--starts", "nothing", "--seeds", "1", "--epochs", "1"]
    assert main(["grader", "curve", str(file), "--out", str(out), *how]) == 0
    assert "in " in capsys.readouterr().out
    assert len(pd.read_csv(out / "curve.csv")) == 4
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "curve.md").read_text().count("\n") == 6


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--studies", "25,many", "--studies is"),
        ("--starts", "zero", "no curve"),
        ("--seeds", "0", "no curve"),
    ],
)
def test_curves_of_nonsense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture, option: str, value: str, why: str
) -> None:
    assert main(["grader", "curve", "no.csv", "--out", str(tmp_path), option, value]) == 2
    assert why in capsys.readouterr().err


def test_probe_says_what_is_missing_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    measures = {"auc": 0.9, "loss": 0.5, "scaled": 0.4, "prior": 0.8, "places": 9, "severe": 3, "studies": 4}

    def probe(_: object, name: str, seeds: int) -> pd.DataFrame:
        if name == "ct_resnet152":
            raise WeightsError("not installed", hint="Install it.")
        return pd.DataFrame(
            [{"view": "canal", "features": name, "seed": s, **measures} for s in range(seeds)]
        )

    monkeypatch.setattr("kitlib.grade.probe.probe", probe)
    monkeypatch.setattr("kitlib.grade.probe.drawn_places", lambda _, most: (None, [f"{most} of 8125 places"]))
    out = tmp_path / "probe.csv"
    assert main(["grader", "probe", "table.csv", "--seeds", "2", "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert "ct_resnet152: [weights] not installed. Install it." in printed.err
    assert "0.900 (0.900 to 0.900)" in printed.out
    assert "1000 of 8125 places" in printed.out
    assert pd.read_csv(out)["features"].value_counts().to_dict() == {
        "grader": 2,
        "resnet10t": 2,
        "tf_efficientnet_lite0": 2,
    }
    before = out.read_bytes()
    assert main(["grader", "probe", "table.csv", "--features", "ct_resnet152", "--out", str(out)]) == 2
    assert "no features are available" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert main(["grader", "probe", "table.csv", "--features", "grader", "--out", str(out)]) == 0
    assert main(["grader", "probe", "table.csv", "--features", "resnet11", "--out", str(out)]) == 2
    assert "unknown features 'resnet11'" in capsys.readouterr().err
    assert main(["grader", "probe", "table.csv", "--places", "0", "--out", str(out)]) == 2
    assert "seeds and places must be at least 1" in capsys.readouterr().err
