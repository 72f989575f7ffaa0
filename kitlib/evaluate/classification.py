"""The metrics that papers report besides the competition's: accuracy, macro-F1 and macro AUC-ROC per cell."""

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, roc_auc_score

from kitlib.competition.metric import EPSILON, aligned
from kitlib.terms import (
    CELL_NAMES,
    CELLS,
    EMPTY,
    PROBABILITIES,
    SEVERITIES,
    SEVERITY_WEIGHTS,
    parse_row_id,
)


def per_cell(labels: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """One row for each of the 25 cells: condition, level, n (labelled), accuracy, macro_f1, macro_auc.

    The predicted severity is the most probable one. macro_f1 averages over the severities that occur as a
    label or a prediction; macro_auc is one-vs-rest over all three, and NaN if one of them has no label.
    """
    codes, probabilities = aligned(labels, predictions)
    rows = []
    for index, cell in enumerate(CELLS):
        labelled = codes[:, index] != EMPTY
        measured = _measures(codes[labelled, index], probabilities[labelled, index])
        rows.append({"condition": cell.condition, "level": cell.level, "n": int(labelled.sum()), **measured})
    return pd.DataFrame(rows)


def auc_by_fold(labels: pd.DataFrame, predictions: pd.DataFrame, folds: pd.Series) -> float:
    """Mean over folds of each fold's macro AUC, itself a mean over cells with all three severities.

    Pooling the folds, whose models and priors differ, gives another value: a model that sees nothing gets
    less than 0.5 when pooled, and 0.5 here. NaN if no fold has such a cell.
    """
    found = [
        per_cell(labels.loc[folds.index[folds == fold]], predictions)["macro_auc"].mean()
        for fold in sorted(folds.unique())
    ]
    known = [auc for auc in found if not np.isnan(auc)]
    return float(np.mean(known)) if known else np.nan


def _measures(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    if len(truth) == 0:
        return {"accuracy": np.nan, "macro_f1": np.nan, "macro_auc": np.nan}
    predicted, all_labelled = probabilities.argmax(axis=1), len(np.unique(truth)) == len(SEVERITIES)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "macro_f1": float(f1_score(truth, predicted, average="macro")),
        "macro_auc": float(roc_auc_score(truth, probabilities, multi_class="ovr"))
        if all_labelled
        else np.nan,
    }


def labelled_cells(predictions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Group, level, label (code) and normalised probabilities of every cell that is labelled and predicted.

    `predictions` is indexed by row_id in any order; `labels` has the 25 columns of codes.
    """
    parsed = [parse_row_id(str(row)) for row in predictions.index]
    codes = labels[list(CELL_NAMES)].stack().reindex([(study, cell.name) for study, cell in parsed])
    table = predictions[list(PROBABILITIES)].astype(float).reset_index(drop=True)
    table = table.div(table.sum(axis=1), axis=0)
    table.insert(0, "group", [cell.group for _, cell in parsed])
    table.insert(1, "level", [cell.level for _, cell in parsed])
    table.insert(2, "label", codes.fillna(EMPTY).to_numpy(int).ravel())
    return table[table["label"] != EMPTY].reset_index(drop=True)


def confusion_counts(cells: pd.DataFrame) -> np.ndarray:
    """Confusion matrix (3, 3) of labelled cells: labels as rows, most probable severities as columns."""
    likeliest = cells[list(PROBABILITIES)].to_numpy().argmax(axis=1)
    return confusion_matrix(cells["label"], likeliest, labels=range(len(SEVERITIES)))


def binned_rates(said: np.ndarray, came_true: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean predicted probability and observed rate in `bins` bins of equally many cells."""
    order = np.argsort(said, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    means = [(said[part].mean(), came_true[part].mean()) for part in parts]
    return np.array([mean for mean, _ in means]), np.array([rate for _, rate in means])


def worst_cells(labels: pd.DataFrame, predictions: pd.DataFrame, count: int) -> pd.DataFrame:
    """The cells with the highest loss, at most one per study.

    Columns: study_id, cell (index into CELLS), severity (the label's code), probability (of that severity)
    and loss, weighted as in the metric.
    """
    codes, probabilities = aligned(labels, predictions)
    studies, cells = np.nonzero(codes != EMPTY)
    severities = codes[studies, cells]
    given = probabilities[studies, cells, severities]
    table = pd.DataFrame(
        {
            "study_id": labels.index.to_numpy()[studies],
            "cell": cells,
            "severity": severities,
            "probability": given,
            "loss": -np.take(SEVERITY_WEIGHTS, severities) * np.log(given.clip(EPSILON)),
        }
    )
    ranked = table.sort_values("loss", ascending=False, kind="stable")
    return ranked.drop_duplicates("study_id").head(count).reset_index(drop=True)
