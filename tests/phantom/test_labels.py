import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from kitlib.phantom.labels import (
    PREVALENCE,
    READER_NOISE,
    UNCOVERED,
    correlation,
    draw_grades,
    draw_labels,
    draw_readings,
    draw_uncovered,
    reading_probabilities,
)
from kitlib.terms import CELL_NAMES, CELLS, EMPTY, LEVELS

SPINAL = [index for index, cell in enumerate(CELLS) if cell.group == "spinal"]
SUBARTICULAR = [index for index, cell in enumerate(CELLS) if cell.group == "subarticular"]


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return draw_labels(2000, seed=0)


def shares(labels: np.ndarray) -> np.ndarray:
    counts = np.stack([(labels == code).sum(axis=0) for code in range(3)], axis=1)
    return counts / counts.sum(axis=1, keepdims=True)


def test_prevalence_of_every_cell_is_that_of_the_table(labels: np.ndarray) -> None:
    assert np.abs(shares(labels) - PREVALENCE).max() < 0.02


def test_any_severe_spinal_rate(labels: np.ndarray) -> None:
    assert (labels[:, SPINAL] == 2).any(axis=1).mean() == pytest.approx(0.185, abs=0.03)


def test_sides_and_neighbouring_levels_go_together(labels: np.ndarray) -> None:
    table = pd.DataFrame(labels, columns=CELL_NAMES).replace(EMPTY, np.nan)
    ranks = table.corr(method="spearman")
    left, right = "left_subarticular_stenosis_l4_l5", "right_subarticular_stenosis_l4_l5"
    assert 0.4 < ranks.loc[left, right] < 0.65
    upper, lower = "left_neural_foraminal_narrowing_l3_l4", "left_neural_foraminal_narrowing_l4_l5"
    assert 0.3 < ranks.loc[upper, lower] < 0.6
    assert (
        ranks.loc[left, "left_subarticular_stenosis_l1_l2"]
        < ranks.loc[left, "left_subarticular_stenosis_l3_l4"]
    )


def test_the_correlation_can_be_one() -> None:
    assert np.allclose(correlation(), correlation().T)
    assert np.allclose(np.diag(correlation()), 1)
    assert np.linalg.eigvalsh(correlation()).min() > 0


def test_there_is_room_for_the_readers_noise() -> None:
    """Without the readers' noise, a valid correlation of true anatomies remains."""
    true = correlation() - READER_NOISE**2 * np.eye(len(CELLS))
    assert np.linalg.eigvalsh(true).min() > 0


def test_only_upper_subarticular_cells_are_empty(labels: np.ndarray) -> None:
    empty = (labels == EMPTY).mean(axis=0)
    upper = [index for index in SUBARTICULAR if CELLS[index].level in LEVELS[:2]]
    assert not np.delete(empty, upper).any()
    assert empty[SUBARTICULAR[0]] == pytest.approx(1 - UNCOVERED[0], abs=0.02)
    assert empty[SUBARTICULAR[1]] == pytest.approx(UNCOVERED[2], abs=0.015)


def test_grades_lie_within_three_classes_and_are_a_little_less_extreme_than_readings() -> None:
    grades = draw_grades(4000, np.random.default_rng(1))
    assert grades.min() >= 0
    assert grades.max() < 3
    true = shares(np.floor(grades))
    assert true[:, 0].mean() == pytest.approx(PREVALENCE[:, 0].mean(), abs=0.03)
    assert true[:, 2].mean() < PREVALENCE[:, 2].mean()


def test_readings_scatter_around_the_anatomy_as_the_law_says() -> None:
    """Cells with a given probability of a severity are read as that severity at that rate."""
    rng = np.random.default_rng(2)
    grades = draw_grades(20_000, rng)
    read = draw_readings(grades, np.zeros(20_000, int), rng)
    chance = reading_probabilities(grades)
    assert np.allclose(chance.sum(axis=-1), 1)
    for low, high in ((0.02, 0.1), (0.3, 0.5), (0.8, 0.95)):
        for code in range(3):
            some = (chance[..., code] > low) & (chance[..., code] < high)
            assert (read[some] == code).mean() == pytest.approx(chance[some][:, code].mean(), abs=0.02)


def test_labels_without_images_follow_the_law_of_labels_with_them() -> None:
    rng = np.random.default_rng(3)
    drawn = draw_readings(draw_grades(20_000, rng), draw_uncovered(20_000, rng), rng)
    assert np.abs(shares(drawn) - shares(draw_labels(20_000, seed=3))).max() < 0.015


def test_the_seed_decides() -> None:
    assert np.array_equal(draw_labels(5, seed=3), draw_labels(5, seed=3))
    assert not np.array_equal(draw_labels(50, seed=3), draw_labels(50, seed=4))


def test_the_real_table_has_these_correlations(real_dir, labels: np.ndarray) -> None:
    real = pd.read_csv(real_dir / "tables" / "train.csv")[list(CELL_NAMES)]
    codes = real.apply(lambda column: column.map({"Normal/Mild": 0, "Moderate": 1, "Severe": 2}))
    drawn = pd.DataFrame(labels, columns=CELL_NAMES).replace(EMPTY, np.nan)
    difference = (codes.corr(method="spearman") - drawn.corr(method="spearman")).abs().to_numpy()
    condition, level = np.divmod(np.arange(len(CELLS)), len(LEVELS))
    sides = np.isin(condition, (1, 3))
    assert difference[np.flatnonzero(sides), np.flatnonzero(sides) + len(LEVELS)].max() < 0.1
    upper = np.flatnonzero(level < len(LEVELS) - 1)
    assert difference[upper, upper + 1].max() < 0.1
    assert np.quantile(difference, 0.9) < 0.1


def test_even_grades_are_as_often_severe_as_normal_and_leave_the_rest_as_it_was() -> None:
    plain = draw_grades(20_000, np.random.default_rng(1))
    even = draw_grades(20_000, np.random.default_rng(1), class_balance=0.5)
    changed = plain != even
    assert abs(changed.mean() - 0.5) < 0.01
    assert np.abs(np.bincount(even[changed].astype(int), minlength=3) / changed.sum() - 1 / 3).max() < 0.01


def test_even_grades_of_a_person_are_alike_as_those_of_patients_are() -> None:
    """Left and right, and neighbouring levels, correlate; else a network could not learn that they do."""
    even = draw_grades(5000, np.random.default_rng(2), class_balance=1.0)
    ranks = spearmanr(even).statistic
    left, right = len(LEVELS), 2 * len(LEVELS)
    assert all(ranks[left + level, right + level] > 0.5 for level in range(len(LEVELS)))
    assert ranks[left, left + 1] > 0.4
