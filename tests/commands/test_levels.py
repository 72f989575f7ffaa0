import json

import numpy as np
import pandas as pd
import pytest

from kitlib.artefacts import facts_of, load_json
from kitlib.cli import main
from kitlib.phantom.archive import write_competition

KEYS = {
    "landmark",
    "level",
    "side",
    "series_id",
    "instance_number",
    "x",
    "y",
    "patient_mm",
    "confidence",
}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return write_competition(tmp_path_factory.mktemp("data") / "set", studies=2, seed=6, size="smoke")


@pytest.fixture(scope="module")
def study(phantoms):
    return sorted((phantoms / "train_images").iterdir())[0]


def test_one_json_object_of_points_in_the_images(study, tmp_path, capsys):
    picture = tmp_path / "overlay.png"
    assert main(["levels", "find", str(study), "--json", "--out", str(picture)]) == 0
    located = json.loads(capsys.readouterr().out)
    assert set(located) == {"points", "abstained", "reason"}
    assert located["abstained"] == (located["reason"] is not None)
    series = {int(folder.name) for folder in study.iterdir()}
    for point in located["points"]:
        assert set(point) == KEYS
        assert point["series_id"] in series
        assert (study / str(point["series_id"]) / f"{point['instance_number']}.dcm").is_file()
        assert 0 <= point["confidence"] <= 1
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_series_alone_and_an_array_are_said_in_words(study, tmp_path, capsys):
    assert main(["levels", "find", str(sorted(study.iterdir())[0])]) == 0
    assert "points; " in capsys.readouterr().out
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).random((3, 160, 160)))
    assert main(["levels", "find", "--npy", str(tmp_path / "noise.npy"), "--spacing-mm", "1.5"]) == 0
    assert "abstained" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["levels", "find"], "no input"),
        (["levels", "find", "here", "--npy", "there.npy"], "no input, or two inputs"),
        (["levels", "find", "--npy", "there.npy"], "an array has no spacing"),
        (["levels", "find", "nowhere"], "no such folder"),
        (["levels", "train", "--out", "x.safetensors", "--epochs", "0"], "must be at least 1"),
        (["levels", "audit", "--data", "nowhere"], "the folder does not exist"),
        (["levels", "audit", "--data", "nowhere", "--workers", "0"], "workers must be at least 1"),
    ],
)
def test_bad_requests_are_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_an_audit_of_phantoms_finds_what_is_missing_and_no_more(phantoms, tmp_path, capsys):
    report = tmp_path / "report.json"
    options = ["--out", str(report), "--no-localiser"]
    assert main(["levels", "audit", "--data", str(phantoms), *options]) == 0
    out = capsys.readouterr().out
    assert "the localiser was not used" in out
    assert "report in" in out
    saved = load_json(report)
    assert {row["code"] for row in saved["findings"]} <= {"point.missing"}
    assert (saved["localiser_asked"], saved["localiser_sure"]) == (0, 0)


@pytest.fixture
def few_studies(tmp_path):
    """A folder whose table has a duplicate point and one outside its image."""
    root = write_competition(tmp_path / "few", studies=1, seed=6, size="smoke", missing_rate=0)
    table = pd.read_csv(root / "train_label_coordinates.csv")
    table.loc[3, "x"] = -50.0
    pd.concat([table, table.iloc[[8]]]).to_csv(root / "train_label_coordinates.csv", index=False)
    return root, len(table)


def test_what_an_audit_finds_is_dropped_before_fine_tuning(few_studies, tmp_path, monkeypatch, capsys):
    root, count = few_studies
    given = {}
    monkeypatch.setattr("kitlib.localise.train.samples.make_pool", lambda *_, **__: None)
    monkeypatch.setattr(
        "kitlib.localise.train.heatmaps.finetune", lambda *_, **options: given.update(options) or {}
    )
    assert main(["levels", "train", "--out", str(tmp_path / "x.safetensors"), "--data", str(root)]) == 0
    assert f"audit: 2 of {count + 1} points dropped, 0 mended; the localiser" in capsys.readouterr().out
    assert len(given["points"]) == count - 1
    assert (given["points"]["x"] >= 0).all()


@pytest.mark.slow
def test_a_training_leaves_weights_and_the_command_that_made_them(tmp_path, capsys):
    out = tmp_path / "localiser.safetensors"
    counts = ["--sagittal", "2", "--axial", "2", "--epochs", "1", "--seed", "3"]
    junction = ["--junction", "2", "--junction-epochs", "1", "--pool", str(tmp_path / "pool")]
    assert main(["levels", "train", "--out", str(out), *counts, *junction]) == 0
    assert "weights in" in capsys.readouterr().out
    assert "--sagittal 2 --axial 2 --epochs 1 --seed 3" in facts_of(out)["command"]


@pytest.mark.slow
def test_evaluating_says_how_far_off_each_place_is_and_writes_a_row_a_landmark(tmp_path, capsys):
    words = ["levels", "evaluate", "--studies", "2", "--size", "smoke", "--out", str(tmp_path / "errors.csv")]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "median_3d_mm" in printed
    errors = pd.read_csv(tmp_path / "errors.csv")
    assert {*errors["study_id"]} == {1, 2}
    assert not errors.duplicated(["study_id", "landmark", "level", "side"]).any()
    assert errors["level_right"].mean() > 0.9


def test_evaluating_nothing_is_one_line(capsys):
    assert main(["levels", "evaluate", "--studies", "0"]) == 2
    assert "studies must be at least 1" in capsys.readouterr().err
