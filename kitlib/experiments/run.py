"""Cross-validation that resumes: per fold a saved model, its out-of-fold predictions and its learning curve.

A fold's folder is used again when what it was made from is unchanged: the kit's version, all parameters of
the model, the weights that it starts from, the seed, and the features and labels of every study with its
fold. Anything else is fitted anew.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from kitlib import __version__
from kitlib.artefacts import Provenance, fingerprint, load_table, save_table
from kitlib.errors import ModelError
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.fold import CURVE_FILE, OOF_FILE, FoldTask, Sides, run_fold
from kitlib.inputs.slices import SliceDataset
from kitlib.machine import cores, torch_threads
from kitlib.models.base import CURVE_COLUMNS
from kitlib.terms import CELL_NAMES


def run_experiment(
    experiment: Experiment,
    features: SliceDataset,
    labels: pd.DataFrame,
    folds: pd.Series,
    out: Path,
    *,
    seed: int,
    workers: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Out-of-fold predictions of an experiment, whose results are kept under `out`/<its name>/fold<k>.

    `labels` (as Competition.train_labels) and `folds` (study_id to fold) are joined to the features on
    study_id. The table has the index row_id, the columns PROBABILITIES, `model` (the experiment) and `fold`.
    """
    codes, fold_of = aligned(features, labels, folds)
    tasks = fold_tasks(experiment, features.digest(), codes, fold_of, out, seed=seed)
    todo = [task for task in tasks if not task.is_done]
    runs = (
        joblib.delayed(run_fold)(task, Sides.of(features, codes, fold_of == task.fold, experiment))
        for task in todo
    )
    bar = tqdm(
        total=len(tasks),
        initial=len(tasks) - len(todo),
        desc=experiment.name,
        unit="fold",
        mininterval=1,
        disable=not progress,
    )
    with bar:
        for _ in joblib.Parallel(n_jobs=workers, return_as="generator_unordered")(runs):
            bar.update()
    return joined_oof(tasks)


def run_one_fold(
    experiment: Experiment,
    features: SliceDataset,
    labels: pd.DataFrame,
    folds: pd.Series,
    out: Path,
    *,
    seed: int,
) -> Path:
    """Fit the first fold alone, where that is not done, on all cores; its folder, with the fitted model."""
    codes, fold_of = aligned(features, labels, folds)
    task = fold_tasks(experiment, features.digest(), codes, fold_of, out, seed=seed)[0]
    if not task.is_done:
        with torch_threads(cores()):
            run_fold(task, Sides.of(features, codes, fold_of == task.fold, experiment))
    return task.folder


def fold_tasks(
    experiment: Experiment,
    digest: str,
    codes: np.ndarray,
    fold_of: np.ndarray,
    out: Path,
    *,
    seed: int,
    facts: Mapping[str, Any] | None = None,
    keep_model: bool = True,
) -> list[FoldTask]:
    """A task for each fold; `digest` stands for the features, whose codes are (n, 25) and folds (n,)."""
    model = experiment.build()
    begin = model.pretrained_source()
    made_from = fingerprint(
        __version__,
        experiment.model,
        asdict(model),
        begin.sha256 if begin else "",
        experiment.split,
        experiment.removals,
        seed,
        digest,
        codes.tolist(),
        fold_of.tolist(),
    )
    folder = Path(out) / experiment.name
    return [
        FoldTask(experiment, fold, fold_folder(folder, fold), made_from, seed, facts or {}, keep_model)
        for fold in np.unique(fold_of).tolist()
    ]


def joined_oof(tasks: list[FoldTask]) -> pd.DataFrame:
    """The predictions of all folds of one experiment, which are also saved as its own."""
    oof = pd.concat([load_table(task.folder / OOF_FILE) for task in tasks])
    first = tasks[0]
    provenance = Provenance(first.experiment.parameters, {"made_from": first.made_from}, first.seed)
    save_table(first.folder.parent / OOF_FILE, oof, provenance)
    return oof


def fold_folder(folder: Path, fold: int) -> Path:
    """Where an experiment's folder keeps one of its folds."""
    return Path(folder) / f"fold{fold}"


def learning_curves(folder: Path) -> pd.DataFrame:
    """The learning curves of an experiment's folder: experiment, fold and CURVE_COLUMNS."""
    curves = [
        load_table(path).assign(experiment=Path(folder).name, fold=int(path.parent.name.removeprefix("fold")))
        for path in sorted(Path(folder).glob(f"fold*/{CURVE_FILE}"))
    ]
    columns = ["experiment", "fold", *CURVE_COLUMNS]
    return pd.concat(curves)[columns] if curves else pd.DataFrame(columns=columns)


def aligned(features: SliceDataset, labels: pd.DataFrame, folds: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n, 25) and folds (n,) of the features' studies; ModelError if one of them has none."""
    known = labels.index.intersection(folds.index)
    unknown = set(features.study_ids.tolist()) - set(known)
    if unknown or len(features) != len(set(features.study_ids.tolist())):
        raise ModelError(
            f"{len(unknown)} of {len(features)} studies have no labels or no fold, or one stands twice",
            where=f"first: {min(unknown, default='')}",
            hint="Take the features of the studies in the label table, and make folds of all of them.",
        )
    codes = labels.loc[features.study_ids, list(CELL_NAMES)].to_numpy(np.int8)
    return codes, folds.loc[features.study_ids].to_numpy()
