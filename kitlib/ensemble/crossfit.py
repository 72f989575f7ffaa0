"""Cross-fitting of ensembles: on the other folds for an unbiased score, on all folds for the test set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance, load_json, opened, save_json
from kitlib.competition.submission import to_array, to_rows
from kitlib.ensemble.blend import Blend
from kitlib.ensemble.calibrate import Calibrator, calibrator_named
from kitlib.ensemble.combine import combiner_named
from kitlib.ensemble.names import CALIBRATED_BLEND
from kitlib.errors import ArtefactError, ModelError
from kitlib.terms import CELL_NAMES


@dataclass(frozen=True)
class Recipe:
    """The combiner and then the calibrators, in order, by which an ensemble is fitted; see `names`."""

    combine: str = "blend"
    calibrate: tuple[str, ...] = ("vector_scaling",)


DEFAULT = Recipe()


@dataclass(frozen=True)
class Ensemble:
    """Turns the probabilities of several models into one set: a combiner, then calibrators."""

    combiner: Blend
    calibrators: tuple[Calibrator, ...] = ()

    @classmethod
    def fit(
        cls, labels: np.ndarray, candidates: Mapping[str, np.ndarray], recipe: Recipe = DEFAULT
    ) -> "Ensemble":
        """Fit on labels (n, 25) and out-of-fold probabilities (n, 25, 3) by model."""
        combiner = combiner_named(recipe.combine).fit(labels, candidates)
        probabilities, calibrators = combiner.apply(candidates), []
        for name in recipe.calibrate:
            calibrators.append(calibrator_named(name).fit(labels, probabilities))
            probabilities = calibrators[-1].apply(probabilities)
        return cls(combiner, tuple(calibrators))

    def apply(self, candidates: Mapping[str, np.ndarray]) -> np.ndarray:
        """Combine the models' arrays into one (n, 25, 3) and calibrate it."""
        probabilities = self.combiner.apply(candidates)
        for calibrator in self.calibrators:
            probabilities = calibrator.apply(probabilities)
        return probabilities

    @property
    def members(self) -> list[str]:
        """Names of the models that it reads."""
        return self.combiner.members

    def save(self, path: Path, provenance: Provenance) -> None:
        """Save as a JSON artefact."""
        calibrators = [{"name": one.name, "fitted": one.to_json()} for one in self.calibrators]
        combiner = {"name": self.combiner.name, "fitted": self.combiner.to_json()}
        save_json(path, {"combiner": combiner, "calibrators": calibrators}, provenance)

    @classmethod
    def load(cls, path: Path) -> "Ensemble":
        """Open what `save` wrote."""
        return opened(path, lambda file: cls._of(load_json(file), file))

    @classmethod
    def _of(cls, values: dict[str, Any], path: Path) -> "Ensemble":
        if "combiner" not in values:
            raise ArtefactError(
                "an ensemble of an earlier version", where=path, hint="Run 05_ensembling again."
            )
        combiner, calibrators = values["combiner"], values["calibrators"]
        return cls(
            combiner_named(combiner["name"]).from_json(combiner["fitted"]),
            tuple(calibrator_named(one["name"]).from_json(one["fitted"]) for one in calibrators),
        )


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Out-of-fold predictions of cross-fitted ensembles, and the final ensemble for new studies."""

    blended: pd.DataFrame  # index row_id; PROBABILITIES, model, fold: the blend by weights alone
    calibrated: pd.DataFrame  # the same columns, by the whole ensemble
    fold2ensemble: dict[int, Ensemble]
    final: Ensemble

    def weights(self) -> pd.DataFrame:
        """Blend weights by model (columns): a row per fold, and a last row for all folds."""
        rows = {str(fold): one.combiner.weights for fold, one in self.fold2ensemble.items()}
        return pd.DataFrame.from_dict({**rows, "all": self.final.combiner.weights}, orient="index")


def crossfit(
    labels: pd.DataFrame,
    folds: pd.Series,
    candidates: Mapping[str, pd.DataFrame],
    recipe: Recipe = DEFAULT,
) -> CrossFit:
    """For each fold, fit an ensemble on the other folds' out-of-fold predictions and apply it to that fold.

    The studies are those of `folds`; labels are joined on study_id, candidates on row_id.
    """
    study_ids = folds.index.to_numpy()
    codes = labels.loc[study_ids, list(CELL_NAMES)].to_numpy()
    arrays = complete_arrays(study_ids, candidates)
    blended, calibrated = np.empty((2, len(study_ids), len(CELL_NAMES), 3))
    fold2ensemble = {}
    for fold in sorted(folds.unique().tolist()):
        judged = (folds == fold).to_numpy()
        ensemble = Ensemble.fit(
            codes[~judged], {name: array[~judged] for name, array in arrays.items()}, recipe
        )
        here = {name: array[judged] for name, array in arrays.items()}
        blended[judged] = Blend(ensemble.combiner.weights).apply(here)
        calibrated[judged] = ensemble.apply(here)
        fold2ensemble[fold] = ensemble
    return CrossFit(
        _table(study_ids, blended, folds, "blend"),
        _table(study_ids, calibrated, folds, CALIBRATED_BLEND),
        fold2ensemble,
        Ensemble.fit(codes, arrays, recipe),
    )


def complete_arrays(study_ids: np.ndarray, candidates: Mapping[str, pd.DataFrame]) -> dict[str, np.ndarray]:
    """Probabilities (n, 25, 3) of these studies by model; raises ModelError if one lacks a cell."""
    return {name: _complete_array(name, study_ids, table) for name, table in candidates.items()}


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
