"""Streaming prediction over a tiny finished run."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pydicom
import pytest

from kitlib.competition.root import Competition
from kitlib.competition.submission import to_rows, validate_submission
from kitlib.inputs.base import Resources
from kitlib.mri import reading
from kitlib.mri.ledger import Fault, Ledger
from kitlib.predict import stream
from kitlib.predict.stream import Handling, predict_competition, predict_study
from kitlib.prepare.studies import PreparedStudies
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, row_ids
from tests.run.finished import LONGEST_PX, predict_data, write_study, write_tables


def prior_rows(predictor, study_id):
    return predictor.prior.predict([study_id])


def test_a_whole_test_set_becomes_a_valid_submission(data, work, predictor, tmp_path):
    result = predict_data(data.root, work, tmp_path / "submission.csv")
    validate_submission(tmp_path / "submission.csv", [11, 12, 13])
    assert (result.predictions["rung"] == "full model").all()
    assert len(result.ledger) == 0
    assert set(result.seconds.index) == {11, 12, 13}
    assert not np.allclose(result.predictions.loc[row_ids(11)].iloc[:, :3], prior_rows(predictor, 11))


def test_streaming_predicts_what_the_cached_way_does(data, work, predictor):
    """The training studies get the same probabilities through caches and store as directly from DICOM."""
    series, ids = data.series("train"), [1, 2]
    studies = PreparedStudies.build(series, work / "volumes", longest_px=LONGEST_PX).of(ids)
    cached = {
        name: member.predict(member.input.encoder(Resources()).dataset(studies, work / "store"))
        for name, member in predictor.members.items()
    }
    expected = predictor.ensemble.apply(cached)
    for study_id, probabilities in zip(ids, expected):
        own = series[series["study_id"] == study_id]
        _, streamed = predict_study(predictor, study_id, own, Ledger())
        assert set(streamed.rungs) == {"full model"}
        np.testing.assert_allclose(streamed.probabilities, probabilities, atol=2e-3)


def test_what_a_study_lacks_is_in_the_ledger_and_its_rows_are_there(work, tmp_path):
    data = tmp_path / "data"
    rows = [*write_study(data, "test", 21, (SAGITTAL_T1, AXIAL_T2)), (22, 220, SAGITTAL_T2)]
    for path in (data / "test_images" / "21" / "211").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    write_tables(data, "test", rows)
    result = predict_data(data, work, tmp_path / "out.csv")
    validate_submission(tmp_path / "out.csv", [21, 22])
    assert set(result.predictions.loc[row_ids(21), "rung"]) == {"fewer views"}
    assert set(result.predictions.loc[row_ids(22), "rung"]) == {"prior"}
    codes = {fault.code for fault in result.ledger}
    assert {"series.unreadable", "study.sequence", "series.missing", "study.no_image"} <= codes
    filled = next(fault for fault in result.ledger if fault.code == "study.no_image")
    assert filled.row_ids == tuple(row_ids(22))


@pytest.fixture
def out_of_memory(monkeypatch):
    """Study 12 cannot be read."""
    read = reading.read_series

    def failing(folder, ledger, *, study_id, **options):
        if study_id == 12:
            raise MemoryError
        return read(folder, ledger, study_id=study_id, **options)

    monkeypatch.setattr(reading, "read_series", failing)


@pytest.mark.usefixtures("out_of_memory")
def test_a_study_that_fails_does_not_cost_the_others_their_rows(data, predictor, tmp_path):
    log = tmp_path / "errors.log"
    result = predict_competition(predictor, data, out=tmp_path / "out.csv", handling=Handling(log=log))
    rungs = result.predictions["rung"]
    assert set(rungs.loc[row_ids(12)]) == {"prior"}
    assert set(rungs.drop(row_ids(12))) == {"full model"}
    assert [(fault.code, fault.detail, fault.study_id) for fault in result.ledger] == [
        ("study.error", "MemoryError", 12)
    ]
    pd.testing.assert_frame_equal(result.predictions.loc[row_ids(12)].iloc[:, :3], prior_rows(predictor, 12))
    assert log.read_text().startswith("study 12\nTraceback")
    assert "in failing" in log.read_text()


@pytest.mark.usefixtures("out_of_memory")
def test_a_strict_run_ends_with_the_exception(data, predictor, tmp_path):
    with pytest.raises(MemoryError):
        predict_competition(predictor, data, out=tmp_path / "out.csv", handling=Handling(strict=True))
    validate_submission(tmp_path / "out.csv", [11, 12, 13])  # the prior, written first


def test_studies_beyond_the_budget_get_the_prior_and_a_fault_each(data, predictor, tmp_path):
    result = predict_competition(predictor, data, out=tmp_path / "out.csv", budget_s=0)
    assert (result.predictions["rung"] == "prior").all()
    assert [fault.code for fault in result.ledger] == ["budget.exhausted"] * 3
    validate_submission(tmp_path / "out.csv", [11, 12, 13])


def test_a_run_cut_short_leaves_the_prior_submission(data, predictor, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stream, "predict_study", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict_competition(predictor, data, out=tmp_path / "out.csv")
    validate_submission(tmp_path / "out.csv", [11, 12, 13])


def test_an_undescribed_sagittal_series_is_the_one_the_study_lacks(work, tmp_path):
    data = tmp_path / "data"
    rows = write_study(data, "test", 41)
    write_tables(data, "test", [row for row in rows if row[2] != SAGITTAL_T2])
    result = predict_data(data, work, tmp_path / "out.csv")
    assert [fault.action for fault in result.ledger] == [f"taken as {SAGITTAL_T2}"]
    assert set(result.predictions["rung"]) == {"full model"}


def test_predictions_are_rows_in_the_order_of_studies_and_cells(data, work, tmp_path):
    result = predict_data(data.root, work, tmp_path / "out.csv")
    assert list(result.predictions.index) == list(to_rows([11, 12, 13], np.full((3, 25, 3), 1 / 3)).index)


def first_called(text):
    return lambda lines: [lines[0].replace(SAGITTAL_T1, text), *lines[1:]]


BAD_LINES = {
    "repeated": lambda lines: [*lines, lines[0]],
    "contradictory": lambda lines: [*lines, lines[0].replace(SAGITTAL_T1, SAGITTAL_T2)],
    "unknown word": first_called("Coronal T1"),
    "no word": first_called(""),
    "a comma too many": first_called("Sagittal T1, T2"),
    "an open quote": lambda lines: [*lines, '11,"111'],
    "no UTF-8": first_called("Sagittal T\udcff"),
    "cut short": lambda lines: [lines[0].rpartition(",")[0], *lines[1:]],
    "hostile study": lambda lines: ["../x,111,Axial T2", *lines],
    "long study": lambda lines: [f"{'9' * 19},111,Axial T2", *lines],
    "negative series": lambda lines: ["11,-111,Axial T2", *lines],
}
HARMLESS_LINES = {
    "blank": lambda lines: ["", " ", ",,", *lines],
    "spaces": lambda lines: [" " + lines[0].replace(",", " ,\t") + "  ", *lines[1:]],
    "leading zeros": lambda lines: ["00" + lines[0].replace(",", ",0", 1), *lines[1:]],
}


@pytest.fixture(scope="module")
def whole(data, predictor, tmp_path_factory):
    """The submission of the data as they are."""
    out = tmp_path_factory.mktemp("whole") / "out.csv"
    predict_competition(predictor, data, out=out)
    return out.read_text()


@pytest.fixture
def copied(data, tmp_path):
    """The test set through links, with its own table."""
    (tmp_path / "test_images").mkdir()
    for study in (data.root / "test_images").iterdir():
        (tmp_path / "test_images" / study.name).symlink_to(study)
    shutil.copy(data.root / "test_series_descriptions.csv", tmp_path)
    return Competition(tmp_path)


def edit_series_table(competition, change):
    path = competition.root / "test_series_descriptions.csv"
    header, *lines = path.read_text().splitlines()
    path.write_bytes("\n".join([header, *change(lines), ""]).encode(errors="surrogateescape"))


def rows_of(text, *study_ids):
    return [line for line in text.splitlines() if line.partition("_")[0] in map(str, study_ids)]


@pytest.mark.parametrize("change", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_of_the_series_table_costs_no_other_study_and_is_told(
    change, whole, copied, predictor, tmp_path
):
    edit_series_table(copied, change)
    result = predict_competition(predictor, copied, out=tmp_path / "out.csv")
    assert "table.line" in {fault.code for fault in result.ledger}
    assert {fault.study_id for fault in result.ledger} <= {11, None}
    # The plane shows what the line does not: not even its own study is changed.
    assert (tmp_path / "out.csv").read_text() == whole


@pytest.mark.parametrize("change", HARMLESS_LINES.values(), ids=HARMLESS_LINES)
def test_what_can_be_understood_of_the_series_table_is_no_fault(change, whole, copied, predictor, tmp_path):
    edit_series_table(copied, change)
    result = predict_competition(predictor, copied, out=tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == whole
    assert len(result.ledger) == 0


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n\xff", b"study,series\n11,111\n", None])
def test_a_test_set_without_a_series_table_is_told_by_its_images(content, copied, predictor, tmp_path):
    path = copied.root / "test_series_descriptions.csv"
    path.unlink() if content is None else path.write_bytes(content)
    (tmp_path / "sample_submission.csv").write_bytes(b"no table")
    result = predict_competition(predictor, copied, out=tmp_path / "out.csv")
    validate_submission(tmp_path / "out.csv", [11, 12, 13])
    assert set(result.predictions["rung"]) == {"fewer views"}  # in noise, only the plane shows what is axial
    assert [fault.code for fault in result.ledger][:2] == ["table.unreadable"] * 2


def test_hostile_rows_of_the_sample_cost_themselves(whole, copied, predictor, tmp_path):
    cell = "spinal_canal_stenosis_l1_l2"
    studies = ("14", "../x", "9" * 19, "-7", "", "11")
    text = "row_id,normal_mild,moderate,severe\n" + "".join(f"{study}_{cell},,,\n" for study in studies)
    (copied.root / "sample_submission.csv").write_text(text)
    result = predict_competition(predictor, copied, out=tmp_path / "out.csv")
    validate_submission(tmp_path / "out.csv", [11, 12, 13, 14])
    assert rows_of((tmp_path / "out.csv").read_text(), 11, 12, 13) == rows_of(whole, 11, 12, 13)
    (detail,) = (fault.detail for fault in result.ledger if fault.code == "table.line")
    assert detail == "line 3 of the sample is the first that names no study and cell"


def test_folders_that_cannot_be_looked_into_cost_their_own_study(
    whole, copied, predictor, tmp_path, monkeypatch
):
    images, real = copied.root / "test_images", os.scandir
    (images / "13").unlink()
    (images / "13").mkdir()
    (images / "13" / "131").symlink_to("131")
    (images / "14").symlink_to("14")

    def scandir(path="."):
        if str(path) == str(images / "12"):
            raise PermissionError(13, "no", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    result = predict_competition(predictor, copied, out=tmp_path / "out.csv")
    validate_submission(tmp_path / "out.csv", [11, 12, 13])
    assert rows_of((tmp_path / "out.csv").read_text(), 11, 12) == rows_of(whole, 11, 12)
    unread = [fault for fault in result.ledger if fault.code == "folder.unreadable"]
    assert [(fault.study_id, fault.series_id) for fault in unread] == [(14, None), (12, None), (13, 131)]
    copied.fingerprint()


@pytest.mark.parametrize("inner", ["", "1.2.840.{}/"])
def test_a_test_study_may_be_filed_in_another_way(inner, data, copied, predictor, tmp_path):
    """All files in one folder, or folders without numbers: series are then identified by headers."""
    study = copied.root / "test_images" / "12"
    study.unlink()
    for path in sorted((data.root / "test_images" / "12").rglob("*.dcm")):
        series = path.parent.name
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = f"2.25.{series}"
        (study / inner.format(series)).mkdir(parents=True, exist_ok=True)
        dataset.save_as(study / inner.format(series) / f"{series}-{path.stem}")
    edit_series_table(copied, lambda lines: [line for line in lines if "12,12" not in line])
    result = predict_competition(predictor, copied, out=tmp_path / "out.csv")
    listed = copied.series("test")
    assert listed.loc[listed["study_id"] == 12, "on_disk"].tolist() == [True] * 3
    assert set(result.predictions["rung"].loc[row_ids(12)]) == {
        "fewer views"
    }  # noise: planes identify one of three


class Doubting:
    """An encoder that reports a doubt about a row of study 12."""

    def __init__(self, encoder, code="landmarks.prior"):
        self.spec, self.encoder, self.code = encoder.spec, encoder, code

    def encode(self, study, ledger):
        if study.study_id == 12:
            ledger.add(Fault(self.code, "graded all the same", 12, row_ids=(row_ids(12)[3],)))
        return self.encoder.encode(study, ledger)


@pytest.mark.parametrize(
    ("code", "rung"), [("landmarks.prior", "places in doubt"), ("landmarks.unseen", "fewer views")]
)
def test_a_row_that_an_encoder_doubts_is_no_row_of_the_full_model(code, rung, data, predictor, tmp_path):
    encoders = {name: Doubting(encoder, code) for name, encoder in predictor.encoders.items()}
    result = predict_competition(replace(predictor, encoders=encoders), data, out=tmp_path / "out.csv")
    rungs = result.predictions["rung"]
    assert rungs[rungs != "full model"].to_dict() == {row_ids(12)[3]: rung}
    assert [fault.code for fault in result.ledger] == [code]


@pytest.fixture
def odd_series(copied):
    """T1 of study 12 has one slice left."""
    series = copied.root / "test_images" / "12"
    files = series.resolve()
    series.unlink()
    shutil.copytree(files, series)
    for path in sorted((series / "121").iterdir())[1:]:
        path.unlink()
    return copied


def test_rows_graded_on_images_in_doubt_are_no_rows_of_the_full_model(odd_series, predictor, tmp_path):
    result = predict_competition(predictor, odd_series, out=tmp_path / "out.csv")
    rungs = result.predictions["rung"]
    doubted = set(rungs.index[rungs == "images in doubt"])
    assert doubted == {row for row in row_ids(12) if "foraminal" in row}
    assert set(rungs[~rungs.index.isin(doubted)]) == {"full model"}


def test_a_row_stands_on_the_lowest_rung_that_applies(odd_series, predictor, tmp_path):
    shutil.rmtree(odd_series.root / "test_images" / "12" / "123")
    encoders = {name: Doubting(encoder) for name, encoder in predictor.encoders.items()}
    result = predict_competition(replace(predictor, encoders=encoders), odd_series, out=tmp_path / "out.csv")
    rungs = result.predictions.loc[row_ids(12), "rung"]
    assert rungs.iloc[3] == "places in doubt"
    assert set(rungs[rungs.index.str.contains("foraminal")]) <= {"images in doubt", "places in doubt"}
    assert set(rungs[rungs.index.str.contains("canal|subarticular")]) <= {"fewer views", "places in doubt"}
