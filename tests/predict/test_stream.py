"""Streaming prediction over a tiny finished run."""

import numpy as np
import pandas as pd
import pytest

from kitlib.competition.submission import to_rows, validate_submission
from kitlib.inputs.base import Resources
from kitlib.mri import study as study_module
from kitlib.mri.ledger import Ledger
from kitlib.predict import stream
from kitlib.predict.stream import Handling, predict_competition, predict_study
from kitlib.prepare.studies import PreparedStudies
from kitlib.run import finished
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, row_ids
from tests.run.finished import LONGEST_PX, write_study, write_tables

LENIENT = Handling()


def predict_data(data, work, out, handling=LENIENT):
    return finished.predict_data(data, work, out, handling)


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
    """The training studies, once through caches and store and once from DICOM, get the same probabilities."""
    series, ids = data.series("train"), [1, 2]
    studies = PreparedStudies.build(series, work / "volumes", longest_px=LONGEST_PX).of(ids)
    cached = {
        name: member.predict(member.input.encoder(Resources()).dataset(studies, work / "store"))
        for name, member in predictor.members.items()
    }
    expected = predictor.ensemble.apply(cached)
    for study_id, probabilities in zip(ids, expected):
        own = series[series["study_id"] == study_id]
        streamed = predict_study(predictor, study_id, own, Ledger())
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
    read = study_module.read_series

    def failing(folder, ledger, *, study_id, **options):
        if study_id == 12:
            raise MemoryError
        return read(folder, ledger, study_id=study_id, **options)

    monkeypatch.setattr(study_module, "read_series", failing)


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
    validate_submission(tmp_path / "out.csv", [11, 12, 13])  # the prior's, written first


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
