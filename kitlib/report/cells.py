"""One row per labelled cell: the table under every figure of predictions."""

import pandas as pd

from kitlib.terms import CELL_NAMES, EMPTY, PROBABILITIES, parse_row_id


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
