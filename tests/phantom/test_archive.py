import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.errors import DataError, UsageError
from kitlib.phantom import archive
from kitlib.phantom.archive import study_ids, write_competition
from kitlib.phantom.labels import draw_grades
from kitlib.phantom.truth import read_truth, true_grades
from kitlib.terms import CELL_NAMES, CONDITIONS, EMPTY, LEVELS, SEVERITIES, condition2text, level2text

NO_PROCESS = 2**31 - 1
REQUEST = {"studies": 3, "test_studies": 1, "seed": 5, "size": "smoke"}


def digest(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_competition(tmp_path_factory.mktemp("phantoms") / "data", **REQUEST)


def test_the_layout_is_the_competitions(folder: Path) -> None:
    train = pd.read_csv(folder / "train.csv")
    assert list(train) == ["study_id", *CELL_NAMES]
    assert train["study_id"].is_monotonic_increasing
    assert set(train[list(CELL_NAMES)].stack()) <= set(SEVERITIES)
    series = pd.read_csv(folder / "train_series_descriptions.csv")
    assert list(series) == ["study_id", "series_id", "series_description"]
    for row in series.itertuples():
        files = list((folder / "train_images" / str(row.study_id) / str(row.series_id)).glob("*.dcm"))
        numbers = [int(file.stem) for file in files]
        assert numbers
        assert len(set(numbers)) == len(numbers)
    assert {file.name for file in (folder / "train_images").iterdir()} == set(train["study_id"].astype(str))


def test_landmarks_are_spelt_as_in_the_competition(folder: Path) -> None:
    points = pd.read_csv(folder / "train_label_coordinates.csv")
    assert list(points) == ["study_id", "series_id", "instance_number", "condition", "level", "x", "y"]
    assert set(points["condition"]) <= {condition2text[condition] for condition in CONDITIONS}
    assert set(points["level"]) == {level2text[level] for level in LEVELS}
    assert set(points["study_id"]) == set(pd.read_csv(folder / "train.csv")["study_id"])


def test_the_test_split_has_a_sample_and_its_truth_apart(folder: Path) -> None:
    sample = pd.read_csv(folder / "sample_submission.csv")
    truth = pd.read_csv(folder / "test_labels.csv")
    assert list(sample) == ["row_id", "normal_mild", "moderate", "severe"]
    assert len(sample) == 25
    assert sample["row_id"].is_monotonic_increasing
    assert sample["row_id"].str.startswith(str(truth["study_id"].item())).all()
    assert list(truth) == ["study_id", *CELL_NAMES]
    assert not set(truth["study_id"]) & set(pd.read_csv(folder / "train.csv")["study_id"])


def test_the_truth_is_kept_beside_what_readers_wrote(folder: Path) -> None:
    grades = true_grades(folder, pd.read_csv(folder / "train.csv")["study_id"])
    for row in pd.read_csv(folder / "train.csv", keep_default_na=False).set_index("study_id").itertuples():
        truth = read_truth(folder, row.Index)
        assert list(row[1:]) == ["" if code == EMPTY else SEVERITIES[code] for code in truth["labels"]]
        drawn = draw_grades(1, np.random.default_rng([5, row.Index, 0]))[0]
        assert np.allclose(grades.loc[row.Index], drawn, atol=1e-5)
        assert truth["severities"] == np.floor(drawn).astype(int).tolist()
        assert {"person", "field_t", "transitional", "metal"} <= set(truth)


def test_the_table_holds_the_points_as_annotated(folder: Path) -> None:
    points = pd.read_csv(folder / "train_label_coordinates.csv")
    assert points["study_id"].nunique() == REQUEST["studies"]
    for study_id, own in points.groupby("study_id"):
        truth = read_truth(folder, study_id)
        assert np.allclose(own[["x", "y"]], [[point["x"], point["y"]] for point in truth["points"]])
        assert len(truth["landmarks"]) >= len(own)


@pytest.mark.slow
def test_the_same_bytes_again_and_from_two_processes(folder: Path, tmp_path: Path) -> None:
    assert digest(write_competition(tmp_path / "again", **REQUEST, workers=2)) == digest(folder)


@pytest.mark.slow
def test_a_killed_run_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, drawn = archive.draw_study, []

    def dies(study_id: int, **how: object) -> object:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(study_id)
        return real(study_id, **how)

    out = tmp_path / "data"
    monkeypatch.setattr(archive, "draw_study", dies)
    with pytest.raises(KeyboardInterrupt):
        write_competition(out, **REQUEST)
    assert not (out / "train.csv").exists()
    for process in (os.getpid(), NO_PROCESS):
        (out / "train_images" / f".{study_ids(4, 5)[2]}.{process}.draft").mkdir()
    monkeypatch.setattr(
        archive, "draw_study", lambda study_id, **how: drawn.append(study_id) or real(study_id, **how)
    )
    write_competition(out, **REQUEST)
    assert sorted(drawn) == sorted(study_ids(4, 5))
    assert digest(out) == digest(folder)


@pytest.mark.slow
def test_two_processes_that_draw_one_folder_do_not_disturb_each_other(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, begun, out = archive.write_series, list[int](), tmp_path / "data"

    def write_series(*arguments: object, **how: object) -> None:
        if not begun:
            begun.append(os.getpid())
            with monkeypatch.context() as other:
                other.setattr(os, "getpid", os.getppid)
                write_competition(out, **REQUEST)
        real(*arguments, **how)

    monkeypatch.setattr(archive, "write_series", write_series)
    write_competition(out, **REQUEST)
    assert digest(out) == digest(folder)


def test_a_finished_folder_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(folder)
    monkeypatch.setattr(archive, "draw_study", lambda *_, **__: pytest.fail("drawn again"))
    write_competition(folder, **REQUEST)
    assert digest(folder) == before


@pytest.mark.parametrize(
    "change",
    [{"seed": 6}, {"size": "demo"}, {"studies": 2}, {"missing_rate": 0.5}, {"defects": ["rle"]}],
)
def test_other_phantoms_are_not_overwritten(folder: Path, change: dict) -> None:
    before = digest(folder)
    ((name, asked),) = change.items()
    with pytest.raises(
        DataError, match=re.escape(f"other phantoms: {name} ") + ".*" + re.escape(f"not {asked} (")
    ):
        write_competition(folder, **{**REQUEST, **change})
    assert digest(folder) == before


def test_other_data_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("study_id\n")
    with pytest.raises(DataError, match="holds other data"):
        write_competition(tmp_path, **REQUEST)
    assert [file.name for file in tmp_path.iterdir()] == ["train.csv"]


@pytest.mark.parametrize("content", ["", "{", "7", "[7]"])
def test_a_broken_marker_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "phantom.json").write_text(content)
    with pytest.raises(DataError, match="does not parse"):
        write_competition(tmp_path, **REQUEST)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(DataError, match="cannot be used"):
        write_competition(file / "data", **REQUEST)


@pytest.mark.parametrize(
    "change",
    [
        {"studies": -1},
        {"studies": 0, "test_studies": 0},
        {"workers": 0},
        {"size": "huge"},
        {"missing_rate": 2},
        {"defects": ["haunted"]},
    ],
)
def test_bad_requests_change_nothing(tmp_path: Path, change: dict) -> None:
    with pytest.raises(UsageError):
        write_competition(tmp_path / "new", **{**REQUEST, **change})
    assert not (tmp_path / "new").exists()


def test_ids_are_distinct_and_stable() -> None:
    ids = study_ids(500, seed=1)
    assert len(set(ids)) == 500
    assert study_ids(20, seed=1) == ids[:20]
    assert study_ids(20, seed=2) != ids[:20]


def test_the_marker_says_what_was_asked(folder: Path) -> None:
    assert json.loads((folder / "phantom.json").read_text())["seed"] == 5
