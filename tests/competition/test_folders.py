"""Studies and series on disk: numbered folders, other layouts, and folders that must not be read."""

import pytest

from kitlib.competition.folders import numbered, series_anyhow, series_in
from kitlib.mri.ledger import Ledger
from tests.competition.builders import write_root
from tests.mri.builders import make_series


def reported(ledger):
    return [(fault.study_id, fault.series_id, fault.detail) for fault in ledger]


def test_folders_are_found_by_their_number_and_others_are_not(tmp_path):
    write_root(tmp_path, series=["9", "10", "007", "thumbnails", "7 ", "1.2.840"])
    (tmp_path / "11").touch()
    ledger = Ledger()
    assert numbered(tmp_path, ledger) == {7: tmp_path / "007", 9: tmp_path / "9", 10: tmp_path / "10"}
    assert numbered(tmp_path / "nowhere", ledger) == {}
    assert len(ledger) == 0


def test_of_two_folders_of_one_number_the_plainly_written_one_is_read(tmp_path):
    write_root(tmp_path, series=["7", "007"])
    ledger = Ledger()
    assert numbered(tmp_path, ledger) == {7: tmp_path / "7"}
    assert reported(ledger) == [(7, None, "another folder has the same number")]


@pytest.mark.parametrize("name", ["-7", "9" * 19])
def test_a_number_that_is_no_id_is_told(tmp_path, name):
    write_root(tmp_path, series=[name])
    ledger = Ledger()
    assert numbered(tmp_path, ledger, study_id=7) == {}
    assert reported(ledger) == [(7, None, "a number below 0 or of more than 18 digits")]


def test_a_link_to_itself_is_told_as_of_its_study_and_series(tmp_path):
    (tmp_path / "71").symlink_to("71")
    studies, series = Ledger(), Ledger()
    assert numbered(tmp_path, studies) == series_in(tmp_path, 7, series) == {}
    assert (reported(studies), reported(series)) == ([(71, None, "OSError")], [(7, 71, "OSError")])


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_link_that_leads_back_is_told_and_not_followed(tmp_path, target):
    make_series(tmp_path / "test_images" / "7" / "71")
    (tmp_path / "test_images" / "7" / "72").symlink_to(target)
    (tmp_path / "test_images" / "7" / "73").symlink_to("71")
    ledger = Ledger()
    assert series_in(tmp_path / "test_images" / "7", 7, ledger).keys() == {71, 73}
    assert reported(ledger) == [(7, 72, "a link that leads back")]


def test_a_file_in_place_of_a_folder_is_told(tmp_path):
    (tmp_path / "7").touch()
    ledger = Ledger()
    assert series_in(tmp_path / "7", 7, ledger) == {}
    assert reported(ledger) == [(7, None, "NotADirectoryError")]


def test_folders_that_a_table_describes_are_taken_as_they_are(tmp_path):
    make_series(tmp_path / "71")
    ledger = Ledger()
    assert series_anyhow(tmp_path, 7, ledger, {71, 72}) == {71: str(tmp_path / "71")}


@pytest.mark.parametrize("place", ["", "20240101/71", "MR/T1"])
def test_otherwise_headers_tell_the_series(tmp_path, place):
    make_series(tmp_path / place, count=3)
    (series,) = series_anyhow(tmp_path, 7, Ledger(), {72}).values()
    assert sorted(path.name for path in series) == ["1.dcm", "2.dcm", "3.dcm"]


def test_without_an_image_there_are_the_folders(tmp_path):
    write_root(tmp_path, series=["71"])
    assert series_anyhow(tmp_path, 7, Ledger(), ()) == {71: str(tmp_path / "71")}
