"""Combiners: a blend of several models' predictions, or a stack that corrects the blend.

A stack can learn what a blend cannot: that a narrow canal makes a narrow recess at its level likely, and so
does the other side. It starts from the blend and changes a condition group only where that clearly pays.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from scipy.special import softmax

from kitlib.competition.metric import group2cells
from kitlib.ensemble.blend import Blend, fit_blend
from kitlib.ensemble.calibrate import log_probabilities, normalised_rows
from kitlib.ensemble.context import context_rows
from kitlib.ensemble.worth import ALL_ROWS, Rows, worthwhile
from kitlib.errors import known_name
from kitlib.models.common.softmax import fit_softmax
from kitlib.terms import EMPTY, GROUPS, SEVERITIES, SEVERITY_WEIGHTS


@dataclass(frozen=True)
class Stack(Blend, ABC):
    """A blend with a fitted change to its log probabilities per condition group; see `context_rows`."""

    group2change: dict[str, Any] = field(default_factory=dict)

    strengths: ClassVar[tuple[float, ...]]
    """Candidate strengths with which a change is fitted."""

    @classmethod
    def fit(cls, labels: np.ndarray, candidates: Mapping[str, np.ndarray]) -> "Stack":
        """Fit on labels (n, 25) and out-of-fold probabilities (n, 25, 3) by model."""
        start = cls(fit_blend(labels, candidates))
        blended, rows = start._start(candidates)
        logs = log_probabilities(blended)

        def fitted(group2strength: Mapping[str, float], of: Rows) -> Stack:
            changes = {}
            for group, strength in group2strength.items():
                cells = group2cells[group]
                labelled = labels[of][:, cells] != EMPTY
                of_cells = (array[of][:, cells][labelled] for array in (rows, logs, labels))
                if labelled.any():
                    changes[group] = cls._fit_change(strength, *of_cells)
            return cls(start.weights, changes)

        def refit(strength: float, train: np.ndarray, held_out: np.ndarray) -> np.ndarray:
            changed = fitted(dict.fromkeys(GROUPS, strength), train)
            return changed._changed(blended[held_out], rows[held_out])

        return fitted(worthwhile(labels, blended, refit, cls.strengths), ALL_ROWS)

    def apply(self, candidates: Mapping[str, np.ndarray]) -> np.ndarray:
        """Combine the models' arrays into one (n, 25, 3)."""
        return self._changed(*self._start(candidates))

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return {"weights": self.weights, "group2change": self.group2change}

    def _start(self, candidates: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The blend (n, 25, 3), and the features (n, 25, columns) of every cell."""
        blended = normalised_rows(super().apply(candidates))
        # Sorted by name: a saved artefact does not keep the order of the weights.
        return blended, context_rows(normalised_rows(candidates[name]) for name in sorted(self.members))

    def _changed(self, blended: np.ndarray, rows: np.ndarray) -> np.ndarray:
        changed = blended.copy()
        for group, change in self.group2change.items():
            cells = group2cells[group]
            of_group = rows[:, cells].reshape(-1, rows.shape[-1])
            logits = self._logits(change, of_group).reshape(len(rows), len(cells), len(SEVERITIES))
            changed[:, cells] = softmax(log_probabilities(blended[:, cells]) + logits, axis=-1)
        return changed

    @classmethod
    @abstractmethod
    def _fit_change(cls, strength: float, rows: np.ndarray, logs: np.ndarray, severities: np.ndarray) -> Any:
        """Fit to rows (n, columns), log probabilities (n, 3) and severities (n,); returns JSON values."""

    @classmethod
    @abstractmethod
    def _logits(cls, change: Any, rows: np.ndarray) -> np.ndarray:
        """Logits (n, 3) to add to the log probabilities."""


class LogisticStack(Stack):
    """A multinomial logistic regression; its strength is the shrinkage to the blend, in studies."""

    name = "logistic"
    strengths = (300.0, 3000.0)

    @classmethod
    def _fit_change(
        cls, strength: float, rows: np.ndarray, logs: np.ndarray, severities: np.ndarray
    ) -> list[list[float]]:
        return fit_softmax(rows, logs, severities, penalty=strength).tolist()

    @classmethod
    def _logits(cls, change: list[list[float]], rows: np.ndarray) -> np.ndarray:
        *coefficients, intercepts = np.array(change)
        return rows @ np.array(coefficients) + intercepts


class LightGBMStack(Stack):
    """Boosted trees, saved as LightGBM's text; the strength is the number of boosting rounds."""

    name = "lightgbm"
    strengths = (10.0, 20.0, 40.0)

    @classmethod
    def _fit_change(cls, strength: float, rows: np.ndarray, logs: np.ndarray, severities: np.ndarray) -> str:
        import lightgbm  # late: it takes a second

        parameters = {
            "objective": "multiclass", "num_class": len(SEVERITIES), "num_leaves": 4, "learning_rate": 0.05,
            "min_data_in_leaf": 100, "lambda_l2": 10.0, "feature_fraction": 0.5, "boost_from_average": False,
            "seed": 0, "num_threads": 1, "deterministic": True, "force_col_wise": True, "verbosity": -1,
        }  # fmt: skip
        weights, start = np.take(SEVERITY_WEIGHTS, severities), logs.ravel(order="F")
        data = lightgbm.Dataset(rows, severities, weight=weights, init_score=start, params=parameters)
        return str(lightgbm.train(parameters, data, int(strength)).model_to_string())

    @classmethod
    def _logits(cls, change: str, rows: np.ndarray) -> np.ndarray:
        import lightgbm

        return np.asarray(lightgbm.Booster(model_str=change).predict(rows, raw_score=True, num_threads=1))


name2combiner: dict[str, type[Blend]] = {one.name: one for one in (Blend, LogisticStack, LightGBMStack)}


def combiner_named(name: str) -> type[Blend]:
    """The combiner of this name; raises UsageError if there is none."""
    known_name(name, name2combiner, "combiner")
    return name2combiner[name]
