"""Tables without holes: what the headers tell of each study, random-forest imputation, one-hot encoding.

In these tables a column of numbers is numeric and any other is categorical; NaN and None are unknown.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from kitlib.artefacts import Provenance, facts_of, load_table, save_table
from kitlib.errors import ModelError
from kitlib.mri.stack import Stack
from kitlib.mri.study import Study
from kitlib.terms import AXIAL_T2, EMPTY, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES

sequence2prefix = {SAGITTAL_T1: "t1", SAGITTAL_T2: "t2", AXIAL_T2: "axial"}
UNKNOWN = "unknown"
TREES = 50
COUNTS = ("present", "series", "stacks", "slices")
"""Facts of a sequence that are 0 where it was not acquired."""


def study_metadata(studies: Iterable[Study]) -> pd.DataFrame:
    """What is known of each study without looking at its pixels: one row a study, NaN where unknown."""
    rows = {study.study_id: _study_row(study) for study in studies}
    index = pd.Index(list(rows), name="study_id", dtype="int64")
    return pd.DataFrame(list(rows.values()), index=index, columns=list(_study_row(Study(0, ()))))


def _study_row(study: Study) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for sequence in SEQUENCES:
        found = _sequence_facts([one.stacks for one in study.series if one.sequence == sequence])
        row |= {f"{sequence2prefix[sequence]}_{name}": value for name, value in found.items()}
    row["axial_series_kind"] = "several" if row["axial_series"] > 1 else str(row["axial_series"])
    row["sequences"] = _acquired([row[f"{prefix}_present"] for prefix in sequence2prefix.values()])
    return row


def without_sequences(metadata: pd.DataFrame, removed: np.ndarray, present: np.ndarray) -> pd.DataFrame:
    """Metadata of studies as if `removed` (n, 3) had not been acquired and `present` were all there is."""
    metadata = metadata.copy()
    for column, prefix in enumerate(sequence2prefix.values()):
        for name in [name for name in metadata if str(name).startswith(f"{prefix}_")]:
            absent = _absent_fact(str(name).removeprefix(f"{prefix}_"))
            metadata[name] = metadata[name].mask(removed[:, column], absent)
    if "sequences" in metadata:
        left = [_acquired(there) for there in present]
        metadata["sequences"] = metadata["sequences"].mask(removed.any(axis=1), left)
    return metadata


def _acquired(present: Iterable[bool]) -> str:
    prefixes = [prefix for prefix, there in zip(sequence2prefix.values(), present) if there]
    return "+".join(prefixes) or "none"


def _absent_fact(fact: str) -> object:
    """What `study_metadata` says of a sequence that was not acquired."""
    if fact in COUNTS:
        return 0
    return "0" if fact == "series_kind" else np.nan


def _sequence_facts(series_stacks: Sequence[Sequence[Stack]]) -> dict[str, Any]:
    """Facts of one sequence from the stacks of its series; geometry is the largest stack's."""
    stacks = [stack for one in series_stacks for stack in one]
    facts: dict[str, Any] = dict.fromkeys(
        ("rows", "columns", "spacing_mm", "step_mm", "view_mm", "covered_mm"), np.nan
    )
    facts |= {
        "present": int(bool(stacks)),
        "series": sum(bool(one) for one in series_stacks),
        "stacks": len(stacks),
        "slices": sum(len(stack.pixels) for stack in stacks),
        "numbering": None,
    }
    if stacks:
        largest = max(stacks, key=lambda stack: len(stack.pixels))
        rows, columns = largest.pixels.shape[1:]
        view_mm = (rows * largest.spacing_mm[0], columns * largest.spacing_mm[1])
        facts |= {"rows": rows, "columns": columns, "spacing_mm": max(largest.spacing_mm)}
        facts |= {"step_mm": largest.step_mm, "view_mm": max(view_mm)}
        facts |= {"covered_mm": max(float(np.ptp(stack.positions_mm)) for stack in stacks)}
        facts |= {"numbering": _numbering(largest)}
    return facts


def _numbering(stack: Stack) -> str | None:
    """Whether instance numbers run along the stack (right to left, foot to head) or against it."""
    steps = np.diff(stack.instance_numbers)
    if not len(steps) or (stack.instance_numbers < 0).any():
        return None
    return "along" if (steps > 0).all() else "against" if (steps < 0).all() else "mixed"


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
        self.onehot = OneHot().fit(self.table.fillna(self.simple))
        self.predictors = self._predictors(self.table)
        self.forests: dict[str, RandomForestClassifier | RandomForestRegressor | None] = {}
        return self

    def transform(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table (any studies, the columns fitted on) with every hole filled; the input stays as it is."""
        if list(table.columns) != list(self.table.columns):
            different = sorted(set(table.columns) ^ set(self.table.columns)) or "their order"
            raise ModelError(
                f"the table's columns are not those imputed from: {different}", where="ForestImputer"
            )
        table = self._plain(table)
        filled, predictors = table.fillna(self.simple), self._predictors(table)
        for name in table.columns[table.isna().any()]:
            forest, empty = self._forest(name), table[name].isna()
            if forest is not None:
                filled.loc[empty, name] = forest.predict(self._others(predictors[empty], name))
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
            name: pd.to_numeric(column, errors="coerce").astype(float).replace([np.inf, -np.inf], np.nan)
            if name in self.numeric
            else column.astype(str).astype(object).where(column.notna(), None)
            for name, column in table.items()
        }
        return pd.DataFrame(plain, index=table.index, columns=table.columns)

    def _predictors(self, table: pd.DataFrame) -> pd.DataFrame:
        return self.onehot.transform(table.fillna(self.simple))

    def _others(self, predictors: pd.DataFrame, name: str) -> np.ndarray:
        return predictors.drop(columns=self.onehot.columns_of(name)).to_numpy()

    def _forest(self, name: str) -> RandomForestClassifier | RandomForestRegressor | None:
        """The forest of a column; None where no training row knows it or there is no other column."""
        if name not in self.forests:
            known = self.table[name].notna()
            others = self._others(self.predictors[known], name)
            forest = None
            if others.size:
                kind = RandomForestRegressor if name in self.numeric else RandomForestClassifier
                forest = kind(self.trees, min_samples_leaf=2, max_features=0.33, random_state=self.seed)
                forest.fit(others, self.table.loc[known, name].to_numpy())
            self.forests[name] = forest
        return self.forests[name]


class OneHot:
    """Numeric columns as they are, a 0/1 column per category seen in `fit`; an unseen one is all zeros."""

    categories: dict[str, list[str] | None]  # None for a numeric column

    def fit(self, table: pd.DataFrame) -> Self:
        """Learn the columns and their categories."""
        self.categories = {
            str(name): None if is_numeric_dtype(table[name]) else sorted(table[name].dropna().unique())
            for name in table
        }
        return self

    def columns_of(self, name: str) -> list[str]:
        """The encoded columns of one column of the table."""
        categories = self.categories[name]
        return [name] if categories is None else [f"{name}={category}" for category in categories]

    def transform(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table (n, columns) as float64; NaN stays NaN in numeric columns."""
        encoded: dict[str, pd.Series] = {}
        for name, categories in self.categories.items():
            if categories is None:
                encoded[name] = table[name].astype(float)
            else:
                encoded |= {f"{name}={one}": (table[name] == one).astype(float) for one in categories}
        return pd.DataFrame(encoded, index=table.index)

    def to_json(self) -> str:
        """The categories as JSON."""
        return json.dumps(self.categories)

    @classmethod
    def from_json(cls, text: str) -> "OneHot":
        """Open what `to_json` wrote."""
        onehot = cls()
        onehot.categories = json.loads(text)
        return onehot


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


def _commonest(column: pd.Series) -> Any:
    """The median of numbers, the commonest of categories, and 0 or UNKNOWN where nothing is known."""
    known = column.dropna()
    if is_numeric_dtype(column):
        return float(known.median()) if len(known) else 0.0
    return Counter(known).most_common(1)[0][0] if len(known) else UNKNOWN
