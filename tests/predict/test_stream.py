"""Streaming prediction over a tiny finished run."""

import shutil

import numpy as np
import pandas as pd
import pytest

from kitlib.artefacts import load_json, save_json
from kitlib.competition.submission import to_rows, validate_submission
from kitlib.embed.store import EmbeddingStore
from kitlib.errors import ArtefactError, RootError, StepError
from kitlib.mri.ledger import Ledger
from kitlib.predict import stream as predict
from kitlib.predict.predictor import embedding_spec, load_predictor
from kitlib.predict.stream import predict_competition, predict_data, predict_one_study, predict_study
from kitlib.prepare.tabular import study_metadata
from kitlib.prepare.volumes import VolumeCache
from kitlib.run.steps import manifest_path
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, row_ids
from tests.run.finished import LONGEST_PX, MADE, finish_step, write_study, write_tables


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
    series = data.series("train")
    record = load_json(work / "03_embeddings" / "embedding.json")
    cache = VolumeCache(work / "volumes", longest_px=LONGEST_PX)
    ids = [1, 2]
    metadata = study_metadata(ids, series, cache.stacks)
    cached = {}
    for name, member in predictor.members.items():
        store = EmbeddingStore(work / "store", embedding_spec(record, member.grey))
        cached[name] = member.predict(store.features(ids, series, metadata))
    expected = predictor.ensemble.apply(cached)
    for study_id, probabilities in zip(ids, expected):
        own = series[series["study_id"] == study_id]
        streamed, rung = predict_study(predictor, study_id, own, Ledger())
        assert rung == "full model"
        np.testing.assert_allclose(streamed, probabilities, atol=2e-3)


def test_one_study_gets_the_rows_it_gets_among_all(data, work, tmp_path):
    alone = predict_one_study(data.root / "test_images" / "12", work, tmp_path / "one.csv").predictions
    among = predict_data(data.root, work, tmp_path / "all.csv").predictions
    pd.testing.assert_frame_equal(alone, among.loc[alone.index], check_exact=False, atol=1e-6)


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


def test_a_study_that_fails_does_not_cost_the_others_their_rows(data, predictor, tmp_path, monkeypatch):
    read = predict.read_series

    def failing(folder, ledger, *, study_id, series_id):
        if study_id == 12:
            raise MemoryError
        return read(folder, ledger, study_id=study_id, series_id=series_id)

    monkeypatch.setattr(predict, "read_series", failing)
    result = predict_competition(predictor, data, out=tmp_path / "out.csv")
    rungs = result.predictions["rung"]
    assert set(rungs.loc[row_ids(12)]) == {"prior"}
    assert set(rungs.drop(row_ids(12))) == {"full model"}
    assert [(fault.code, fault.detail, fault.study_id) for fault in result.ledger] == [
        ("study.error", "MemoryError", 12)
    ]
    pd.testing.assert_frame_equal(result.predictions.loc[row_ids(12)].iloc[:, :3], prior_rows(predictor, 12))


def test_studies_beyond_the_budget_get_the_prior_and_a_fault_each(data, predictor, tmp_path):
    result = predict_competition(predictor, data, out=tmp_path / "out.csv", budget_s=0)
    assert (result.predictions["rung"] == "prior").all()
    assert [fault.code for fault in result.ledger] == ["budget.exhausted"] * 3
    validate_submission(tmp_path / "out.csv", [11, 12, 13])


def test_a_run_cut_short_leaves_the_prior_submission(data, predictor, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "predict_study", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict_competition(predictor, data, out=tmp_path / "out.csv")
    validate_submission(tmp_path / "out.csv", [11, 12, 13])


def test_series_in_no_table_are_used_as_far_as_their_plane_tells(data, work, tmp_path):
    (tmp_path / "31").mkdir()
    for source, name in zip(sorted((data.root / "test_images" / "11").iterdir()), "abc"):
        (tmp_path / "31" / name).symlink_to(source)
    result = predict_one_study(tmp_path / "31", work, tmp_path / "out.csv")
    undescribed = [fault.action for fault in result.ledger if fault.code == "series.undescribed"]
    assert undescribed == ["left out", "left out", f"taken as {AXIAL_T2}"]
    assert set(result.predictions["rung"]) == {"fewer views"}


def test_an_undescribed_sagittal_series_is_the_one_the_study_lacks(work, tmp_path):
    data = tmp_path / "data"
    rows = write_study(data, "test", 41)
    write_tables(data, "test", [row for row in rows if row[2] != SAGITTAL_T2])
    result = predict_data(data, work, tmp_path / "out.csv")
    assert [fault.action for fault in result.ledger] == [f"taken as {SAGITTAL_T2}"]
    assert set(result.predictions["rung"]) == {"full model"}


def test_a_folder_that_is_no_study_is_an_error(work, tmp_path):
    with pytest.raises(RootError, match="one study"):
        predict_one_study(tmp_path, work, tmp_path / "out.csv")


@pytest.mark.parametrize("step", ["03_embeddings", "04_modelling", "05_ensembling"])
def test_a_run_is_finished_only_when_its_steps_are_done(data, work, tmp_path, step):
    again = shutil.copytree(work, tmp_path / "work")
    manifest_path(again, step).unlink()  # as a step does that begins: its files of before are there
    with pytest.raises(StepError, match=f"{step} is not done .*Run the notebooks to the end"):
        predict_data(data.root, again, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_models_of_embeddings_of_before_are_not_used(data, work, tmp_path):
    again = shutil.copytree(work, tmp_path / "work")
    record = load_json(again / "03_embeddings" / "embedding.json")
    save_json(again / "03_embeddings" / "embedding.json", {**record, "view": "middle"}, MADE)
    finish_step(again, "03_embeddings")
    with pytest.raises(StepError, match="04_modelling is not done again since 03_embeddings was"):
        predict_data(data.root, again, tmp_path / "out.csv")


def test_other_weights_than_those_of_the_embeddings_are_refused(work, tmp_path):
    record = load_json(work / "03_embeddings" / "embedding.json")
    other = tmp_path / "embedding.json"
    save_json(other, {**record, "weights_sha256": "0" * 64}, MADE)
    with pytest.raises(ArtefactError, match="are not those of the embeddings"):
        load_predictor(lambda step, name: other if name == other.name else work / step / name)
    with pytest.raises(ArtefactError, match="no embeddings of 'windowed'"):
        embedding_spec(record, "windowed")


def test_folds_of_an_older_run_are_left_alone(work, predictor):
    assert {len(member.models) for member in predictor.members.values()} == {2}
    (work / "04_modelling" / "plain" / "fold7").mkdir()
    load_predictor(lambda step, name: work / step / name)


def test_predictions_are_rows_in_the_order_of_studies_and_cells(data, work, tmp_path):
    result = predict_data(data.root, work, tmp_path / "out.csv")
    assert list(result.predictions.index) == list(to_rows([11, 12, 13], np.full((3, 25, 3), 1 / 3)).index)
