import dataclasses
from pathlib import Path

import pytest

from kitlib.artefacts import Provenance, save_json
from kitlib.errors import KitError
from kitlib.experiments import fold
from kitlib.experiments.experiment import Experiment, Protocol
from kitlib.experiments.fold import FoldData, FoldTask, load_fold, result_files, run_fold
from kitlib.inputs.slices import SliceInput
from kitlib.models.blind import PriorModel
from kitlib.models.pseudo.model import PseudoModel
from tests.models.builders import make_features, make_labels

CODES = make_labels(12)
FEATURES = make_features(CODES)
SIDES = FoldData(FEATURES.take(range(6)), CODES[:6], FEATURES.take(range(6, 12)))
FILLED = Experiment("filled", PseudoModel(imputer="mean"), protocol=Protocol(missing=("without_t1", "half")))


def make_task(folder: Path, **changes: object) -> FoldTask:
    task = FoldTask(FILLED, fold=0, folder=folder, made_from="these", seed=0, keep_model=False)
    return dataclasses.replace(task, **changes)  # type: ignore[arg-type]


def test_a_fold_leaves_the_files_that_it_says() -> None:
    tables = ["oof.parquet", "curve.parquet", "oof_without_t1.parquet", "oof_half.parquet"]
    assert result_files(FILLED) == [*tables, "reconstruction.parquet"]
    assert result_files(Experiment("filled", FILLED.model)) == tables[:2]
    plain = Experiment("plain", PriorModel(), protocol=Protocol(missing=("half",)))
    assert result_files(plain) == [*tables[:2], tables[3]]


@pytest.mark.parametrize("file", result_files(FILLED))
@pytest.mark.parametrize("harm", ["cut", "missing"])
def test_a_fold_is_done_only_while_all_its_files_are_whole(tmp_path: Path, file: str, harm: str) -> None:
    task = make_task(tmp_path)
    assert not task.is_done
    run_fold(task, SIDES)
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == sorted(result_files(FILLED))
    assert task.is_done
    path = tmp_path / file
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    assert not task.is_done


def test_after_a_kill_older_predictions_do_not_vouch_for_newer_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = make_task(tmp_path), make_task(tmp_path, made_from="others")
    run_fold(older, SIDES)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fold, "_predicted", stop)
    with pytest.raises(KeyboardInterrupt):
        run_fold(newer, SIDES)
    assert not older.is_done


def test_a_fold_opens_from_its_folder_alone(tmp_path: Path) -> None:
    entry = Experiment("plain", PriorModel(), SliceInput(320, "resnet10t", "shipped", grey="equalised"))
    task = make_task(tmp_path, experiment=entry, keep_model=True)
    run_fold(task, SIDES)
    spec, model = load_fold(tmp_path)
    assert spec == entry.input
    assert model.predict(SIDES.held_out)[0] == pytest.approx(model.prior)


@pytest.mark.parametrize("content", [{}, [], None, {"model": 3}])
@pytest.mark.parametrize("file", ["model.json", "input.json"])
def test_what_was_saved_but_is_no_model_is_refused_in_one_line(tmp_path: Path, file: str, content) -> None:
    entry = Experiment("plain", PriorModel(), SliceInput(320, "resnet10t", "shipped", grey="equalised"))
    run_fold(make_task(tmp_path, experiment=entry, keep_model=True), SIDES)
    save_json(tmp_path / file, content, Provenance())
    with pytest.raises(KitError):
        load_fold(tmp_path)
