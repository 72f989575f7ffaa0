"""What papers report beside the competition's metric: accuracy, macro-F1 and macro AUC-ROC of every cell."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from kitlib.competition.metric import aligned
from kitlib.terms import CELL_NAMES, CELLS, EMPTY, PROBABILITIES, SEVERITIES, parse_row_id


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
        "accuracy": float((truth == predicted).mean()),
        "macro_f1": _macro_f1(truth, predicted),
        "macro_auc": _macro_auc(truth, probabilities),
    }


def _macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    found = [code for code in range(len(SEVERITIES)) if ((truth == code) | (predicted == code)).any()]
    both = [((truth == code) & (predicted == code)).sum() for code in found]
    either = [(truth == code).sum() + (predicted == code).sum() for code in found]
    return float(np.mean(2 * np.array(both) / np.array(either)))


def _macro_auc(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """By ranks: the share of pairs, one of a severity and one of the rest, that stand in the right order."""
    counts = np.bincount(truth, minlength=len(SEVERITIES))
    if (counts == 0).any():
        return np.nan
    ranks = rankdata(probabilities, axis=0)
    sums = np.array([ranks[truth == code, code].sum() for code in range(len(SEVERITIES))])
    pairs = counts * (len(truth) - counts)
    return float(((sums - counts * (counts + 1) / 2) / pairs).mean())


def labelled_cells(predictions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Group, level, label (code) and normalised probabilities of every cell that is labelled and predicted.

    `predictions` is keyed by row_id in any order, `labels` has the 25 columns of codes; cells of one without
    the other do not count.
    """
    parsed = [parse_row_id(str(row)) for row in predictions.index]
    codes = labels[list(CELL_NAMES)].to_numpy()
    study2row = {int(study): row for row, study in enumerate(labels.index)}
    cell2column = {name: column for column, name in enumerate(CELL_NAMES)}
    known = [(study2row.get(study, -1), cell2column[cell.name]) for study, cell in parsed]
    table = predictions[list(PROBABILITIES)].astype(float).reset_index(drop=True)
    table = table.div(table.sum(axis=1), axis=0)
    table.insert(0, "group", [cell.group for _, cell in parsed])
    table.insert(1, "level", [cell.level for _, cell in parsed])
    table.insert(2, "label", [int(codes[row, column]) if row >= 0 else EMPTY for row, column in known])
    return table[table["label"] != EMPTY].reset_index(drop=True)


def confusion_counts(cells: pd.DataFrame) -> np.ndarray:
    """How many of these labelled cells have each label (rows) and likeliest severity (columns): (3, 3)."""
    likeliest = cells[list(PROBABILITIES)].to_numpy().argmax(axis=1)
    counts = np.zeros((len(SEVERITIES), len(SEVERITIES)), dtype=int)
    np.add.at(counts, (cells["label"].to_numpy(), likeliest), 1)
    return counts


def binned_rates(said: np.ndarray, came_true: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean prediction and mean outcome in `bins` bins that hold equally many cells."""
    order = np.argsort(said, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    means = [(said[part].mean(), came_true[part].mean()) for part in parts]
    return np.array([mean for mean, _ in means]), np.array([rate for _, rate in means])
