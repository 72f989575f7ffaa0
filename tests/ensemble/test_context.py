import numpy as np

from kitlib.ensemble.context import context_rows
from kitlib.terms import CELLS, LEVELS, Cell, mirrored_cells
from tests.ensemble.builders import make_probabilities
from tests.models.builders import make_labels

PROBABILITIES = make_probabilities(make_labels(6))
RECESS = CELLS.index(Cell("left_subarticular_stenosis", "l4_l5"))
CANAL = CELLS.index(Cell("spinal_canal_stenosis", "l4_l5"))


def odds(condition: str) -> np.ndarray:
    """Log odds (n, 2) of the condition at L4/L5."""
    of_cell = PROBABILITIES[:, CELLS.index(Cell(condition, "l4_l5"))]
    return np.log([(1 - of_cell[:, 0]) / of_cell[:, 0], of_cell[:, 2] / (1 - of_cell[:, 2])]).T


def test_a_recess_is_read_with_what_lies_beside_it() -> None:
    row = context_rows([PROBABILITIES])[:, RECESS]
    places = ("left_subarticular_stenosis", "right_subarticular_stenosis", "spinal_canal_stenosis",
              "left_neural_foraminal_narrowing", "right_neural_foraminal_narrowing")  # fmt: skip
    np.testing.assert_allclose(row[:, :10], np.hstack([odds(place) for place in places]))
    np.testing.assert_array_equal(row[:, 10:], np.tile(np.eye(5)[LEVELS.index("l4_l5")], (6, 1)))


def test_the_canal_is_read_with_the_worse_and_the_better_side() -> None:
    row = context_rows([PROBABILITIES])[:, CANAL]
    sides = [odds(f"{side}_neural_foraminal_narrowing") for side in ("left", "right")]
    np.testing.assert_allclose(row[:, 2:4], np.maximum(*sides))
    np.testing.assert_allclose(row[:, 4:6], np.minimum(*sides))


def test_a_mirrored_study_has_mirrored_rows() -> None:
    rows, mirrored = (context_rows([one]) for one in (PROBABILITIES, PROBABILITIES[:, mirrored_cells]))
    np.testing.assert_array_equal(mirrored, rows[:, mirrored_cells])


def test_each_model_adds_ten_columns_and_certainty_stays_finite() -> None:
    certain = np.eye(3)[make_labels(6).clip(0)]
    rows = context_rows([PROBABILITIES, certain])
    assert rows.shape == (6, 25, 25)
    assert np.abs(rows).max() < 9.3
    assert context_rows([PROBABILITIES[:0]]).shape == (0, 25, 15)
