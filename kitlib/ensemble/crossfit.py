"""Blend and calibration, fitted on the other folds for an honest score, and on all for the test set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance, load_json, save_json
from kitlib.competition.submission import to_array, to_rows
from kitlib.ensemble.blend import apply_blend, fit_blend, with_weight
from kitlib.ensemble.calibrate import VectorScaling
from kitlib.errors import ModelError
from kitlib.terms import CELL_NAMES


@dataclass(frozen=True)
class Ensemble:
    """What turns the probabilities of several models into one: a blend, and the blend's calibration."""

    weights: dict[str, float]
    calibration: VectorScaling

    @classmethod
    def fit(cls, labels: np.ndarray, candidates: Mapping[str, np.ndarray]) -> "Ensemble":
        """Fit on labels (n, 25) and out-of-fold probabilities (n, 25, 3) by model."""
        weights = fit_blend(labels, candidates)
        return cls(weights, VectorScaling.fit(labels, apply_blend(weights, candidates)))

    def apply(self, candidates: Mapping[str, np.ndarray]) -> np.ndarray:
        """One (n, 25, 3) array from those of the models."""
        return self.calibration.apply(apply_blend(self.weights, candidates))

    @property
    def members(self) -> list[str]:
        """The models that it reads."""
        return with_weight(self.weights)

    def save(self, path: Path, provenance: Provenance) -> None:
        """Save as a JSON artefact."""
        values = {"weights": self.weights, "calibration": self.calibration.to_json()}
        save_json(path, values, provenance)

    @classmethod
    def load(cls, path: Path) -> "Ensemble":
        """Open what `save` wrote."""
        values = load_json(path)
        return cls(values["weights"], VectorScaling.from_json(values["calibration"]))


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Honest out-of-fold predictions of an ensemble, and the ensemble for studies outside all folds."""

    blended: pd.DataFrame  # index row_id; PROBABILITIES, model, fold
    calibrated: pd.DataFrame
    fold2ensemble: dict[int, Ensemble]
    final: Ensemble

    def weights(self) -> pd.DataFrame:
        """Blend weights by model (columns) for each fold and, in the last row, for all folds."""
        rows = {str(fold): one.weights for fold, one in self.fold2ensemble.items()}
        return pd.DataFrame.from_dict({**rows, "all": self.final.weights}, orient="index")


def crossfit(labels: pd.DataFrame, folds: pd.Series, candidates: Mapping[str, pd.DataFrame]) -> CrossFit:
    """For each fold an ensemble fitted on the other folds' out-of-fold predictions, applied to that fold.

    The studies are those of `folds`; labels and candidates are joined to them on study_id and row_id.
    """
    study_ids = folds.index.to_numpy()
    codes = labels.loc[study_ids, list(CELL_NAMES)].to_numpy()
    arrays = {name: _complete_array(name, study_ids, table) for name, table in candidates.items()}
    blended, calibrated = np.empty((2, len(study_ids), len(CELL_NAMES), 3))
    fold2ensemble = {}
    for fold in sorted(folds.unique().tolist()):
        judged = (folds == fold).to_numpy()
        ensemble = Ensemble.fit(codes[~judged], {name: array[~judged] for name, array in arrays.items()})
        here = {name: array[judged] for name, array in arrays.items()}
        blended[judged], calibrated[judged] = apply_blend(ensemble.weights, here), ensemble.apply(here)
        fold2ensemble[fold] = ensemble
    return CrossFit(
        _table(study_ids, blended, folds, "blend"),
        _table(study_ids, calibrated, folds, "calibrated blend"),
        fold2ensemble,
        Ensemble.fit(codes, arrays),
    )


def _complete_array(name: str, study_ids: np.ndarray, predictions: pd.DataFrame) -> np.ndarray:
    array = to_array(study_ids, predictions)
    absent = np.isnan(array).any(axis=2)
    if absent.any():
        study, cell = np.argwhere(absent)[0]
        raise ModelError(
            f"{absent.sum()} cells have no prediction",
            where=f"{name}, first {study_ids[study]}_{CELL_NAMES[cell]}",
            hint="Blend only models that have predicted every fold.",
        )
    return array


def _table(study_ids: np.ndarray, probabilities: np.ndarray, folds: pd.Series, model: str) -> pd.DataFrame:
    return to_rows(study_ids, probabilities).assign(
        model=model, fold=np.repeat(folds.to_numpy(), len(CELL_NAMES))
    )
