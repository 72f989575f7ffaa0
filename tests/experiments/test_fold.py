import dataclasses
from pathlib import Path

import pytest

from kitlib.experiments import fold
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.fold import FoldTask, Sides, result_files, run_fold
from tests.models.builders import make_features, make_labels

CODES = make_labels(12)
SIDES = Sides(make_features(CODES).take(range(6)), CODES[:6], make_features(CODES).take(range(6, 12)))
FILLED = Experiment("filled", "trial", "pseudo", {"filler": "mean"}, removals=("without_t1", "half"))


def make_task(folder: Path, **changes: object) -> FoldTask:
    task = FoldTask(FILLED, fold=0, folder=folder, made_from="these", seed=0, keep_model=False)
    return dataclasses.replace(task, **changes)  # type: ignore[arg-type]


def test_a_fold_leaves_the_files_that_it_says() -> None:
    tables = ["oof.parquet", "curve.parquet", "oof_without_t1.parquet", "oof_half.parquet"]
    assert result_files(FILLED) == [*tables, "reconstruction.parquet"]
    assert result_files(dataclasses.replace(FILLED, removals=())) == tables[:2]
    assert result_files(Experiment("plain", "trial", "prior", removals=("half",))) == [*tables[:2], tables[3]]


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
