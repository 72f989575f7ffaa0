"""The best possible score: readers' labels predicted from the true anatomy and the model of readers."""

from pathlib import Path

import numpy as np
import pandas as pd

from kitlib.competition.metric import Score, score_arrays
from kitlib.competition.root import find_root
from kitlib.competition.submission import to_rows
from kitlib.errors import UsageError
from kitlib.phantom.labels import (
    PREVALENCE,
    draw_grades,
    draw_readings,
    draw_uncovered,
    reading_probabilities,
)
from kitlib.phantom.truth import true_grades
from kitlib.terms import SEVERITY_WEIGHTS


def oracle_probabilities(grades: np.ndarray) -> np.ndarray:
    """Return the optimal probabilities (n, 25, 3) for true grades (n, 25), with the metric's weights."""
    return _weighted(reading_probabilities(grades))


def oracle_rows(grades: pd.DataFrame) -> pd.DataFrame:
    """Return the oracle's predictions as a table by row_id, for true grades (index study_id, 25 columns)."""
    return to_rows(grades.index.tolist(), oracle_probabilities(grades.to_numpy()))


def mark_scores(grades: np.ndarray, labels: np.ndarray) -> dict[str, Score]:
    """Score the reference predictions on readers' labels (n, 25) of true grades (n, 25).

    The prior is the model's prevalence, so it is not fitted on any of these studies.
    """
    marks = {"oracle": oracle_probabilities(grades), "prior": _weighted(PREVALENCE), "1/3": np.ones(3) / 3}
    shape = (*grades.shape, 3)
    return {name: score_arrays(labels, np.broadcast_to(one, shape)) for name, one in marks.items()}


def draw_marks(studies: int, *, seed: int) -> dict[str, Score]:
    """Compute `mark_scores` of studies drawn without images. Raises UsageError if there are too few."""
    if studies < 1 or seed < 0:
        raise UsageError(f"cannot draw {studies} studies with seed {seed}", hint="Give one or more.")
    rng = np.random.default_rng(seed)
    grades = draw_grades(studies, rng)
    return mark_scores(grades, draw_readings(grades, draw_uncovered(studies, rng), rng))


def folder_marks(root: Path) -> tuple[int, dict[str, Score]]:
    """Return number and `mark_scores` of a phantom folder's training studies. Raises DataError for others."""
    labels = find_root(root).train_labels()
    grades = true_grades(root, labels.index)
    return len(labels), mark_scores(grades.to_numpy(), labels.to_numpy())


def _weighted(probabilities: np.ndarray) -> np.ndarray:
    weighted = probabilities * SEVERITY_WEIGHTS
    return weighted / weighted.sum(axis=-1, keepdims=True)
