"""Random forests of scikit-learn, without its checks of every single tree: for many small tables."""

from typing import Any, Self

import numpy as np

LEAF_ROWS = 2
FEATURE_SHARE = 0.33
LARGEST_SEED = np.iinfo(np.int32).max


class Forest:
    """What RandomForestRegressor or RandomForestClassifier fits and predicts, to the bit, but sooner.

    On tables of some hundred rows nearly all of their time goes into cloning and checking every single tree.
    """

    def __init__(self, trees: list[Any], categories: np.ndarray | None) -> None:
        self.trees = trees  # sklearn.tree._tree.Tree
        self.categories = categories  # sorted; None of numbers

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
