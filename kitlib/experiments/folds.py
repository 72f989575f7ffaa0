"""Folds of whole studies, alike in how much disease they hold."""

import numpy as np
import pandas as pd

from kitlib.errors import ModelError
from kitlib.models.common.training_rows import dealt
from kitlib.terms import CELL_NAMES, CELLS, SEVERITIES

SEVERE = len(SEVERITIES) - 1
SPINAL_NAMES = [cell.name for cell in CELLS if cell.group == "spinal"]


def make_folds(labels: pd.DataFrame, n_folds: int, seed: int) -> pd.Series:
    """The fold, 0 to n_folds - 1, of every study of a label table; sizes differ by one study at most.

    Studies are ordered by any severe canal stenosis and then by the sum of their severities (ties by chance),
    and every n_folds neighbours are dealt to the folds in random order.

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
        raise ModelError("a study stands twice in the labels", hint="A fold is made of whole studies.")
    random = np.random.default_rng(seed)
    any_severe = (labels[SPINAL_NAMES] == SEVERE).any(axis=1).to_numpy()
    disease = labels[list(CELL_NAMES)].clip(lower=0).sum(axis=1).to_numpy()
    order = np.lexsort((random.random(len(labels)), disease, any_severe))
    return pd.Series(dealt(order, n_folds, random), index=labels.index, name="fold")
