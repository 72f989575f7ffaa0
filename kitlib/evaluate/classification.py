"""What papers report beside the competition's metric: accuracy, macro-F1 and macro AUC-ROC of every cell."""

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from kitlib.competition.metric import aligned
from kitlib.terms import CELLS, EMPTY, SEVERITIES


def per_cell(labels: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """One row for each of the 25 cells: condition, level, n (labelled), accuracy, macro_f1, macro_auc.

    The predicted severity is the most probable one. macro_f1 averages over the severities that were labelled
    or predicted; macro_auc over all three, one against the rest, NaN where one of them is not labelled.
    """
    codes, probabilities = aligned(labels, predictions)
    rows = []
    for index, cell in enumerate(CELLS):
        labelled = codes[:, index] != EMPTY
        measured = _measures(codes[labelled, index], probabilities[labelled, index])
        rows.append({"condition": cell.condition, "level": cell.level, "n": int(labelled.sum()), **measured})
    return pd.DataFrame(rows)


def _measures(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    if len(truth) == 0:
        return {"accuracy": np.nan, "macro_f1": np.nan, "macro_auc": np.nan}
    predicted = probabilities.argmax(axis=1)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "macro_f1": float(f1_score(truth, predicted, average="macro")),
        "macro_auc": _macro_auc(truth, probabilities),
    }


def _macro_auc(truth: np.ndarray, probabilities: np.ndarray) -> float:
    if len(np.unique(truth)) < len(SEVERITIES):
        return np.nan
    return float(
        np.mean([roc_auc_score(truth == code, probabilities[:, code]) for code in range(len(SEVERITIES))])
    )
