"""Figures of one study's prediction: its 25 rows at a glance."""

import numpy as np

from kitlib.report.figures.grid import matrix
from kitlib.report.names import CONDITION_TITLES, LEVEL_TITLES
from kitlib.report.style import Picture, look, new_figure
from kitlib.terms import CONDITIONS, EMPTY, LEVELS, SEVERITIES

SHAPE = (len(CONDITIONS), len(LEVELS))


@look
def study_rows(probabilities: np.ndarray, title: str, truth: np.ndarray | None = None) -> Picture:
    """The probabilities (25, 3) of a study, a matrix a severity; the true one, if known, in brackets."""
    codes = np.full(len(probabilities), EMPTY) if truth is None else np.asarray(truth)
    figure = new_figure(11, 3.2, title)
    for code, axes in enumerate(figure.subplots(1, len(SEVERITIES), sharey=True)):
        values = probabilities[:, code]
        texts = [f"[{value:.2f}]" if true == code else f"{value:.2f}" for value, true in zip(values, codes)]
        grid = np.array(texts, dtype=object).reshape(SHAPE)
        matrix(axes, values.reshape(SHAPE), CONDITION_TITLES, LEVEL_TITLES, texts=grid)
        axes.set_title(SEVERITIES[code])
    return figure
