from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from kitlib.artefacts import Provenance
from kitlib.errors import ModelError
from kitlib.prepare.tabular import (
    FEATURE_SHARE,
    LEAF_ROWS,
    UNKNOWN,
    Forest,
    ForestImputer,
    OneHot,
    impute_labels,
)
from kitlib.terms import CELL_NAMES, EMPTY

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(60, 7))
NUMBERS = ROWS[:, 0] - 2 * ROWS[:, 3] + RANDOM.normal(0, 0.3, 60)
WORDS = np.array(["along", "against", "mixed"], object)[np.digitize(NUMBERS, (-1, 1))]


def make_table(rows: int = 40, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    size = random.normal(size=rows)
    return pd.DataFrame(
        {"size": size, "double": 2 * size, "kind": np.where(size > 0, "big", "small").astype(object)},
        index=pd.Index(100 + np.arange(rows), name="study_id"),
    )


def test_imputer_learns_from_the_other_columns() -> None:
    table = make_table()
    holed = table.copy()
    holed.iloc[:5, 1], holed.iloc[5:9, 2], holed.iloc[0, 2] = np.nan, None, None
    filled = ForestImputer(seed=1).fit(holed).transform(holed)
    assert filled["kind"].tolist() == table["kind"].tolist()
    assert np.corrcoef(filled["double"][:5], table["double"][:5])[0, 1] > 0.9
    assert filled[holed.notna()].equals(table[holed.notna()])


def test_imputer_fills_each_row_by_itself_and_the_same_after_loading(tmp_path: Path) -> None:
    imputer = ForestImputer(seed=1, trees=5).fit(make_table())
    holed = make_table(6, seed=1)
    holed.iloc[::2, 0], holed.iloc[1, 2] = np.nan, None
    before = holed.copy()
    filled = imputer.transform(holed)
    assert holed.equals(before)
    assert pd.concat([imputer.transform(holed.iloc[[row]]) for row in range(6)]).equals(filled)
    imputer.save(tmp_path / "imputer.parquet", Provenance())
    assert ForestImputer.load(tmp_path / "imputer.parquet").transform(holed).equals(filled)


def test_imputer_knows_only_the_table_it_was_fitted_on() -> None:
    imputer = ForestImputer(trees=5).fit(make_table())
    other = make_table(3, seed=2)
    other["double"], other["kind"] = [1e6, np.inf, np.nan], ["huge", "big", None]
    filled = imputer.transform(other)
    assert filled["double"].iloc[0] == 1e6  # known values stay, even outside the training range
    assert abs(filled["double"].iloc[1:]).max() < 10
    assert filled["kind"].tolist()[:2] == ["huge", "big"]
    with pytest.raises(ModelError, match="columns"):
        imputer.transform(other.drop(columns="size"))


@pytest.mark.parametrize("rows", [0, 1, 4])
def test_imputer_copes_with_columns_that_nobody_knows(rows: int) -> None:
    table = make_table(rows).assign(size=np.nan, kind=None)
    filled = (
        ForestImputer(trees=3)
        .fit(table)
        .transform(make_table(2).assign(size=np.nan, kind=None, double=np.nan))
    )
    assert filled["size"].tolist() == [0, 0]
    assert filled["kind"].tolist() == [UNKNOWN, UNKNOWN]
    assert filled["double"].notna().all()


def test_imputer_with_a_single_column_uses_its_median() -> None:
    imputer = ForestImputer().fit(pd.DataFrame({"a": [1.0, 2.0, 30.0]}))
    assert imputer.transform(pd.DataFrame({"a": [np.nan, 7]}))["a"].tolist() == [2, 7]


def test_a_fingerprint_tells_tables_and_seeds_apart() -> None:
    same, other = make_table(), make_table()
    other.iloc[3, 0] += 1e-12
    imputers = [
        ForestImputer(seed=seed).fit(table)
        for seed, table in [
            (0, make_table()),
            (0, same),
            (1, same),
            (0, other),
            (0, same.rename(columns=str.upper)),
        ]
    ]
    fingerprints = [imputer.fingerprint for imputer in imputers]
    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints)) == 4


def test_onehot_of_an_unseen_category_is_all_zeros() -> None:
    onehot = OneHot().fit(make_table())
    encoded = onehot.transform(pd.DataFrame({"size": [1.0, np.nan], "double": 2, "kind": ["big", "huge"]}))
    np.testing.assert_array_equal(encoded, [[1, 2, 1, 0], [np.nan, 2, 0, 0]])
    assert encoded[:, onehot.columns_of("kind")].tolist() == [[1, 0], [0, 0]]
    assert encoded[:, onehot.columns_of("double")].tolist() == [[2], [2]]


def test_impute_labels_fills_only_what_is_empty_and_from_related_cells() -> None:
    random = np.random.default_rng(0)
    severity = random.integers(0, 3, (60, 1))
    whole = pd.DataFrame(np.repeat(severity, 25, axis=1), columns=list(CELL_NAMES), dtype="int8")
    labels = whole.copy()
    labels.iloc[:10, 3] = EMPTY
    labels.iloc[:, 7] = EMPTY
    filled = impute_labels(labels, pd.DataFrame({"slices": random.normal(size=60)}), seed=0)
    assert (filled.dtypes == labels.dtypes).all()
    assert (filled.iloc[:, 7] == EMPTY).all()
    others = [column for column in range(25) if column != 7]
    assert filled.iloc[:, others].equals(whole.iloc[:, others])


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
