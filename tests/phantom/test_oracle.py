import numpy as np
import pandas as pd
import pytest

from kitlib.competition.metric import score_arrays
from kitlib.errors import DataError, KitError, UsageError
from kitlib.phantom.archive import write_competition
from kitlib.phantom.labels import draw_grades, draw_readings, draw_uncovered
from kitlib.phantom.oracle import draw_marks, folder_marks, mark_scores, oracle_probabilities, oracle_rows
from kitlib.terms import CELL_NAMES


def test_the_oracle_scores_as_the_best_models_of_the_competition_might() -> None:
    marks = draw_marks(2000, seed=1)
    assert marks["oracle"].total == pytest.approx(0.30, abs=0.03)
    assert marks["prior"].total == pytest.approx(0.79, abs=0.02)
    assert marks["1/3"].total == pytest.approx(1.0, abs=0.02)


def test_nothing_beats_the_oracle_on_its_own_law() -> None:
    """Neither the true class alone nor a more or less confident oracle scores better."""
    rng = np.random.default_rng(4)
    grades = draw_grades(4000, rng)
    labels = draw_readings(grades, draw_uncovered(4000, rng), rng)
    best = oracle_probabilities(grades)
    total = mark_scores(grades, labels)["oracle"].total
    for power in (0.7, 1.4):
        assert score_arrays(labels, best**power).total > total
    certain = np.eye(3)[np.floor(grades).astype(int)]
    assert score_arrays(labels, 0.9 * certain + 0.1 / 3).total > total


def test_rows_are_those_of_the_studies() -> None:
    grades = pd.DataFrame(draw_grades(2, np.random.default_rng(0)), index=[7, 9], columns=list(CELL_NAMES))
    rows = oracle_rows(grades)
    assert len(rows) == 50
    assert np.allclose(rows.iloc[:, :3].sum(axis=1), 1)


def test_a_folder_has_the_marks_of_its_own_studies(tmp_path) -> None:
    write_competition(tmp_path / "data", studies=2, seed=1, size="smoke")
    count, marks = folder_marks(tmp_path / "data")
    assert count == 2
    assert list(marks) == ["oracle", "prior", "1/3"]
    next((tmp_path / "data" / "phantom_truths").iterdir()).unlink()
    with pytest.raises(DataError, match="no truth of study"):
        folder_marks(tmp_path / "data")


def test_bad_requests(tmp_path) -> None:
    with pytest.raises(UsageError, match="cannot draw 0 studies"):
        draw_marks(0, seed=1)
    with pytest.raises(KitError):
        folder_marks(tmp_path / "nowhere")
