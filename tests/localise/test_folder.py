"""One study in any folder: flat, renamed, without tags, without tables, linked, and beside others."""

import shutil
from pathlib import Path

import pydicom
import pytest

from kitlib.competition.root import Competition
from kitlib.errors import DataError
from kitlib.localise.folder import read_folder, study_rows
from kitlib.mri.ledger import Ledger
from kitlib.mri.study import Study
from kitlib.phantom.archive import write_competition
from kitlib.terms import SAGITTAL_T1, SAGITTAL_T2, SEQUENCES
from tests.mri.builders import make_series

IDENTIFYING = (
    *("SeriesDescription", "ScanningSequence", "SequenceVariant", "RepetitionTime", "EchoTime"),
    *("InversionTime", "EchoTrainLength"),
)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Competition:
    """Three phantoms in a competition's layout."""
    out = tmp_path_factory.mktemp("phantoms") / "set"
    return Competition(write_competition(out, studies=2, test_studies=1, seed=6, size="smoke"))


@pytest.fixture(scope="module")
def twelve(tmp_path_factory) -> Competition:
    out = tmp_path_factory.mktemp("phantoms") / "twelve"
    return Competition(write_competition(out, studies=12, seed=5, size="smoke"))


@pytest.fixture(scope="module")
def study(phantoms) -> Path:
    return next((phantoms.root / "test_images").iterdir())


def truth(phantoms: Competition, folder: Path) -> list[str]:
    table = phantoms.series("test" if folder.parent.name == "test_images" else "train")
    return sorted(table[table["study_id"] == int(folder.name)]["sequence"])


def sequences(found: Study) -> list[str | None]:
    return sorted((series.sequence for series in found.series if series.stacks), key=str)


def exported(study: Path, out: Path, *, without=()) -> Path:
    """A study as other software exports it: one folder, files without an extension, and some tags removed."""
    out.mkdir(parents=True)
    for number, path in enumerate(sorted(study.rglob("*.dcm"))):
        dataset = pydicom.dcmread(path)
        for keyword in without:
            if keyword in dataset:
                delattr(dataset, keyword)
        dataset.save_as(out / f"IM{number * 7919 % 1000:05d}")
    return out


@pytest.mark.slow
def test_all_phantoms_are_told_by_tags_alone(twelve, tmp_path):
    for folder in sorted((twelve.root / "train_images").iterdir()):
        ledger = Ledger()
        rows = study_rows(shutil.copytree(folder, tmp_path / folder.name), ledger)[1]
        assert set(rows["sequence"]) == {"undescribed"}
        found = read_folder(tmp_path / folder.name, ledger)
        assert sequences(found) == truth(twelve, folder)
        assert {fault.detail for fault in ledger if fault.code == "series.undescribed"} == {
            "by its echo and repetition times"
        }


@pytest.mark.slow
def test_all_phantoms_are_told_by_pixels_alone(twelve, tmp_path):
    for folder in sorted((twelve.root / "train_images").iterdir()):
        ledger = Ledger()
        found = read_folder(exported(folder, tmp_path / folder.name, without=IDENTIFYING), ledger)
        assert sequences(found) == truth(twelve, folder)
        assert {fault.detail for fault in ledger if fault.code == "series.undescribed"} == {"by its pixels"}


def test_a_flat_folder_of_any_name_is_the_same_study(phantoms, study, tmp_path):
    flat = read_folder(exported(study, tmp_path / "Mr Smith, 1950"), Ledger())
    whole = read_folder(study, Ledger())
    assert sequences(flat) == truth(phantoms, study)
    for sequence in SEQUENCES:
        ours, theirs = flat.stacks(sequence), whole.stacks(sequence)
        assert [(stack.pixels == other.pixels).all() for stack, other in zip(ours, theirs, strict=True)]
    assert flat.study_id == read_folder(exported(study, tmp_path / "elsewhere"), Ledger()).study_id > 10**8


def test_words_tell_where_times_are_gone(phantoms, study, tmp_path):
    ledger = Ledger()
    found = read_folder(exported(study, tmp_path / "a", without=IDENTIFYING[1:]), ledger)
    assert sequences(found) == truth(phantoms, study)
    assert {fault.detail for fault in ledger} == {"by its description"}


def test_a_link_has_the_name_it_was_asked_for_and_its_tables(phantoms, study, tmp_path):
    for table in phantoms.root.glob("*.csv"):
        shutil.copy(table, tmp_path)
    store = shutil.copytree(study, tmp_path / "store" / "9f2c")
    (tmp_path / "test_images").mkdir()
    link = tmp_path / "test_images" / study.name
    link.symlink_to(store)
    ledger = Ledger()
    found = read_folder(link, ledger)
    assert (found.study_id, sequences(found)) == (int(study.name), truth(phantoms, study))
    assert len(ledger) == 0


def test_a_folder_may_be_named_from_within(study, monkeypatch):
    monkeypatch.chdir(study)
    assert study_rows(Path(), Ledger())[0] == int(study.name)
    monkeypatch.chdir(next(study.iterdir()))
    assert study_rows(Path(".."), Ledger())[0] == int(study.name)


def test_a_series_of_the_tables_that_is_not_there_is_missed(phantoms, study, tmp_path):
    images = tmp_path / "test_images"
    shutil.copytree(study, images / study.name)
    for table in phantoms.root.glob("test*.csv"):
        shutil.copy(table, tmp_path)
    gone = next((images / study.name).iterdir())
    shutil.rmtree(gone)
    ledger = Ledger()
    read_folder(images / study.name, ledger)
    first = next(iter(ledger))
    assert (first.code, first.series_id) == ("series.missing", int(gone.name))


def test_broken_tables_are_done_without(phantoms, study, tmp_path):
    copy = shutil.copytree(study, tmp_path / "test_images" / study.name)
    (tmp_path / "test_series_descriptions.csv").write_text("no,table\n")
    ledger = Ledger()
    assert sequences(read_folder(copy, ledger)) == truth(phantoms, study)
    assert next(iter(ledger)).code == "study.tables"


def test_the_larger_of_two_studies_is_read_and_said(phantoms, tmp_path):
    first, second = sorted((phantoms.root / "train_images").iterdir())[:2]
    shutil.copytree(first, tmp_path / "both" / "a")
    shutil.copytree(second, tmp_path / "both" / "b")
    for path in sorted((tmp_path / "both" / "b").rglob("*.dcm"))[::2]:
        path.unlink()
    ledger = Ledger()
    found = read_folder(tmp_path / "both", ledger)
    assert {series.series_id for series in found.series} == {int(path.name) for path in first.iterdir()}
    assert next(iter(ledger)).code == "folder.several_studies"


def test_messages_name_no_patient(study, tmp_path):
    ledger = Ledger()
    folder = exported(study, tmp_path / "Smith")
    (folder / "letter to Smith.txt").write_text("text" * 99)
    read_folder(folder, ledger)
    text = ledger.table().to_csv()
    assert "PHANTOM" not in text
    assert "Smith" not in text


def test_a_folder_of_one_series_is_a_study_of_it(study):
    series = sorted(study.iterdir())[0]
    found = read_folder(series, Ledger())
    assert [one.series_id for one in found.series] == [int(series.name)]
    assert found.series[0].sequence in (*SEQUENCES, None)


def test_no_study_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_folder(tmp_path / "absent", Ledger())
    make_series(tmp_path / "7" / "21")
    with pytest.raises(DataError, match="a file, not a folder"):
        read_folder(tmp_path / "7" / "21" / "1.dcm", Ledger())


@pytest.mark.slow
def test_a_patients_study_is_told_without_its_tables(real_dir, tmp_path):
    """Identified by its headers, and by pixels alone."""
    source = next((real_dir / "rsna_open" / "study" / "train_images").iterdir())
    for name, without in {"tags": (), "pixels": ("SeriesDescription",)}.items():
        ledger = Ledger()
        found = read_folder(exported(source, tmp_path / name, without=without), ledger)
        shapes = {
            series.sequence: (series.stacks[0].plane, sum(map(len, series.stacks))) for series in found.series
        }
        assert shapes[SAGITTAL_T1] == shapes[SAGITTAL_T2] == ("sagittal", 18)
        assert shapes["Axial T2"] == ("axial", 60)
        why = "by its description" if name == "tags" else "by its pixels"
        assert {fault.detail for fault in ledger if fault.code == "series.undescribed"} == {why}
