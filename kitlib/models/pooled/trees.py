"""Boosted trees as classifiers of a cell: few and shallow, each on a few of the columns."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, NamedTuple, Self

import lightgbm
import numpy as np
import xgboost

from kitlib.artefacts import Provenance, load_json, save_json
from kitlib.models.boosting import booster_of
from kitlib.models.common.svm import THRESHOLDS
from kitlib.models.pooled.classifiers import CalibratedClassifiers
from kitlib.terms import SEVERITIES

BOOSTERS_FILE = "boosters.json"
BINS = 15
LEAST_CHANCE = 1e-3


class Trees(NamedTuple):
    """The ensemble of a cell, or several ensembles that are averaged."""

    severities: np.ndarray  # of the training rows: the classes of the ensembles
    boosters: list[Any]


class TreeClassifiers(CalibratedClassifiers):
    """Converts tree probabilities to log odds, so that one calibration serves trees and machines alike."""

    def save(self, folder: Path, provenance: Provenance) -> None:
        """See the base class; boosters are saved in the text format of their library."""
        super().save(folder, provenance)
        content = {
            name: {"severities": trees.severities.tolist(), "boosters": [*map(self._text, trees.boosters)]}
            for name, trees in self.classifiers.items()
        }
        save_json(folder / BOOSTERS_FILE, content, provenance)

    def load(self, folder: Path) -> Self:
        """See the base class."""
        self.classifiers = {
            name: Trees(np.array(trees["severities"]), [*map(self._booster, trees["boosters"])])
            for name, trees in load_json(folder / BOOSTERS_FILE).items()
        }
        return super().load(folder)

    def _fit_cell(self, rows: np.ndarray, severities: np.ndarray, weights: np.ndarray) -> Trees:
        found, codes = np.unique(severities, return_inverse=True)
        return Trees(found, self._grow(rows, codes, weights))

    def _decide(self, classifier: Trees, rows: np.ndarray) -> np.ndarray:
        severities, boosters = classifier
        chances = np.zeros((len(rows), len(SEVERITIES)))
        for booster in boosters:
            chances[:, severities] += self._chances(booster, rows) / len(boosters)
        above = np.stack([chances[:, least:].sum(axis=1) for least in THRESHOLDS], axis=1)
        above = above.clip(LEAST_CHANCE, 1 - LEAST_CHANCE)
        known = [0 < (severities >= least).sum() < len(severities) for least in THRESHOLDS]
        return np.log(above / (1 - above)) * known

    @abstractmethod
    def _grow(self, rows: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> list[Any]:
        """Fit ensembles on rows whose severities have the consecutive codes 0, 1, ..."""

    @abstractmethod
    def _chances(self, booster: Any, rows: np.ndarray) -> np.ndarray:
        """Predict the probability of each code (n, codes)."""

    @abstractmethod
    def _text(self, booster: Any) -> str: ...

    @abstractmethod
    def _booster(self, text: str) -> Any: ...


class LightGBMClassifiers(TreeClassifiers):
    """LightGBM."""

    def _grow(self, rows: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> list[Any]:
        parameters = {
            "objective": "multiclass", "num_class": int(codes.max()) + 1, "num_leaves": 4, "max_bin": BINS,
            "learning_rate": 0.1, "feature_fraction": 0.1, "min_data_in_leaf": 5, "lambda_l2": 5.0,
            "seed": self.seed, "num_threads": 1, "deterministic": True, "force_col_wise": True,
            "enable_bundle": False, "feature_pre_filter": False, "verbosity": -1,
        }  # fmt: skip
        data = lightgbm.Dataset(rows, codes, weight=weights, params=parameters)
        return [lightgbm.train(parameters, data, self.settings.trees)]

    def _chances(self, booster: lightgbm.Booster, rows: np.ndarray) -> np.ndarray:
        return np.asarray(booster.predict(rows, num_threads=1))

    def _text(self, booster: lightgbm.Booster) -> str:
        return str(booster.model_to_string())

    def _booster(self, text: str) -> lightgbm.Booster:
        return booster_of(text)


class XGBoostClassifiers(TreeClassifiers):
    """XGBoost."""

    def _grow(self, rows: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> list[Any]:
        data = xgboost.QuantileDMatrix(rows, codes, weight=weights, max_bin=BINS, nthread=1)
        return [self._boost(data, int(codes.max()) + 1, self.seed)]

    def _boost(self, data: xgboost.DMatrix, codes: int, seed: int) -> xgboost.Booster:
        parameters = {
            "objective": "multi:softprob", "num_class": codes, "max_depth": 2,
            "max_bin": BINS, "eta": 0.1, "colsample_bytree": 0.1, "lambda": 5.0, "tree_method": "hist",
            "seed": seed, "nthread": 1, "verbosity": 0,
        }  # fmt: skip
        return xgboost.train(parameters, data, self.settings.trees)

    def _chances(self, booster: xgboost.Booster, rows: np.ndarray) -> np.ndarray:
        return np.asarray(booster.inplace_predict(rows), dtype=np.float64)

    def _text(self, booster: xgboost.Booster) -> str:
        return bytes(booster.save_raw("json")).decode()

    def _booster(self, text: str) -> xgboost.Booster:
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(text, "utf-8"))
        return booster


class BaggingClassifiers(XGBoostClassifiers):
    """Bagged XGBoost: each bag weights the rows by how often they are drawn with replacement.

    Like scikit-learn's BaggingClassifier, but the rows are binned once and no severity is ever lost.
    """

    def _grow(self, rows: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> list[Any]:
        rng = np.random.default_rng(self.seed)
        data = xgboost.QuantileDMatrix(rows, codes, weight=weights, max_bin=BINS, nthread=1)
        boosters = []
        for _ in range(self.settings.bags):
            seed = int(rng.integers(2**31))
            drawn = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)))
            data.set_weight(weights * drawn)
            boosters.append(self._boost(data, int(codes.max()) + 1, seed))
        return boosters
