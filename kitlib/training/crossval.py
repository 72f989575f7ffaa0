"""Cross-validation that resumes: per fold a saved model, its out-of-fold predictions and its learning curve.

A fold's folder is used again when what it was made from is unchanged: the experiment, the seed, and the
features and labels of every study with its fold. Anything else is fitted anew.
"""

import hashlib
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from kitlib.artefacts import Provenance, facts_of, fingerprint, is_complete, load_table, save_table
from kitlib.competition.submission import to_rows
from kitlib.embed.features import Features
from kitlib.errors import ModelError
from kitlib.models.base import CURVE_COLUMNS
from kitlib.terms import CELL_NAMES
from kitlib.training.experiments import Experiment

OOF_FILE, CURVE_FILE = "oof.parquet", "curve.parquet"


def run_experiment(
    experiment: Experiment,
    features: Features,
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
    codes, fold_of = _aligned(features, labels, folds)
    folder = Path(out) / experiment.name
    made_from = fingerprint(
        experiment.model,
        dict(experiment.parameters),
        seed,
        features_digest(features),
        codes.tolist(),
        fold_of.tolist(),
    )
    numbers = np.unique(fold_of).tolist()
    done = [k for k in numbers if _is_done(fold_folder(folder, k), made_from)]
    tasks = (
        joblib.delayed(_run_fold)(
            experiment, features, codes, fold_of == k, fold_folder(folder, k), k, seed, made_from
        )
        for k in numbers
        if k not in done
    )
    bar = tqdm(
        total=len(numbers),
        initial=len(done),
        desc=experiment.name,
        unit="fold",
        mininterval=1,
        disable=not progress,
    )
    with bar:
        for _ in joblib.Parallel(n_jobs=workers, return_as="generator_unordered")(tasks):
            bar.update()
    oof = pd.concat([load_table(fold_folder(folder, k) / OOF_FILE) for k in numbers])
    save_table(folder / OOF_FILE, oof, Provenance(experiment.parameters, {"made_from": made_from}, seed))
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


def features_digest(features: Features) -> str:
    """A sha256 that changes when a slice's embedding or place, or a study's metadata, does."""
    digest = hashlib.sha256(features.metadata.to_json().encode())
    digest.update(features.study_ids.tobytes())
    for name, studies in sorted(features.tokens.items()):
        for tokens in studies:
            digest.update(f"{name} {tokens.kept.shape}".encode())
            digest.update(tokens.kept.tobytes())
            digest.update(tokens.places_mm.tobytes())
    return digest.hexdigest()


def _aligned(features: Features, labels: pd.DataFrame, folds: pd.Series) -> tuple[np.ndarray, np.ndarray]:
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


def _is_done(folder: Path, made_from: str) -> bool:
    return is_complete(folder / OOF_FILE) and facts_of(folder / OOF_FILE).get("made_from") == made_from


def _run_fold(
    experiment: Experiment,
    features: Features,
    codes: np.ndarray,
    held_out: np.ndarray,
    folder: Path,
    fold: int,
    seed: int,
    made_from: str,
) -> None:
    """Fit on the other folds, save the model and its curve, and last what it says of the studies held out."""
    provenance = Provenance(dict(experiment.parameters), {"made_from": made_from}, seed)
    train, judged = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    started_s = time.perf_counter()
    model = experiment.build().fit(features.take(train), codes[train], seed=seed)
    fit_s = time.perf_counter() - started_s
    model.save(folder, provenance)
    save_table(folder / CURVE_FILE, model.curve, provenance)
    oof = to_rows(features.study_ids[judged], model.predict(features.take(judged)))
    oof = oof.assign(model=experiment.name, fold=fold)
    save_table(folder / OOF_FILE, oof, provenance, made_from=made_from, fit_s=round(fit_s, 3))
