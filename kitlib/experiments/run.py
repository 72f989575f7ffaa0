"""Folds of whole studies, and resumable cross-validation on them.

Each fold saves its model, out-of-fold predictions and learning curve. Its folder is reused as long as nothing
it was made from has changed: the kit's version, the code of model and input, the model's parameters and
starting weights, the input, the seed, and the data, labels and fold of every study. Otherwise the fold is
fitted again.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kitlib import __version__
from kitlib.artefacts import Provenance, fingerprint, load_table, save_table
from kitlib.errors import ModelError
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.fold import CURVE_FILE, OOF_FILE, FoldTask, fold_folder
from kitlib.experiments.leaks import Split
from kitlib.experiments.parallel import TaskGroup, run_groups
from kitlib.experiments.status import UNFINISHED_FILE, failure
from kitlib.models.base import CURVE_COLUMNS
from kitlib.models.common.training_rows import dealt
from kitlib.terms import CELL_NAMES, CELLS, SEVERITIES

SEVERE = len(SEVERITIES) - 1
SPINAL_NAMES = [cell.name for cell in CELLS if cell.group == "spinal"]


def make_folds(labels: pd.DataFrame, n_folds: int, seed: int) -> pd.Series:
    """Assign every study of a label table to a fold, 0 to n_folds - 1; sizes differ by at most one study.

    Folds are stratified: studies are ordered by any severe canal stenosis and then by the sum of their
    severities (ties at random), and every n_folds neighbours are assigned to the folds in random order.

    >>> labels = find_root("competition").train_labels()
    >>> make_folds(labels, 3, seed=0).value_counts().tolist()
    [2, 2, 2]
    """
    if n_folds < 2 or len(labels) < n_folds:
        raise ModelError(
            f"{len(labels)} studies cannot make {n_folds} folds",
            hint="Use at least two folds, and at least as many studies.",
        )
    if labels.index.has_duplicates:
        raise ModelError("a study occurs twice in the labels", hint="Folds are made of whole studies.")
    rng = np.random.default_rng(seed)
    any_severe = (labels[SPINAL_NAMES] == SEVERE).any(axis=1).to_numpy()
    disease = labels[list(CELL_NAMES)].clip(lower=0).sum(axis=1).to_numpy()
    order = np.lexsort((rng.random(len(labels)), disease, any_severe))
    return pd.Series(dealt(order, n_folds, rng), index=labels.index, name="fold")


def cross_validate(
    experiment: Experiment, split: Split, out: Path, *, seed: int, workers: int = 1, progress: bool = True
) -> pd.DataFrame:
    """Cross-validate an experiment and return its out-of-fold predictions.

    The table has the index row_id and the columns PROBABILITIES, `model` (the experiment) and `fold`. Results
    are kept in `out`/<its name>/fold<k>. Raises ModelError if a fold cannot be fitted; its folder then holds
    the traceback.

    >>> from kitlib.experiments.leaks import make_split
    >>> from kitlib.inputs.base import Resources
    >>> from kitlib.models.blind import PriorModel
    >>> from kitlib.prepare.studies import PreparedStudies
    >>> competition, spec = find_root("competition"), SliceInput(64, "resnet10t", "shipped", grey="greyscale")
    >>> studies = PreparedStudies.build(competition.series("train"), Path("volumes"), longest_px=64)
    >>> data, labels = spec.encoder(Resources()).dataset(studies, Path("store")), competition.train_labels()
    >>> split = make_split("studies", data, labels, make_folds(labels, 2, seed=0))
    >>> oof = cross_validate(Experiment("prior", PriorModel()), split, Path("fits"), seed=0, progress=False)
    >>> oof.groupby("fold").size().tolist()  # three studies of 25 cells each
    [75, 75]
    """
    tasks = fold_tasks(experiment, split, out, seed=seed)
    run_groups([TaskGroup([task], split) for task in tasks], workers, progress=progress)
    for task in tasks:
        if reason := failure(task.folder):
            raise ModelError(
                f"fold {task.fold} of {experiment.name} cannot be fitted: {reason}",
                where=task.folder / UNFINISHED_FILE,
                hint="The file has the whole traceback.",
            )
    oof = pd.concat([load_table(task.folder / OOF_FILE) for task in tasks])
    provenance = Provenance(asdict(experiment.model), {"made_from": tasks[0].made_from}, seed)
    save_table(Path(out) / experiment.name / OOF_FILE, oof, provenance)
    return oof


def fold_tasks(
    experiment: Experiment,
    split: Split,
    out: Path,
    *,
    seed: int,
    facts: Mapping[str, Any] | None = None,
    keep_model: bool = True,
) -> list[FoldTask]:
    """A task for each fold of a split; `facts` are saved with the predictions and are part of `made_from`."""
    model = experiment.model
    source = model.pretrained_source()
    facts = {**(facts or {}), "code": experiment.code}
    made_from = fingerprint(
        __version__,
        model.name,
        asdict(model),
        source.sha256 if source else "",
        experiment.input.fingerprint,
        asdict(experiment.protocol),
        seed,
        split.data.fingerprint,
        split.labels.to_numpy(np.int8).tolist(),
        split.folds.tolist(),
        facts,
    )
    folder = Path(out) / experiment.name
    return [
        FoldTask(experiment, fold, fold_folder(folder, fold), made_from, seed, facts, keep_model)
        for fold in sorted(split.folds.unique().tolist())
    ]


def learning_curves(folder: Path) -> pd.DataFrame:
    """Load the learning curves of an experiment's folder: experiment, fold and CURVE_COLUMNS."""
    curves = [
        load_table(path).assign(experiment=Path(folder).name, fold=int(path.parent.name.removeprefix("fold")))
        for path in sorted(Path(folder).glob(f"fold*/{CURVE_FILE}"))
    ]
    columns = ["experiment", "fold", *CURVE_COLUMNS]
    return pd.concat(curves)[columns] if curves else pd.DataFrame(columns=columns)
