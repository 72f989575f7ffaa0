import json

import numpy as np
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
    assert main(["localise", str(study), "--json", "--out", str(picture)]) == 0
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
    assert main(["localise", str(sorted(study.iterdir())[0])]) == 0
    assert "points; " in capsys.readouterr().out
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).random((3, 160, 160)))
    assert main(["localise", "--npy", str(tmp_path / "noise.npy"), "--spacing-mm", "1.5"]) == 0
    assert "abstained" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["localise"], "nothing to localise in"),
        (["localise", "here", "--npy", "there.npy"], "nothing to localise in, or two things"),
        (["localise", "--npy", "there.npy"], "an array has no spacing"),
        (["localise", "nowhere"], "no such folder"),
        (["localiser", "train", "--out", "x.safetensors", "--epochs", "0"], "are one or more"),
        (["audit", "--data", "nowhere"], "the folder does not exist"),
    ],
)
def test_bad_requests_are_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_an_audit_of_phantoms_finds_what_is_missing_and_no_more(phantoms, tmp_path, capsys):
    report = tmp_path / "report.json"
    assert main(["audit", "--data", str(phantoms), "--out", str(report)]) == 0
    assert "report in" in capsys.readouterr().out
    findings = load_json(report)["findings"]
    assert {row["code"] for row in findings} <= {"point.missing"}


def test_a_training_leaves_weights_and_the_command_that_made_them(tmp_path, capsys):
    out = tmp_path / "localiser.safetensors"
    counts = ["--sagittal", "2", "--axial", "2", "--epochs", "1", "--seed", "3"]
    assert main(["localiser", "train", "--out", str(out), "--pool", str(tmp_path / "pool"), *counts]) == 0
    assert "weights in" in capsys.readouterr().out
    assert "--sagittal 2 --axial 2 --epochs 1 --seed 3" in facts_of(out)["command"]
