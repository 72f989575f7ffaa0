"""Finding the competition's folder, and what it holds."""

import os
import shutil
from pathlib import Path

import pytest

from kitlib.competition import root
from kitlib.competition.root import SLUG, Competition, find_root
from kitlib.competition.tables import UNDESCRIBED
from kitlib.errors import RootError, TableError
from kitlib.mri.ledger import Ledger
from kitlib.terms import SEQUENCES
from tests.competition.builders import make_predictions, series_csv, write_root


@pytest.mark.parametrize(
    "marker",
    ["train.csv", "train.csv.gz", "sample_submission.csv", "test_series_descriptions.csv", "phantom.json"],
)
def test_any_marker_makes_a_root(tmp_path, marker):
    (tmp_path / marker).touch()
    assert find_root(tmp_path).root == tmp_path


@pytest.mark.parametrize(
    "mount", [SLUG, f"competitions/{SLUG}", "datasets/someone/phantoms", "notebooks/someone/make-phantoms"]
)
def test_every_kaggle_mount_is_found_without_a_folder_given(tmp_path, monkeypatch, mount):
    monkeypatch.setattr(root, "KAGGLE_INPUT", tmp_path)
    (tmp_path / "datasets" / "someone" / "weights").mkdir(parents=True)
    write_root(tmp_path / mount)
    assert find_root().root == find_root("").root == tmp_path / mount


def test_a_folder_that_was_unpacked_one_level_below_is_found(tmp_path):
    write_root(tmp_path / "data" / "unpacked")
    assert find_root(tmp_path / "data").root == tmp_path / "data" / "unpacked"


def test_the_competition_goes_before_other_folders_with_a_marker(tmp_path):
    write_root(tmp_path / "titanic")
    write_root(tmp_path / "phantoms")
    with pytest.raises(RootError, match=r"several folders .* 'phantoms', 'titanic'"):
        find_root(tmp_path)
    write_root(tmp_path / "competitions" / SLUG)
    assert find_root(tmp_path).root.name == SLUG


def test_a_root_is_absolute_so_that_it_holds_in_another_directory(tmp_path, monkeypatch):
    write_root(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    assert find_root("data").root == tmp_path / "data"


def test_a_folder_that_is_no_competition_is_refused_with_what_it_holds(tmp_path, monkeypatch):
    with pytest.raises(RootError, match=r"the folder does not exist.*train_images"):
        find_root(tmp_path / "absent")
    monkeypatch.setattr(root, "KAGGLE_INPUT", tmp_path / "kaggle")
    with pytest.raises(RootError, match=r"does not exist.*kitlib phantoms make"):
        find_root()
    with pytest.raises(RootError, match="the folder is empty"):
        find_root(tmp_path)
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(RootError, match=r"no competition folder: it holds 'holiday\.jpg'"):
        find_root(tmp_path)
    with pytest.raises(RootError, match="a file, not a folder"):
        find_root(tmp_path / "holiday.jpg")


def test_a_folder_inside_the_competition_points_to_its_parent(tmp_path):
    write_root(tmp_path, series=["train_images/7/71"])
    with pytest.raises(RootError, match=f"Try its parent, {tmp_path}"):
        find_root(tmp_path / "train_images")


def test_series_described_and_on_disk_are_both_listed(tmp_path):
    write_root(
        tmp_path,
        tables={"test_series_descriptions.csv": series_csv({8: [81], 7: [72, 71]})},
        series=[
            "test_images/7/71",
            "test_images/7/73",
            "test_images/9/91",
            "test_images/7/thumbnails",
            "test_images/__MACOSX/1",
        ],
    )
    series = Competition(tmp_path).series("test")
    assert series.columns.tolist() == ["study_id", "series_id", "sequence", "folder", "on_disk"]
    assert list(zip(series.study_id, series.series_id, series.sequence, series.on_disk)) == [
        (7, 71, SEQUENCES[1], True),
        (7, 72, SEQUENCES[0], False),
        (7, 73, UNDESCRIBED, True),
        (8, 81, SEQUENCES[0], False),
        (9, 91, UNDESCRIBED, True),
    ]
    assert [Path(folder).is_dir() for folder in series.folder] == series.on_disk.tolist()
    assert str(series.study_id.dtype) == str(series.series_id.dtype) == "int64"


def test_a_training_table_that_cannot_be_read_is_refused_and_a_test_table_done_without(tmp_path):
    for subset in ("train", "test"):
        write_root(
            tmp_path,
            tables={f"{subset}_series_descriptions.csv": "no,table\n"},
            series=[f"{subset}_images/7/71"],
        )
    ledger = Ledger()
    with pytest.raises(TableError, match="missing columns"):
        Competition(tmp_path).series("train", ledger)
    assert Competition(tmp_path).series("test", ledger)["sequence"].tolist() == [UNDESCRIBED]
    assert [fault.code for fault in ledger] == ["table.unreadable"]


def test_a_data_folder_that_cannot_be_read_is_refused_in_one_line(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "no", str(path))

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    with pytest.raises(RootError, match="the folder cannot be read: PermissionError"):
        find_root(tmp_path)


def test_tables_without_images_open(tmp_path):
    competition = Competition(
        write_root(tmp_path, tables={"train_series_descriptions.csv": series_csv({7: [71]})})
    )
    assert competition.series("train")["on_disk"].tolist() == [False]
    assert not competition.has_images("train")
    (tmp_path / "train_images" / "7").mkdir(parents=True)
    assert competition.has_images("train")


def test_every_test_study_gets_rows_wherever_it_is_named(tmp_path):
    competition = Competition(write_root(tmp_path, series=["test_images/9/91"]))
    assert competition.test_study_ids() == [9]
    (tmp_path / "test_series_descriptions.csv").write_text(series_csv({10: [101], 9: [91]}))
    assert competition.test_study_ids() == [9, 10]
    make_predictions([8]).to_csv(tmp_path / "sample_submission.csv")
    assert competition.test_study_ids() == [8, 9, 10]
    assert len(competition.sample_submission()) == 25


def test_absent_tables_say_where_they_were_expected(tmp_path):
    competition = Competition(tmp_path)
    for ask in (
        competition.train_labels,
        competition.landmarks,
        competition.sample_submission,
        competition.test_study_ids,
        lambda: competition.series("train"),
    ):
        with pytest.raises(RootError, match=str(tmp_path)):
            ask()


def test_a_root_with_a_broken_table_is_found_and_its_table_refused(tmp_path):
    write_root(tmp_path, tables={"train.csv": "study_id\n"})
    with pytest.raises(TableError, match="spinal_canal_stenosis_l1_l2"):
        find_root(tmp_path).train_labels()


def test_fingerprint_follows_the_files(tmp_path):
    competition = Competition(write_root(tmp_path / "a", series=["train_images/7/71"]))
    first = competition.fingerprint()
    assert competition.fingerprint() == first
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert Competition(tmp_path / "b").fingerprint() == first
    seen = {first}
    slice_path = tmp_path / "a" / "train_images" / "7" / "71" / "1.dcm"
    for change in (
        lambda: slice_path.write_bytes(b"1"),
        lambda: os.utime(slice_path, ns=(0, 1)),
        lambda: (slice_path.write_bytes(b"12"), os.utime(slice_path, ns=(0, 1))),
        lambda: slice_path.rename(slice_path.with_name("2.dcm")),
        lambda: slice_path.with_name("2.dcm").unlink() or (tmp_path / "a" / "train.csv").unlink(),
    ):
        change()
        seen.add(competition.fingerprint())
    assert len(seen) == 6


def test_a_link_that_leads_back_ends_and_one_that_leads_elsewhere_is_followed(tmp_path):
    root = write_root(tmp_path / "a", series=["train_images/7/71"])
    (root / "train_images" / "7" / "loop").symlink_to("..")
    (root / "train_images").rename(tmp_path / "elsewhere")
    (root / "train_images").symlink_to(tmp_path / "elsewhere")
    first = Competition(root).fingerprint()
    (tmp_path / "elsewhere" / "7" / "71" / "1.dcm").write_bytes(b"123")
    assert Competition(root).fingerprint() != first


def test_the_real_tables_open_without_images(real_dir):
    competition = find_root(real_dir / "tables")
    assert competition.train_labels().shape == (1975, 25)
    assert competition.test_study_ids() == [44036939]
    assert len(competition.landmarks()) == 48_692
    series = competition.series("train")
    assert len(series) == 6294
    assert not series["on_disk"].any()
    assert set(series["sequence"]) == set(SEQUENCES)
    assert not competition.has_images("test")
