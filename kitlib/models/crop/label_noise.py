"""Label noise: readings contradicted by models that have not seen the study.

The first place of RSNA 2024 left out labels that differ from the out-of-fold prediction by .8 or more before
a second round of training. Evaluated studies play no part: `fit` sees only its own training studies.
"""

import dataclasses

import numpy as np

from kitlib.inputs.base import Dataset
from kitlib.models.base import Model
from kitlib.models.common.training_rows import inner_splits
from kitlib.terms import EMPTY, SEVERITIES


def out_of_fold(model: Model, data: Dataset, labels: np.ndarray, parts: int, *, seed: int) -> np.ndarray:
    """Predict probabilities (n, 25, 3) of studies with labels (n, 25) with models fitted on the others.

    `model` gives the parameters and is not modified. NaN where no labelled study is left to fit on.
    """
    found = np.full((*labels.shape, len(SEVERITIES)), np.nan)
    for rows, held_out in inner_splits(labels, parts, seed=seed):
        if len(held_out) and (labels[rows] != EMPTY).any():
            fitted = dataclasses.replace(model).fit(data.take(rows), labels[rows], seed=seed)
            found[held_out] = fitted.predict(data.take(held_out))
    return found


def contradicted(labels: np.ndarray, probabilities: np.ndarray, limit: float) -> np.ndarray:
    """Flag labels (n, 25) that differ from probabilities (n, 25, 3) by `limit` or more: (n, 25) bool."""
    of_label = np.take_along_axis(probabilities, labels.clip(min=0)[..., None].astype(int), axis=-1)[..., 0]
    return (labels != EMPTY) & (1 - of_label >= limit)
