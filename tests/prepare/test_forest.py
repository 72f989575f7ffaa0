import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from kitlib.prepare.forest import FEATURE_SHARE, LEAF_ROWS, Forest

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(60, 7))
NUMBERS = ROWS[:, 0] - 2 * ROWS[:, 3] + RANDOM.normal(0, 0.3, 60)
WORDS = np.array(["along", "against", "mixed"], object)[np.digitize(NUMBERS, (-1, 1))]


@pytest.mark.parametrize("known", [1, 2, 40])
@pytest.mark.parametrize(
    ("library", "values"), [(RandomForestRegressor, NUMBERS), (RandomForestClassifier, WORDS)]
)
def test_a_forest_is_the_librarys_to_the_bit(library: type, values: np.ndarray, known: int) -> None:
    theirs = library(20, min_samples_leaf=LEAF_ROWS, max_features=FEATURE_SHARE, random_state=5)
    theirs.fit(ROWS[:known], values[:known])
    ours = Forest.grow(ROWS[:known], values[:known], trees=20, seed=5)
    assert ours.predict(ROWS).tolist() == theirs.predict(ROWS).tolist()
    assert ours.predict(ROWS[:1]).tolist() == theirs.predict(ROWS[:1]).tolist()


def test_a_seed_decides_and_inputs_stay_as_they_are() -> None:
    rows, numbers = ROWS.copy(), NUMBERS.copy()
    first, again, other = (Forest.grow(rows, numbers, trees=5, seed=seed).predict(rows) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()
    np.testing.assert_array_equal(rows, ROWS)
    np.testing.assert_array_equal(numbers, NUMBERS)
