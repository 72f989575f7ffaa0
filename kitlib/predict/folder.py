"""Predict the study in any folder, with everything a report of it shows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kitlib.competition.submission import to_rows
from kitlib.localise.folder import study_rows
from kitlib.models.crop.model import Examination
from kitlib.mri.ledger import Ledger
from kitlib.mri.study import Study
from kitlib.predict.predictor import PRIOR, Prediction, Predictor
from kitlib.predict.stream import Handling, predict_study
from kitlib.terms import CELLS, CONDITIONS, LEVELS, SEVERITIES, level2text

CONDITION_NAMES = ["canal", "left foramen", "right foramen", "left recess", "right recess"]
STRICT = Handling(strict=True)


@dataclass(frozen=True, eq=False)
class StudyResult:
    """One study: its images, its prediction, the measurements, and what was wrong with its files."""

    study: Study  # prepared
    prediction: Prediction
    examination: Examination | None  # findings in each view; None if no model reads views
    ledger: Ledger

    @property
    def rows(self) -> pd.DataFrame:
        """The study's 25 submission rows."""
        return to_rows([self.study.study_id], self.prediction.probabilities[None])

    @property
    def openings_mm(self) -> np.ndarray:
        """Measured width of the opening at each of CELLS, (25,); NaN where none was measured."""
        return np.full(len(CELLS), np.nan) if self.examination is None else self.examination.openings_mm

    @property
    def severities(self) -> pd.DataFrame:
        """The most probable severity of each cell as text: levels as rows, conditions as columns."""
        texts = pd.Series(index=pd.MultiIndex.from_tuples(CELLS), dtype=object)
        for cell, chances, opening_mm in zip(CELLS, self.prediction.probabilities, self.openings_mm):
            measured = "" if np.isnan(opening_mm) else f", {opening_mm:.1f} mm"
            texts[cell] = f"{SEVERITIES[chances.argmax()]} {chances.max():.0%}{measured}"
        by_level = texts.unstack(level=0).loc[list(LEVELS), list(CONDITIONS)]
        return by_level.set_axis([*level2text.values()]).set_axis(CONDITION_NAMES, axis=1)


def predict_folder(predictor: Predictor, folder: Path, handling: Handling = STRICT) -> StudyResult:
    """Read and predict the study in a folder, as `localise.folder.study_rows` finds it.

    Raises DataError if there is nothing to read. Any other error is raised if `handling` is strict;
    otherwise the rows are filled with the prior and the error is recorded in the ledger.
    """
    ledger = Ledger()
    study_id, rows = study_rows(folder, ledger)
    study, prediction = predict_study(predictor, study_id, rows, ledger, handling)
    return StudyResult(study, prediction, _examined(predictor, study, prediction), ledger)


def predict_read(predictor: Predictor, study: Study) -> StudyResult:
    """Predict a study in memory, prepared or as it was read; errors are raised."""
    ledger, study = Ledger(), predictor.prepared(study)
    prediction = predictor.predict(study, ledger)
    return StudyResult(study, prediction, _examined(predictor, study, prediction), ledger)


def _examined(predictor: Predictor, study: Study, prediction: Prediction) -> Examination | None:
    return predictor.examine(study) if PRIOR not in prediction.rungs else None
