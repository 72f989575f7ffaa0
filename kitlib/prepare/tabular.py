"""Random-forest imputation and one-hot encoding of tables.

Columns of numbers are numeric and all others categorical; NaN and None are missing values.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from kitlib.artefacts import Provenance, facts_of, fingerprint, load_table, save_table
from kitlib.errors import ModelError
from kitlib.terms import EMPTY

UNKNOWN = "unknown"
TREES = 50
LEAF_ROWS = 2
FEATURE_SHARE = 0.33
LARGEST_SEED = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class Forest:
    """RandomForestRegressor or RandomForestClassifier with bitwise equal results, but faster.

    On tables of some hundred rows these spend nearly all their time cloning and checking single trees.
    """

    trees: list[Any]  # sklearn.tree._tree.Tree
    categories: np.ndarray | None  # sorted; None for numbers

    @classmethod
    def grow(cls, rows: np.ndarray, values: np.ndarray, *, trees: int, seed: int) -> Self:
        """Fit values (n,), floats or strings, on rows (n, columns) without NaN; n is at least 1."""
        from sklearn import config_context
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        kind, categories, targets = DecisionTreeRegressor, None, values
        if values.dtype == object:
            kind = DecisionTreeClassifier
            categories, targets = np.unique(values, return_inverse=True)
        rows, targets = np.ascontiguousarray(rows, np.float32), targets.astype(np.float64)[:, None]
        random = np.random.RandomState(seed)
        tree = kind(min_samples_leaf=LEAF_ROWS, max_features=FEATURE_SHARE, random_state=random)
        grown = []
        with config_context(skip_parameter_validation=True):
            for tree_seed in [random.randint(LARGEST_SEED) for _ in range(trees)]:
                random.seed(tree_seed)
                drawn = random.randint(0, len(rows), len(rows), dtype=np.int32)
                weights = np.bincount(drawn, minlength=len(rows)).astype(np.float64)
                random.seed(tree_seed)  # scikit-learn draws rows and columns from the same seed
                grown.append(tree.fit(rows, targets, weights, check_input=False).tree_)
        return cls(grown, categories)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Predict the mean of the trees, or the most probable category, (n,), for rows (n, columns)."""
        rows = np.ascontiguousarray(rows, np.float32)
        mean = sum(tree.predict(rows) for tree in self.trees) / len(self.trees)
        return mean[:, 0] if self.categories is None else self.categories[mean.argmax(axis=1)]


class ForestImputer:
    """Impute missing values, each column by a random forest fitted on the training rows that have it.

    A forest sees all other columns, their own missing values replaced by the median or the most frequent
    category, and is fitted when first needed. Imputed values depend only on the training table and that row.
    """

    def __init__(self, *, seed: int = 0, trees: int = TREES) -> None:
        self.seed, self.trees = seed, trees

    def fit(self, table: pd.DataFrame) -> Self:
        """Fit on the table (n, columns) of the training studies."""
        self.numeric = {name for name in table if is_numeric_dtype(table[name])}
        self.table = self._plain(table)
        self.simple = {name: _commonest(self.table[name]) for name in self.table}
        closed = self._closed(self.table)
        self.onehot = OneHot().fit(closed)
        self.predictors = self.onehot.transform(closed)
        self.forests: dict[str, Forest | None] = {}
        return self

    @property
    def fingerprint(self) -> str:
        """Changes when the imputed values may."""
        columns = {name: pd.util.hash_array(column.to_numpy()) for name, column in self.table.items()}
        hashes = {name: hashed.tobytes().hex() for name, hashed in columns.items()}
        return fingerprint(list(hashes.items()), sorted(self.numeric), self.seed, self.trees)

    def transform(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a copy of the table (any studies, same columns as in `fit`) with missing values imputed."""
        if list(table.columns) != list(self.table.columns):
            different = sorted(set(table.columns) ^ set(self.table.columns)) or "their order"
            raise ModelError(
                f"the table's columns are not those fitted on: {different}", where="ForestImputer"
            )
        table = self._plain(table)
        holes = table.isna()
        if not holes.to_numpy().any():
            return table
        filled = self._closed(table)
        predictors = self.onehot.transform(filled)
        for name in table.columns[holes.any()]:
            forest, empty = self._forest(name), holes[name].to_numpy()
            if forest is not None:
                values = filled[name].to_numpy(copy=True)
                values[empty] = forest.predict(self._others(predictors[empty], name))
                filled[name] = values
        return filled

    def save(self, path: Path, provenance: Provenance) -> None:
        """Save the training table and the seed; after `load` the same forests are fitted again."""
        save_table(path, self.table, provenance, seed=self.seed, trees=self.trees)

    @classmethod
    def load(cls, path: Path) -> "ForestImputer":
        """Load an imputer saved by `save`."""
        facts = facts_of(path)
        return cls(seed=facts["seed"], trees=facts["trees"]).fit(load_table(path))

    def _plain(self, table: pd.DataFrame) -> pd.DataFrame:
        """Floats in columns that were numeric in `fit`, text elsewhere; missing values are NaN or None."""
        plain = {
            name: _numbers(column) if name in self.numeric else _words(column)
            for name, column in table.items()
        }
        return pd.DataFrame(plain, index=table.index, columns=table.columns)

    def _closed(self, plain: pd.DataFrame) -> pd.DataFrame:
        """A plain table with missing values replaced by the median or the most frequent category."""
        holed = plain.columns[plain.isna().any()]
        return plain.fillna({name: self.simple[name] for name in holed})

    def _others(self, predictors: np.ndarray, name: str) -> np.ndarray:
        return np.delete(predictors, self.onehot.columns_of(name), axis=1)

    def _forest(self, name: str) -> Forest | None:
        """The forest of a column; None if no training row has it or there is no other column."""
        if name not in self.forests:
            known = self.table[name].notna().to_numpy()
            others = self._others(self.predictors[known], name)
            values = self.table[name].to_numpy()[known]
            self.forests[name] = (
                Forest.grow(others, values, trees=self.trees, seed=self.seed) if others.size else None
            )
        return self.forests[name]


class OneHot:
    """Keep numeric columns, and encode each category seen in `fit` as a 0/1 column; others as all zeros."""

    categories: dict[str, list[str] | None]  # None for a numeric column

    def fit(self, table: pd.DataFrame) -> Self:
        """Record the columns and their categories."""
        self.categories = {
            str(name): None if is_numeric_dtype(column) else sorted(column.dropna().unique())
            for name, column in table.items()
        }
        widths = [1 if categories is None else len(categories) for categories in self.categories.values()]
        ends = np.cumsum(widths).tolist()
        self._columns = {
            name: slice(end - width, end) for name, end, width in zip(self.categories, ends, widths)
        }
        return self

    def columns_of(self, name: str) -> slice:
        """The slice of the encoded columns that belongs to one column of the table."""
        return self._columns[name]

    def transform(self, table: pd.DataFrame) -> np.ndarray:
        """Encode the table as float64 (n, encoded columns); NaN stays NaN in numeric columns."""
        encoded = [np.empty((0, len(table)))]
        for name, categories in self.categories.items():
            values = table[name].to_numpy()[None]
            encoded.append(values if categories is None else values == np.array(categories, object)[:, None])
        return np.concatenate(encoded, dtype=np.float64).T


def impute_labels(labels: pd.DataFrame, metadata: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Impute empty cells from a study's other cells and its metadata, by forests fitted on the same table.

    `labels` is (n, 25) of codes with EMPTY; pass training studies only. A cell that no study has stays EMPTY.
    """
    words = labels.astype(str).where(labels != EMPTY, None)
    known = labels.columns[(labels != EMPTY).any()]
    table = words[known].join(metadata)
    filled = labels.copy()
    filled[known] = ForestImputer(seed=seed).fit(table).transform(table)[known].astype(labels.dtypes[known])
    return filled


def _numbers(column: pd.Series) -> np.ndarray:
    numbers = pd.to_numeric(column.to_numpy(), errors="coerce").astype(np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _words(column: pd.Series) -> np.ndarray:
    return column.astype(str).astype(object).where(column.notna(), None).to_numpy()


def _commonest(column: pd.Series) -> Any:
    """The median of numbers or the most frequent category; 0 or UNKNOWN if all values are missing."""
    known = column.dropna()
    if is_numeric_dtype(column):
        return float(known.median()) if len(known) else 0.0
    return Counter(known).most_common(1)[0][0] if len(known) else UNKNOWN
