"""Classifiers of one cell, one decision a threshold: is a row Moderate or worse, is it Severe?

Decisions are signed, 0 where a classifier has nothing to go by. They are no probabilities yet: sampling and
overfitting have moved them, and `svm.Calibration` brings them back.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from kitlib.artefacts import Provenance, load_json, save_json
from kitlib.models.common.svm import RBFSVM, THRESHOLDS, load_machines, save_machines
from kitlib.terms import SEVERITIES, SEVERITY_WEIGHTS

if TYPE_CHECKING:
    import xgboost

MACHINES_FILE = "machines.safetensors"
BOOSTERS_FILE = "boosters.json"
BINS = 15
LEAST_CHANCE = 1e-3


class ThresholdClassifier(ABC):
    """A classifier of one cell. `weighted` counts a training row 1, 2 or 4 times, by its severity.

    `balanced` is for support vectors: there the two sides of a threshold count alike, however many rows.
    """

    def __init__(
        self, *, weighted: bool = False, balanced: bool = True, trees: int = 0, bags: int = 0, seed: int = 0
    ) -> None:
        self.weighted, self.balanced = weighted, balanced
        self.trees, self.bags, self.seed = trees, bags, seed

    @abstractmethod
    def fit(self, rows: np.ndarray, severities: np.ndarray) -> Self:
        """Fit on rows (n, columns) of two severities or more."""

    @abstractmethod
    def decision_function(self, rows: np.ndarray) -> np.ndarray:
        """Decisions (n, 2), one a threshold, about rows (n, columns)."""

    @classmethod
    @abstractmethod
    def save_all(cls, classifiers: Mapping[str, Any], folder: Path, provenance: Provenance) -> None:
        """Save the classifiers of several cells as one file."""

    @classmethod
    @abstractmethod
    def load_all(cls, folder: Path) -> dict[str, Any]:
        """Open what `save_all` wrote."""

    def _weights(self, severities: np.ndarray) -> np.ndarray:
        return np.take(SEVERITY_WEIGHTS if self.weighted else (1, 1, 1), severities).astype(float)


class SVCThresholdClassifier(ThresholdClassifier):
    """A support vector machine a threshold."""

    cost: ClassVar[float] = 1.0

    def fit(self, rows: np.ndarray, severities: np.ndarray) -> Self:
        """Fit on rows (n, columns)."""
        weights = self._weights(severities)
        self.machines = [
            RBFSVM.fit(rows, severities >= least, weights, self.cost, balanced=self.balanced)
            for least in THRESHOLDS
        ]
        return self

    def decision_function(self, rows: np.ndarray) -> np.ndarray:
        """Decisions (n, 2)."""
        return np.stack([machine.decide(rows) for machine in self.machines], axis=1)

    @classmethod
    def save_all(
        cls, classifiers: Mapping[str, "SVCThresholdClassifier"], folder: Path, provenance: Provenance
    ) -> None:
        """Save the machines of all cells."""
        machines = {name: classifier.machines for name, classifier in classifiers.items()}
        save_machines(folder / MACHINES_FILE, machines, provenance)

    @classmethod
    def load_all(cls, folder: Path) -> dict[str, "SVCThresholdClassifier"]:
        """Open what `save_all` wrote."""
        classifiers = {}
        for name, machines in load_machines(folder / MACHINES_FILE).items():
            classifiers[name] = cls()
            classifiers[name].machines = machines
        return classifiers


class TreeThresholdClassifier(ThresholdClassifier):
    """Boosted trees, one ensemble or the mean of several; few, shallow, and each on a few of the columns.

    Their probabilities become log odds, so that one calibration serves trees and machines alike.
    """

    def fit(self, rows: np.ndarray, severities: np.ndarray) -> Self:
        """Fit on rows (n, columns)."""
        self.severities, codes = np.unique(severities, return_inverse=True)
        self.boosters = self._grow(rows, codes, self._weights(severities))
        return self

    def decision_function(self, rows: np.ndarray) -> np.ndarray:
        """Decisions (n, 2)."""
        chances = np.zeros((len(rows), len(SEVERITIES)))
        for booster in self.boosters:
            chances[:, self.severities] += self._chances(booster, rows) / len(self.boosters)
        above = np.stack([chances[:, least:].sum(axis=1) for least in THRESHOLDS], axis=1)
        above = above.clip(LEAST_CHANCE, 1 - LEAST_CHANCE)
        known = [0 < (self.severities >= least).sum() < len(self.severities) for least in THRESHOLDS]
        return np.log(above / (1 - above)) * known

    @classmethod
    def save_all(
        cls, classifiers: Mapping[str, "TreeThresholdClassifier"], folder: Path, provenance: Provenance
    ) -> None:
        """Save the boosters of all cells, as the text of their library."""
        content = {
            name: {
                "severities": classifier.severities.tolist(),
                "boosters": [cls.text(booster) for booster in classifier.boosters],
            }
            for name, classifier in classifiers.items()
        }
        save_json(folder / BOOSTERS_FILE, content, provenance)

    @classmethod
    def load_all(cls, folder: Path) -> dict[str, "TreeThresholdClassifier"]:
        """Open what `save_all` wrote."""
        classifiers = {}
        for name, content in load_json(folder / BOOSTERS_FILE).items():
            classifiers[name] = cls()
            classifiers[name].severities = np.array(content["severities"])
            classifiers[name].boosters = [cls.booster(text) for text in content["boosters"]]
        return classifiers

    @abstractmethod
    def _grow(self, rows: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> list[Any]: ...

    @abstractmethod
    def _chances(self, booster: Any, rows: np.ndarray) -> np.ndarray:
        """(n, the severities of `fit`)."""

    @staticmethod
    @abstractmethod
    def text(booster: Any) -> str:
        """A booster as its library writes it."""

    @staticmethod
    @abstractmethod
    def booster(text: str) -> Any:
        """The booster of a text."""


class LightGBMThresholdClassifier(TreeThresholdClassifier):
    """LightGBM."""

    def _grow(self, rows: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> list[Any]:
        import lightgbm

        parameters = {
            "objective": "multiclass", "num_class": len(self.severities), "num_leaves": 4, "max_bin": BINS,
            "learning_rate": 0.1, "feature_fraction": 0.1, "min_data_in_leaf": 5, "lambda_l2": 5.0,
            "seed": self.seed, "num_threads": 1, "deterministic": True, "force_col_wise": True,
            "enable_bundle": False, "feature_pre_filter": False, "verbosity": -1,
        }  # fmt: skip
        data = lightgbm.Dataset(rows, codes, weight=weights, params=parameters)
        return [lightgbm.train(parameters, data, self.trees)]

    def _chances(self, booster: Any, rows: np.ndarray) -> np.ndarray:
        return np.asarray(booster.predict(rows, num_threads=1))

    @staticmethod
    def text(booster: Any) -> str:
        """LightGBM's own text."""
        return str(booster.model_to_string())

    @staticmethod
    def booster(text: str) -> Any:
        """The booster of a text."""
        import lightgbm

        return lightgbm.Booster(model_str=text)


class XGBoostThresholdClassifier(TreeThresholdClassifier):
    """XGBoost."""

    def _grow(self, rows: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> list[Any]:
        import xgboost

        data = xgboost.QuantileDMatrix(rows, codes, weight=weights, max_bin=BINS, nthread=1)
        return [self._boost(data, self.seed)]

    def _boost(self, data: "xgboost.DMatrix", seed: int) -> "xgboost.Booster":
        import xgboost

        parameters = {
            "objective": "multi:softprob", "num_class": len(self.severities), "max_depth": 2,
            "max_bin": BINS, "eta": 0.1, "colsample_bytree": 0.1, "lambda": 5.0, "tree_method": "hist",
            "seed": seed, "nthread": 1, "verbosity": 0,
        }  # fmt: skip
        return xgboost.train(parameters, data, self.trees)

    def _chances(self, booster: Any, rows: np.ndarray) -> np.ndarray:
        return np.asarray(booster.inplace_predict(rows), dtype=np.float64)

    @staticmethod
    def text(booster: Any) -> str:
        """XGBoost's JSON."""
        return bytes(booster.save_raw("json")).decode()

    @staticmethod
    def booster(text: str) -> Any:
        """The booster of a JSON text."""
        import xgboost

        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(text, "utf-8"))
        return booster


class BaggingThresholdClassifier(XGBoostThresholdClassifier):
    """Bagged XGBoost: each bag weighs the rows by how often a draw with replacement took them.

    As scikit-learn's BaggingClassifier does it, but with the rows binned once and no severity ever lost.
    """

    def _grow(self, rows: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> list[Any]:
        import xgboost

        random = np.random.default_rng(self.seed)
        data = xgboost.QuantileDMatrix(rows, codes, weight=weights, max_bin=BINS, nthread=1)
        boosters = []
        for _ in range(self.bags):
            seed = int(random.integers(2**31))
            drawn = random.multinomial(len(rows), np.full(len(rows), 1 / len(rows)))
            data.set_weight(weights * drawn)
            boosters.append(self._boost(data, seed))
        return boosters
