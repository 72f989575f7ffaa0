"""Calibrators: a few parameters per condition group, applied only where held-out studies clearly gain."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit, softmax

from kitlib.competition.metric import SEVERE, SPINAL, group2cells, score_arrays
from kitlib.ensemble.names import CALIBRATORS
from kitlib.ensemble.worth import ALL_ROWS, Rows, worthwhile
from kitlib.errors import known_name, refuse_taken
from kitlib.terms import CELLS, EMPTY, GROUPS, SEVERITIES, SEVERITY_WEIGHTS

SMALLEST = 1e-9


@dataclass(frozen=True)
class Calibrator(ABC):
    """Parameters by condition group; groups without parameters are left unchanged."""

    group2parameters: Mapping[str, np.ndarray]

    name: ClassVar[str]
    identity: ClassVar[np.ndarray]
    """Parameters of the identity map."""
    groups: ClassVar[tuple[str, ...]] = GROUPS
    shrinkages: ClassVar[tuple[float, ...]] = (100.0, 1000.0)
    """Candidate strengths of the shrinkage towards `identity`, in labels."""

    @classmethod
    def fit(cls, labels: np.ndarray, probabilities: np.ndarray) -> "Calibrator":
        """Fit on labels (n, 25) and out-of-fold probabilities (n, 25, 3) of the same studies."""
        probabilities = normalised_rows(probabilities)

        def fitted(group2shrinkage: Mapping[str, float], of: Rows) -> Calibrator:
            group2parameters = {}
            for group, shrinkage in group2shrinkage.items():
                cells = group2cells[group]
                here = labels[of][:, cells], probabilities[of][:, cells]
                group2parameters[group] = cls._fit_group(*here, shrinkage)
            return cls(group2parameters)

        def refit(shrinkage: float, train: np.ndarray, held_out: np.ndarray) -> np.ndarray:
            return fitted(dict.fromkeys(cls.groups, shrinkage), train).apply(probabilities[held_out])

        best = worthwhile(labels, probabilities, refit, cls.shrinkages, groups=cls.groups)
        return fitted(best, ALL_ROWS)

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrate probabilities (n, 25, 3)."""
        calibrated = normalised_rows(probabilities)
        for group, parameters in self.group2parameters.items():
            cells = group2cells[group]
            calibrated[:, cells] = self._apply_group(calibrated[:, cells], parameters)
        return calibrated

    def to_json(self) -> dict[str, list[float]]:
        """Convert to JSON values."""
        return {group: parameters.tolist() for group, parameters in self.group2parameters.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, list[float]]) -> Self:
        """Rebuild from the values of `to_json`."""
        return cls({group: np.array(parameters) for group, parameters in values.items()})

    @classmethod
    @abstractmethod
    def _fit_group(cls, labels: np.ndarray, probabilities: np.ndarray, shrinkage: float) -> np.ndarray:
        """Fit a group's parameters to its labels (n, cells) and probabilities (n, cells, 3).

        The penalty is `shrinkage` / 2 times the squared distance to `identity`.
        """

    @classmethod
    @abstractmethod
    def _apply_group(cls, probabilities: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        """Calibrate the probabilities (n, cells, 3) of a group's cells."""


class VectorScaling(Calibrator):
    """A scale and a shift for each severity's log probability: six parameters per group."""

    name = "vector_scaling"
    identity = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    directions: ClassVar[np.ndarray] = np.eye(6)
    """Maps each parameter (row) to the three scales and three shifts (columns)."""
    shrinkages: ClassVar[tuple[float, ...]] = (10.0, 100.0, 1000.0)

    @classmethod
    def _apply_group(cls, probabilities: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        scale, shift = (parameters @ cls.directions).reshape(2, -1)
        return softmax(log_probabilities(probabilities) * scale + shift, axis=-1)

    @classmethod
    def _fit_group(cls, labels: np.ndarray, probabilities: np.ndarray, shrinkage: float) -> np.ndarray:
        labelled = labels != EMPTY
        severities, logs = labels[labelled], log_probabilities(probabilities[labelled])
        weights = np.take(SEVERITY_WEIGHTS, severities)
        truth = np.eye(len(SEVERITIES))[severities]
        size = max(weights.sum(), 1)  # normalises the loss, so the optimiser's tolerance does not depend on n

        def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            scale, shift = (parameters @ cls.directions).reshape(2, -1)
            scaled = softmax(logs * scale + shift, axis=-1)
            away = parameters - cls.identity
            log_loss = -weights @ np.log(np.maximum((scaled * truth).sum(axis=1), SMALLEST))
            slope = (scaled - truth) * weights[:, None]
            gradient = cls.directions @ np.concatenate([(slope * logs).sum(axis=0), slope.sum(axis=0)])
            return (log_loss + shrinkage / 2 * away @ away) / size, (gradient + shrinkage * away) / size

        return minimize(loss, cls.identity, jac=True, method="L-BFGS-B").x


class Temperature(VectorScaling):
    """One scale for all log probabilities, the inverse temperature; below 1 the model was overconfident."""

    name = "temperature"
    identity = np.array([1.0])
    directions = np.array([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]])
    shrinkages = Calibrator.shrinkages


class AnySevere(Calibrator):
    """Adjust the canal level most likely to be Severe, whose probability the any-severe component scores.

    Each level's log odds z of Severe become z + share * ((scale - 1) * z + shift), where share is the level's
    part of the five levels' summed probability of Severe: a level that stands out takes nearly all of the
    change, and equal levels stay equal. The loss is the sum of the two components that read the canal.
    """

    name = "any_severe"
    identity = np.array([1.0, 0.0])
    groups = ("spinal",)

    @classmethod
    def _apply_group(cls, probabilities: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        scale, shift = parameters
        severe = probabilities[..., SEVERE].clip(SMALLEST, 1 - SMALLEST)
        log_odds, share = logit(severe), severe / severe.sum(axis=1, keepdims=True)
        moved = expit(log_odds + share * ((scale - 1) * log_odds + shift))
        rest = probabilities[..., :SEVERE].clip(min=SMALLEST)
        rest = rest / rest.sum(axis=-1, keepdims=True) * (1 - moved[..., None])
        return np.concatenate([rest, moved[..., None]], axis=-1)

    @classmethod
    def _fit_group(cls, labels: np.ndarray, probabilities: np.ndarray, shrinkage: float) -> np.ndarray:
        if (labels == EMPTY).all():
            return cls.identity

        def loss(parameters: np.ndarray) -> float:
            away = parameters - cls.identity
            pull = shrinkage / 2 * float(away @ away) / labels.size
            return _canal_loss(labels, cls._apply_group(probabilities, parameters)) + pull

        return minimize(loss, cls.identity, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-7}).x


name2calibrator: dict[str, type[Calibrator]] = {
    one.name: one for one in (Temperature, VectorScaling, AnySevere)
}


def register_calibrator(calibrator: type[Calibrator]) -> type[Calibrator]:
    """Register a calibrator (class decorator), so that recipes, runs and saved ensembles find it by name.

    Raises UsageError if another class has the name.
    """
    refuse_taken(calibrator.name, calibrator, name2calibrator, "calibrator")
    name2calibrator[calibrator.name] = calibrator
    CALIBRATORS[:] = name2calibrator
    return calibrator


def calibrator_named(name: str) -> type[Calibrator]:
    """The calibrator of this name; raises UsageError if there is none."""
    known_name(name, name2calibrator, "calibrator")
    return name2calibrator[name]


def normalised_rows(probabilities: np.ndarray) -> np.ndarray:
    """A copy whose rows sum to 1."""
    return probabilities / probabilities.sum(axis=-1, keepdims=True)


def _canal_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Sum of the metric's two components that read the canal's labels (n, 5)."""
    codes = np.full((len(labels), len(CELLS)), EMPTY)
    of_all = np.ones((*codes.shape, len(SEVERITIES)))
    codes[:, SPINAL], of_all[:, SPINAL] = labels, probabilities
    score = score_arrays(codes, of_all)
    return score.spinal + score.any_severe_spinal


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities, kept finite at 0."""
    return np.log(np.maximum(probabilities, SMALLEST))
