"""Any folder: files recognised by content, series by identifier, one study, and no endless loops."""

import os
import shutil

import pytest

from kitlib.errors import DataError
from kitlib.mri import folder as folder_module
from kitlib.mri.folder import list_folder
from tests.mri.builders import AXIAL, make_series, make_slice_dataset, write

UIDS = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.1"}


def codes(listing):
    return [fault.code for fault in listing.faults]


def names(listing):
    return {key: [path.name for path in paths] for key, paths in listing.series.items()}


def test_folders_of_a_number_name_their_series(tmp_path):
    for name in ("21", "22"):
        make_series(tmp_path / name, count=2)
    listing = list_folder(tmp_path)
    assert names(listing) == {21: ["1.dcm", "2.dcm"], 22: ["1.dcm", "2.dcm"]}
    assert (listing.study_uid, listing.faults) == ("", ())


def test_one_series_is_named_by_its_own_folder(tmp_path):
    assert list(list_folder(make_series(tmp_path / "22")).series) == [22]
    assert list(list_folder(make_series(tmp_path / "sag")).series) == [1]


def test_a_flat_folder_without_names_holds_the_series_that_headers_name(tmp_path):
    for series, letter in (("1.2.3.1", "a"), ("1.2.3.2", "b")):
        source = make_series(tmp_path / letter, StudyInstanceUID="1.2.3", SeriesInstanceUID=series)
        for path in source.iterdir():
            (tmp_path / "77").mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / "77" / f"IM{letter}{path.stem}")
    listing = list_folder(tmp_path / "77")
    assert listing.study_uid == "1.2.3"
    assert names(listing) == {1: [f"IMa{n}" for n in range(1, 6)], 2: [f"IMb{n}" for n in range(1, 6)]}


def test_a_series_may_lie_in_several_folders_however_deep(tmp_path):
    for number in range(3):
        place = tmp_path / "a" / f"b{number}" / "c" / "IMG"
        write(place, make_slice_dataset(number=number, **UIDS))
    assert [len(paths) for paths in list_folder(tmp_path).series.values()] == [3]


def test_two_series_in_one_numbered_folder_get_two_numbers(tmp_path):
    write(tmp_path / "21" / "a", make_slice_dataset(SeriesInstanceUID="1.1"))
    write(tmp_path / "21" / "b", make_slice_dataset(SeriesInstanceUID="1.2"))
    write(tmp_path / "1" / "c", make_slice_dataset(SeriesInstanceUID="1.3"))
    assert names(list_folder(tmp_path)) == {1: ["c"], 21: ["a"], 2: ["b"]}


def test_a_damaged_slice_is_of_the_series_beside_it(tmp_path):
    make_series(tmp_path / "21", **UIDS)
    (tmp_path / "21" / "9.dcm").write_bytes(b"junk")
    assert names(list_folder(tmp_path)) == {21: [*(f"{n}.dcm" for n in range(1, 6)), "9.dcm"]}


def test_other_files_are_counted_and_hidden_ones_are_not(tmp_path):
    make_series(tmp_path / "21")
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.4")
    (tmp_path / "empty").touch()
    write(tmp_path / "DICOMDIR", make_slice_dataset(missing=("Rows", "PixelData")))
    (tmp_path / ".DS_Store").write_bytes(b"junk")
    (tmp_path / ".git").mkdir()
    shutil.copy(tmp_path / "21" / "1.dcm", tmp_path / ".git" / "1.dcm")
    listing = list_folder(tmp_path)
    assert list(listing.series) == [21]
    assert [(fault.code, fault.detail) for fault in listing.faults] == [
        ("folder.other_files", "3 files that are no DICOM image")
    ]


def test_of_two_studies_the_larger_is_taken(tmp_path):
    make_series(tmp_path / "a" / "21", count=3, StudyInstanceUID="1.1", SeriesInstanceUID="1.1.1")
    make_series(tmp_path / "b" / "22", count=4, StudyInstanceUID="1.2", SeriesInstanceUID="1.2.1")
    listing = list_folder(tmp_path)
    assert (listing.study_uid, list(listing.series)) == ("1.2", [22])
    (fault,) = listing.faults
    assert (fault.code, fault.action) == ("folder.several_studies", "left unread")
    assert fault.detail == "3 images of 1 other studies: the study with most images is taken"


def test_studies_that_only_count_series_are_one(tmp_path):
    """As left by some anonymisers; even so, two patients' series are not mixed."""
    for number in range(1, 4):
        uids = {"StudyInstanceUID": f"1.{number}", "SeriesInstanceUID": f"1.{number}.1"}
        make_series(tmp_path / "a" / f"2{number}", PatientID="", **uids)
        make_series(tmp_path / "b" / f"2{number}", PatientID=f"P{number}", **uids)
    listing = list_folder(tmp_path / "a")
    assert list(listing.series) == [21, 22, 23]
    assert [(fault.code, fault.action) for fault in listing.faults] == [
        ("study.strangers", "all read as one")
    ]
    assert len(list_folder(tmp_path / "b").series) == 1


def test_links_are_followed_and_loops_end(tmp_path):
    make_series(tmp_path / "store" / "x")
    study = tmp_path / "study"
    study.mkdir()
    (study / "21").symlink_to(tmp_path / "store" / "x")
    (study / "again").symlink_to(study)
    (study / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "store" / "x" / "up").symlink_to(study)
    listing = list_folder(study)
    assert names(listing) == {21: [f"{n}.dcm" for n in range(1, 6)]}


def test_depth_and_number_of_files_have_an_end(tmp_path, monkeypatch):
    make_series(tmp_path / "21", count=3)
    make_series(tmp_path / "a" / "b" / "c", orientation=AXIAL)
    monkeypatch.setattr(folder_module, "DEPTH", 2)
    listing = list_folder(tmp_path)
    assert (list(listing.series), codes(listing)) == ([21], ["folder.too_deep"])
    monkeypatch.setattr(folder_module, "MOST_FILES", 2)
    listing = list_folder(tmp_path)
    assert ([len(paths) for paths in listing.series.values()], codes(listing)[-1]) == ([2], "folder.too_many")


def test_a_pipe_is_not_waited_for(tmp_path):
    make_series(tmp_path / "21")
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "21" / "pipe.dcm")
    assert codes(list_folder(tmp_path)) == ["folder.other_files"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "there is no such folder"),
        (lambda path: path.write_text("a file"), "a file, not a folder"),
        (lambda path: path.mkdir(), "the folder holds no file"),
        (
            lambda path: (path.mkdir(), (path / "a.txt").write_text("text" * 99)),
            "no DICOM file among 1 files",
        ),
    ],
)
def test_what_holds_no_study_is_refused_in_one_line(tmp_path, make, message):
    make(tmp_path / "here")
    with pytest.raises(DataError, match=message):
        list_folder(tmp_path / "here")


def test_an_unreadable_folder_is_refused_and_one_below_is_a_fault(tmp_path, monkeypatch):
    make_series(tmp_path / "21")
    (tmp_path / "locked").mkdir()
    real = os.scandir

    def scandir(path="."):
        if str(path).endswith("locked"):
            raise PermissionError(13, "no", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(
        type(tmp_path), "iterdir", lambda self: (self / entry.name for entry in os.scandir(self))
    )
    assert codes(list_folder(tmp_path)) == ["folder.unreadable"]
    with pytest.raises(DataError, match="cannot be read: PermissionError"):
        list_folder(tmp_path / "locked")
