"""Predicting the study in a folder: the same rows as among all studies, and its summary."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from kitlib.competition.submission import validate_submission, write_submission
from kitlib.errors import DataError
from kitlib.localise.folder import read_folder
from kitlib.mri import reading
from kitlib.mri.ledger import Ledger
from kitlib.mri.study import Study
from kitlib.predict.folder import StudyResult, predict_folder, predict_read
from kitlib.predict.predictor import FULL, Prediction
from kitlib.predict.stream import Handling
from kitlib.terms import AXIAL_T2, CELLS, CONDITIONS, SEQUENCES
from tests.run.finished import predict_data

LENIENT = Handling()


@pytest.mark.slow
def test_one_study_gets_the_rows_it_gets_among_all(data, work, predictor, tmp_path):
    alone = predict_folder(predictor, data.root / "test_images" / "12").rows
    among = predict_data(data.root, work, tmp_path / "all.csv").predictions
    pd.testing.assert_frame_equal(alone, among.loc[alone.index, alone.columns], check_exact=False, atol=1e-6)


def test_series_in_no_table_are_used_as_far_as_tags_pixels_and_planes_tell(data, predictor, tmp_path):
    (tmp_path / "31").mkdir()
    for source, name in zip(sorted((data.root / "test_images" / "11").iterdir()), "abc"):
        (tmp_path / "31" / name).symlink_to(source)
    result = predict_folder(predictor, tmp_path / "31")
    undescribed = [fault.action for fault in result.ledger if fault.code == "series.undescribed"]
    assert undescribed == ["left out", "left out", f"taken as {AXIAL_T2}"]
    assert set(result.prediction.rungs) == {"fewer views"}


def test_a_folder_of_any_name_is_a_valid_submission(data, predictor, tmp_path):
    folder = shutil.copytree(data.root / "test_images" / "11", tmp_path / "Mr Smith")
    result = predict_folder(predictor, folder)
    write_submission(tmp_path / "out.csv", result.rows)
    validate_submission(tmp_path / "out.csv", [result.study.study_id])
    assert result.study.study_id > 0


def test_the_predictor_reads_a_folder_for_a_notebook(data, predictor):
    ledger = Ledger()
    study = predictor.read_folder(data.root / "test_images" / "11", ledger)
    assert (study.study_id, study.sequences, len(ledger)) == (11, SEQUENCES, 0)
    assert study.series[0].stacks[0].pixels.dtype == np.uint8


def test_no_study_is_an_error_however_lenient(predictor, tmp_path):
    with pytest.raises(DataError, match="holds no file"):
        predict_folder(predictor, tmp_path, LENIENT)


def test_an_unexpected_error_ends_a_strict_call_and_leaves_the_prior_of_others(
    data, predictor, tmp_path, monkeypatch
):
    def failing(*_, **__):
        raise MemoryError

    monkeypatch.setattr(reading, "read_series", failing)
    folder = data.root / "test_images" / "11"
    with pytest.raises(MemoryError):
        predict_folder(predictor, folder)
    result = predict_folder(predictor, folder, Handling(log=tmp_path / "errors.log"))
    assert (result.study.series, set(result.prediction.rungs)) == ((), {"prior"})
    assert [fault.code for fault in result.ledger] == ["study.error"]
    assert "MemoryError" in (tmp_path / "errors.log").read_text()


def test_a_study_in_memory_is_predicted_as_from_its_folder_read_or_prepared(data, predictor):
    folder, ledger = data.root / "test_images" / "11", Ledger()
    read, prepared = read_folder(folder, ledger), predictor.read_folder(folder, ledger)
    assert read.series[0].stacks[0].pixels.dtype == np.float32
    assert predictor.prepared(prepared) is prepared
    expected = predict_folder(predictor, folder).prediction
    for study in (read, prepared):
        found = predict_read(predictor, study)
        assert found.study.series[0].stacks[0].pixels.dtype == np.uint8
        np.testing.assert_allclose(found.prediction.probabilities, expected.probabilities, atol=1e-6)
        assert found.prediction.rungs.tolist() == expected.rungs.tolist()


def test_severities_are_words_with_what_was_measured():
    chances = np.full((25, 3), (0.1, 0.7, 0.2))
    openings_mm = np.where(np.arange(25) == 1, np.nan, 9.84)
    examined = SimpleNamespace(openings_mm=openings_mm)
    result = StudyResult(Study(7, ()), Prediction.of(chances, FULL), examined, Ledger())
    assert result.severities.shape == (5, len(CONDITIONS))
    assert result.severities.loc["L1/L2", "canal"] == "Moderate 70%, 9.8 mm"
    assert CELLS[1].level == "l2_l3"
    assert result.severities.loc["L2/L3", "canal"] == "Moderate 70%"
    unmeasured = StudyResult(Study(7, ()), Prediction.of(chances, FULL), None, Ledger())
    assert set(unmeasured.severities.to_numpy().ravel()) == {"Moderate 70%"}
