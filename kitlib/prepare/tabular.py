"""Tables without holes: random-forest imputation, and one-hot encoding.

In these tables a column of numbers is numeric and any other is categorical; NaN and None are unknown.
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
    """What RandomForestRegressor or RandomForestClassifier fits and predicts, to the bit, but sooner.

    On tables of some hundred rows nearly all of their time goes into cloning and checking every single tree.
    """

    trees: list[Any]  # sklearn.tree._tree.Tree
    categories: np.ndarray | None  # sorted; None of numbers

    @classmethod
    def grow(cls, rows: np.ndarray, values: np.ndarray, *, trees: int, seed: int) -> Self:
        """Learn values (n,), floats or words, from rows (n, columns) without NaN; n is 1 at least."""
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
                random.seed(tree_seed)  # scikit-learn draws rows and columns from the same start
                grown.append(tree.fit(rows, targets, weights, check_input=False).tree_)
        return cls(grown, categories)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """The mean of the trees (n,), or the category that most of them see, for rows (n, columns)."""
        rows = np.ascontiguousarray(rows, np.float32)
        mean = sum(tree.predict(rows) for tree in self.trees) / len(self.trees)
        return mean[:, 0] if self.categories is None else self.categories[mean.argmax(axis=1)]


class ForestImputer:
    """Fills a table's holes, each column by a random forest grown on the training rows that know it.

    A forest sees all other columns, their own holes closed by the median or the commonest category, and is
    grown when its column is first needed. A row's filling depends on the training table and that row alone.
    """

    def __init__(self, *, seed: int = 0, trees: int = TREES) -> None:
        self.seed, self.trees = seed, trees

    def fit(self, table: pd.DataFrame) -> Self:
        """Learn from the training studies' table (n, columns)."""
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
        """Changes when the fillings may."""
        columns = {name: pd.util.hash_array(column.to_numpy()) for name, column in self.table.items()}
        hashes = {name: hashed.tobytes().hex() for name, hashed in columns.items()}
        return fingerprint(list(hashes.items()), sorted(self.numeric), self.seed, self.trees)

    def transform(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table (any studies, the columns fitted on) with every hole filled; the input stays as it is."""
        if list(table.columns) != list(self.table.columns):
            different = sorted(set(table.columns) ^ set(self.table.columns)) or "their order"
            raise ModelError(
                f"the table's columns are not those imputed from: {different}", where="ForestImputer"
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
        """Save the training table and the seed; the forests grow again, the same, after `load`."""
        save_table(path, self.table, provenance, seed=self.seed, trees=self.trees)

    @classmethod
    def load(cls, path: Path) -> "ForestImputer":
        """Open what `save` wrote."""
        facts = facts_of(path)
        return cls(seed=facts["seed"], trees=facts["trees"]).fit(load_table(path))

    def _plain(self, table: pd.DataFrame) -> pd.DataFrame:
        """Floats in what were columns of numbers in `fit`, text elsewhere; NaN and None the only holes."""
        plain = {
            name: _numbers(column) if name in self.numeric else _words(column)
            for name, column in table.items()
        }
        return pd.DataFrame(plain, index=table.index, columns=table.columns)

    def _closed(self, plain: pd.DataFrame) -> pd.DataFrame:
        """A plain table with the median or the commonest category in its holes."""
        holed = plain.columns[plain.isna().any()]
        return plain.fillna({name: self.simple[name] for name in holed})

    def _others(self, predictors: np.ndarray, name: str) -> np.ndarray:
        return np.delete(predictors, self.onehot.columns_of(name), axis=1)

    def _forest(self, name: str) -> Forest | None:
        """The forest of a column; None where no training row knows it or there is no other column."""
        if name not in self.forests:
            known = self.table[name].notna().to_numpy()
            others = self._others(self.predictors[known], name)
            values = self.table[name].to_numpy()[known]
            self.forests[name] = (
                Forest.grow(others, values, trees=self.trees, seed=self.seed) if others.size else None
            )
        return self.forests[name]


class OneHot:
    """Numeric columns as they are, a 0/1 column per category seen in `fit`; an unseen one is all zeros."""

    categories: dict[str, list[str] | None]  # None for a numeric column

    def fit(self, table: pd.DataFrame) -> Self:
        """Learn the columns and their categories."""
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
        """Where one column of the table is found among the encoded columns."""
        return self._columns[name]

    def transform(self, table: pd.DataFrame) -> np.ndarray:
        """The table as float64 (n, encoded columns); NaN stays NaN in numeric columns."""
        encoded = [np.empty((0, len(table)))]
        for name, categories in self.categories.items():
            values = table[name].to_numpy()[None]
            encoded.append(values if categories is None else values == np.array(categories, object)[:, None])
        return np.concatenate(encoded, dtype=np.float64).T


def impute_labels(labels: pd.DataFrame, metadata: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Empty cells filled from the study's other cells and its metadata, by forests grown on this same table.

    `labels` is (n, 25) of codes with EMPTY; give training studies only. A cell that no study has stays EMPTY.
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
    """The median of numbers, the commonest of categories, and 0 or UNKNOWN where nothing is known."""
    known = column.dropna()
    if is_numeric_dtype(column):
        return float(known.median()) if len(known) else 0.0
    return Counter(known).most_common(1)[0][0] if len(known) else UNKNOWN
