from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from kitlib.artefacts import fingerprint_of
from kitlib.competition.submission import to_array
from kitlib.embed.tokens import Tokens
from kitlib.embed.weights.sources import find_weights
from kitlib.errors import ModelError
from kitlib.experiments import parallel
from kitlib.experiments import run as run_module
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.fold import FoldData, FoldTask, fold_folder, load_fold, run_fold
from kitlib.experiments.leaks import make_split
from kitlib.experiments.run import cross_validate, fold_tasks, learning_curves, make_folds
from kitlib.experiments.status import UNFINISHED_FILE
from kitlib.inputs.slices import SliceDataset
from kitlib.models.attention import CellAttentionModel
from kitlib.models.base import CURVE_COLUMNS
from kitlib.models.blind import PriorModel
from kitlib.models.boosting import LightGBMModel
from kitlib.models.svc import SVCModel
from kitlib.terms import CELL_NAMES, CELLS, PROBABILITIES, row_ids
from tests.models.builders import make_features, make_labels

CODES = make_labels(12)
FEATURES = make_features(CODES)
LABELS = pd.DataFrame(CODES, index=pd.Index(FEATURES.study_ids, name="study_id"), columns=list(CELL_NAMES))
FOLDS = make_folds(LABELS, 3, seed=0)
EXPERIMENTS = [
    Experiment("prior", PriorModel()),
    Experiment("boosted", LightGBMModel(trees=4, components=3, inner_parts=2)),
    Experiment("sampled", SVCModel(components=3, inner_parts=2, sampling="smote")),
    Experiment("neural", CellAttentionModel(epochs=2, members=2, width=8)),
    Experiment("untrained", CellAttentionModel(epochs=0, members=1, width=2)),
]


def label_table(studies: int, seed: int = 0) -> pd.DataFrame:
    index = pd.Index(np.arange(studies) * 13 + 5, name="study_id")
    return pd.DataFrame(make_labels(studies, seed=seed), index=index, columns=list(CELL_NAMES))


def test_every_study_has_one_fold_and_sizes_are_even() -> None:
    labels = label_table(43)
    folds = make_folds(labels, 5, seed=1)
    assert folds.index.equals(labels.index)
    assert sorted(folds.unique()) == [0, 1, 2, 3, 4]
    assert folds.value_counts().max() - folds.value_counts().min() <= 1


def test_disease_is_spread_evenly() -> None:
    labels = label_table(200)
    folds = make_folds(labels, 5, seed=1)
    spinal = [cell.name for cell in CELLS if cell.group == "spinal"]
    any_severe = (labels[spinal] == 2).any(axis=1).groupby(folds).sum()
    assert any_severe.max() - any_severe.min() <= 2
    disease = labels.clip(lower=0).sum(axis=1).groupby(folds).mean()
    assert disease.max() / disease.min() < 1.1


def test_the_seed_alone_decides() -> None:
    labels = label_table(30)
    assert make_folds(labels, 3, seed=4).equals(make_folds(labels, 3, seed=4))
    assert not make_folds(labels, 3, seed=4).equals(make_folds(labels, 3, seed=5))


@pytest.mark.parametrize(("studies", "n_folds"), [(4, 5), (0, 2), (10, 1)])
def test_too_few_studies_or_folds_are_refused(studies: int, n_folds: int) -> None:
    with pytest.raises(ModelError, match=f"{studies} studies cannot make {n_folds} folds"):
        make_folds(label_table(studies), n_folds, seed=0)


def test_a_study_that_stands_twice_is_refused() -> None:
    labels = label_table(10)
    with pytest.raises(ModelError, match="twice"):
        make_folds(pd.concat([labels, labels.iloc[:1]]), 2, seed=0)


def run(
    experiment: Experiment,
    out: Path,
    features: SliceDataset = FEATURES,
    labels: pd.DataFrame = LABELS,
    **options: int,
) -> pd.DataFrame:
    settings = {"seed": 0, "progress": False, **options}
    split = make_split("studies", features, labels, FOLDS)
    return cross_validate(experiment, split, out, **settings)  # type: ignore[arg-type]


def test_every_study_is_predicted_once_by_the_fold_that_held_it_out(tmp_path: Path) -> None:
    oof = run(EXPERIMENTS[0], tmp_path)
    assert sorted(oof.index) == sorted(row for study in FEATURES.study_ids for row in row_ids(study))
    assert list(oof.columns) == [*PROBABILITIES, "model", "fold"]
    assert set(oof["model"]) == {"prior"}
    folds = oof["fold"].groupby([int(row.split("_")[0]) for row in oof.index]).first()
    assert folds.to_dict() == FOLDS.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda entry: entry.name)
def test_a_label_planted_in_a_judged_study_changes_nothing(experiment: Experiment, tmp_path: Path) -> None:
    """A study's label changes no prediction of its own fold, and its features only its own."""
    judged = int(np.flatnonzero(FOLDS.to_numpy() == 1)[0])
    study_id = FEATURES.study_ids[judged]
    plain = run(experiment, tmp_path / "plain")
    labels = LABELS.copy()
    labels.loc[study_id] = (labels.loc[study_id] + 1) % 3
    relabelled = run(experiment, tmp_path / "relabelled", labels=labels)
    planted = run(experiment, tmp_path / "planted", features=with_planted_labels(judged), labels=labels)

    of_fold = plain["fold"] == 1
    own = plain.index.isin(row_ids(study_id))
    values = list(PROBABILITIES)
    pd.testing.assert_frame_equal(relabelled.loc[of_fold, values], plain.loc[of_fold, values])
    pd.testing.assert_frame_equal(planted.loc[of_fold & ~own, values], plain.loc[of_fold & ~own, values])


def with_planted_labels(study: int) -> SliceDataset:
    """A study whose embeddings and metadata give away its labels."""
    tokens = {name: list(studies) for name, studies in FEATURES.tokens.items()}
    for studies in tokens.values():
        loud = studies[study].vectors + 50 * float(CODES[study].sum())
        studies[study] = Tokens(loud, studies[study].positions_mm)
    metadata = FEATURES.metadata.copy()
    metadata.iloc[study, metadata.columns.get_loc("axial_step_mm")] = 1e6
    return SliceDataset(FEATURES.study_ids, tokens, metadata)


def test_fitting_never_touches_the_held_out_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def remember(_: PriorModel, features: SliceDataset, *__: object) -> None:
        seen.append(set(features.study_ids))

    monkeypatch.setattr(PriorModel, "_fit", remember)
    run(EXPERIMENTS[0], tmp_path)
    for fold, studies in enumerate(seen):
        assert studies == set(FOLDS.index[fold != FOLDS])


def test_a_finished_fold_is_not_fitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(EXPERIMENTS[0], tmp_path)
    (tmp_path / "prior" / "fold1" / "oof.parquet.json").unlink()  # as if it had been interrupted
    fitted = count_fits(monkeypatch)
    pd.testing.assert_frame_equal(run(EXPERIMENTS[0], tmp_path), first)
    assert fitted == [1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", ["seed", "labels", "features", "parameters", "defaults", "start", "version", "code"]
)
def test_a_fold_made_from_something_else_is_fitted_again(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(EXPERIMENTS[4], tmp_path)
    fitted = count_fits(monkeypatch)
    labels = LABELS.replace({0: 1}) if change == "labels" else LABELS
    features = with_planted_labels(0) if change == "features" else FEATURES
    if change == "start":
        monkeypatch.setattr(
            CellAttentionModel, "pretrained_source", lambda _: find_weights("resnet10t", "shipped")
        )
    if change == "code":
        monkeypatch.setattr(Experiment, "code", "other")
    if change == "version":
        monkeypatch.setattr(run_module, "__version__", "99")
    changes = {"parameters": {"epochs": 1}, "defaults": {"dropout": 0.9}}
    experiment = EXPERIMENTS[4].with_parameters(**changes.get(change, {}))
    run(experiment, tmp_path, features, labels, seed=int(change == "seed"))
    assert fitted == [0, 1, 2]


def test_a_model_that_is_to_be_kept_is_fitted_again_where_it_was_not(
    tmp_path: Path,
) -> None:
    split, (plain, *_) = make_split("studies", FEATURES, LABELS, FOLDS), EXPERIMENTS
    lean, kept = (fold_tasks(plain, split, tmp_path, seed=0, keep_model=keep)[0] for keep in (False, True))
    data = FoldData.of(split, 0, plain)
    run_fold(lean, data)
    assert (lean.is_done, kept.is_done) == (True, False)
    run_fold(kept, data)
    assert (lean.is_done, kept.is_done) == (True, True)


def count_fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    fitted: list[int] = []
    run_fold = parallel.run_fold

    def counted(task: FoldTask, data: FoldData) -> None:
        fitted.append(task.fold)
        run_fold(task, data)

    monkeypatch.setattr(parallel, "run_fold", counted)
    return fitted


def test_fold_models_are_saved_and_predict_the_same(tmp_path: Path) -> None:
    oof = run(EXPERIMENTS[1], tmp_path)
    for fold in FOLDS.unique():
        spec, model = load_fold(fold_folder(tmp_path / "boosted", fold))
        assert spec == EXPERIMENTS[1].input
        judged = np.flatnonzero(FOLDS.to_numpy() == fold)
        expected = to_array(FEATURES.study_ids[judged], oof)
        np.testing.assert_allclose(model.predict(FEATURES.take(judged)), expected, atol=1e-9)


def test_learning_curves_of_all_folds_stand_in_one_table(tmp_path: Path) -> None:
    run(EXPERIMENTS[3], tmp_path)
    curves = learning_curves(tmp_path / "neural")
    assert list(curves.columns) == ["experiment", "fold", *CURVE_COLUMNS]
    assert set(curves["fold"]) == {0, 1, 2}
    run(EXPERIMENTS[0], tmp_path)
    assert learning_curves(tmp_path / "prior").empty


def test_folds_at_the_same_time_give_what_one_after_the_other_gives(tmp_path: Path) -> None:
    run(EXPERIMENTS[0], tmp_path / "one")
    with joblib.parallel_config(backend="threading"):  # a process would import torch for seconds
        run(EXPERIMENTS[0], tmp_path / "two", workers=2)
    files = [tmp_path / name / "prior" / "oof.parquet" for name in ("one", "two")]
    assert fingerprint_of(files[0]) == fingerprint_of(files[1])


def test_a_fold_that_cannot_be_fitted_is_an_error_with_its_traceback_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("too bad")

    monkeypatch.setattr(PriorModel, "_fit", fail)
    with pytest.raises(ModelError, match="fold 0 of prior cannot be fitted: ValueError: too bad"):
        run(EXPERIMENTS[0], tmp_path)
    traceback = (tmp_path / "prior" / "fold0" / UNFINISHED_FILE).read_text()
    assert "Traceback" in traceback
    assert "in fail" in traceback
