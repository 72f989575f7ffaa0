"""The competition's metric: the mean of three weighted log losses and one on any severe canal stenosis.

Unlabelled cells do not count. Rows are normalised in double precision and then clipped as in scikit-learn's
`log_loss` (to [eps, 1 - eps], eps = 2.2e-16, without normalising again). A component without a labelled cell
is NaN, and so is the total: a mean of three components must not pass for the competition's score.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kitlib.competition.submission import to_array
from kitlib.errors import SubmissionError, UsageError
from kitlib.terms import CELL_NAMES, CELLS, EMPTY, GROUPS, LEVELS, PROBABILITIES, SEVERITY_WEIGHTS

EPSILON = np.finfo(np.float64).eps
SEVERE = len(PROBABILITIES) - 1
# Indexed by severity code; EMPTY = -1 selects the last.
CODE_WEIGHTS = np.array([*SEVERITY_WEIGHTS, 0.0])
IN_GROUP = np.array([[cell.group == group for group in GROUPS] for cell in CELLS], float)  # (25, 3)
group2cells: dict[str, np.ndarray] = {
    group: np.flatnonzero(IN_GROUP[:, column]) for column, group in enumerate(GROUPS)
}
"""Indices into CELLS of each condition group."""
SPINAL = group2cells["spinal"]


@dataclass(frozen=True)
class Score:
    """The score (lower is better) and the four log losses whose mean it is."""

    total: float
    spinal: float
    foraminal: float
    subarticular: float
    any_severe_spinal: float


def score(labels: pd.DataFrame, predictions: pd.DataFrame) -> Score:
    """Score predictions (indexed by row_id, in any order) on labels (as `Competition.train_labels`).

    Raises SubmissionError if a labelled cell has no row, or one that is not a probability.

    >>> labels = find_root("competition").train_labels()
    >>> predictions = Prior.fit(labels).predict(labels.index)
    >>> 0.5 < score(labels, predictions).total < 1.2
    True
    """
    return score_arrays(*aligned(labels, predictions))


def score_arrays(labels: np.ndarray, probabilities: np.ndarray) -> Score:
    """Score codes (n, 25) and probabilities (n, 25, 3), which may be NaN where there is no label."""
    losses, weights = study_sums(labels, normalised(labels, probabilities)).sum(axis=1)
    components = _ratio(losses, weights).tolist()
    return Score(sum(components) / len(components), *components)


def study_sums(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Weighted losses of each study, and their weights, in the metric's four components: (2, n, 4).

    `probabilities` must be normalised. The metric of any multiset of studies is the mean of the four
    quotients of their sums, which makes a bootstrap over studies cheap.
    """
    weights = CODE_WEIGHTS[labels]
    losses = weights * _cell_losses(labels, probabilities)
    # A study without a labelled spinal cell has weight 0 here.
    severe = (probabilities[:, SPINAL, SEVERE] * (weights[:, SPINAL] > 0)).max(axis=1)
    is_severe = (labels[:, SPINAL] == SEVERE).any(axis=1)
    study_weights = weights[:, SPINAL].max(axis=1)
    any_severe = study_weights * _log_loss(np.where(is_severe, severe, 1 - severe))
    loss_sums = np.column_stack([losses @ IN_GROUP, any_severe])
    weight_sums = np.column_stack([weights @ IN_GROUP, study_weights])
    return np.stack([loss_sums, weight_sums])


def loss_by_level(labels: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Weighted log loss of each condition group (rows) at each level (columns); NaN without a label."""
    codes, probabilities = aligned(labels, predictions)
    weights = CODE_WEIGHTS[codes]
    sums = np.stack([weights * _cell_losses(codes, probabilities), weights]).sum(axis=1)  # (2, 25)
    group_of_condition = IN_GROUP[:: len(LEVELS)].T  # (3, 5)
    losses, totals = group_of_condition @ sums.reshape(2, -1, len(LEVELS))  # (3, 5) each
    return pd.DataFrame(_ratio(losses, totals), index=list(GROUPS), columns=list(LEVELS))


def aligned(labels: pd.DataFrame, predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n, 25) and normalised probabilities (n, 25, 3) of the labels' studies, joined on row_id."""
    codes = labels[list(CELL_NAMES)].to_numpy()
    probabilities = to_array(labels.index, predictions)
    absent = (codes != EMPTY) & np.isnan(probabilities).all(axis=2)
    if absent.any():
        study, cell = np.argwhere(absent)[0]
        raise SubmissionError(
            f"{absent.sum()} labelled cells have no prediction",
            where=f"first: {labels.index[study]}_{CELL_NAMES[cell]}",
            hint="Fill them, for example from the prior, before scoring.",
        )
    return codes, normalised(codes, probabilities)


def normalised(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Normalise rows to sum to 1, in float64; 1/3 where there is no label.

    Raises UsageError for wrong shapes or codes, SubmissionError for labelled rows that are no probabilities.
    """
    if labels.ndim != 2 or probabilities.shape != (*labels.shape, 3) or labels.shape[1] != len(CELLS):
        what = f"labels are {labels.shape}, probabilities {probabilities.shape}"
        raise UsageError(what, hint="They must be (n, 25) and (n, 25, 3).")
    labelled = labels != EMPTY
    if labels.size and not (labels.min() >= EMPTY and labels.max() <= SEVERE):
        raise UsageError("labels are not severity codes", hint="Use 0, 1, 2, and EMPTY = -1.")
    known = np.where(labelled[..., None], probabilities, 1.0).astype(np.float64, copy=False)
    sums = known.sum(axis=2, keepdims=True)
    if not (known.min(initial=0) >= 0 and sums.min(initial=1) > 0 and np.isfinite(sums).all()):
        what = "predictions of labelled cells are negative, not finite or all zero"
        raise SubmissionError(what, hint="Each needs three numbers of 0 or more with a sum above 0.")
    return known / sums


def _cell_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Log losses (n, 25); those of unlabelled cells are meaningless and have weight 0."""
    return _log_loss(np.take_along_axis(probabilities, labels[..., None] % 3, axis=2)[..., 0])


def _log_loss(probabilities: np.ndarray) -> np.ndarray:
    return -np.log(np.clip(probabilities, EPSILON, 1 - EPSILON))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)
