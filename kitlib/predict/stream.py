"""Predict many studies one by one: the same code in the notebook, Kaggle's hidden rerun and the CLI.

The fallback ladder, from the top; each row has the lowest rung that applies to it:
    full model       all sequences are present
    fewer views      one or two are missing, or no slice of the row's own sequence shows its place
    images in doubt  the ledger has a fault of `kitlib.mri.ledger.DOUBTFUL` for a series of the sequence the
                     row is graded on: its images may not be what they seem
    places in doubt  the levels could not be counted, or the place was not found and is graded at its usual
                     position
    prior            no image, an error in this study, or no time left
Whatever happens to one study, the others go on and the submission is complete.
"""

import math
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from kitlib.competition.root import Competition
from kitlib.competition.submission import to_rows, write_submission
from kitlib.errors import KitError
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.study import Study
from kitlib.predict.predictor import PRIOR, Prediction, Predictor
from kitlib.terms import row_ids

FILLED = "rows filled with the prior"
STUDIES_BETWEEN_WRITES = 50


@dataclass(frozen=True)
class Handling:
    """What to do with an unexpected exception while a study is predicted."""

    strict: bool = False
    """Raise it: for a single study, with the user at hand. Otherwise the study gets the prior and a fault."""
    log: Path | None = None
    """File to which the traceback is appended, with the study's id and no patient data."""

    def note(self, study_id: int) -> None:
        """Append the traceback of the exception being handled to the log."""
        if self.log is not None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"study {study_id}\n{traceback.format_exc()}\n")


@dataclass(frozen=True)
class Result:
    """The predictions, the faults found in the data, and the time each study took."""

    predictions: pd.DataFrame  # index row_id; PROBABILITIES, rung
    ledger: Ledger
    seconds: pd.Series  # by study_id


def predict_competition(
    predictor: Predictor,
    competition: Competition,
    *,
    out: Path,
    budget_s: float = math.inf,
    handling: Handling = Handling(),
) -> Result:
    """Predict all test studies and write the submission to `out`, first with the prior for every row.

    Studies that do not fit into `budget_s` of wall-clock time get the prior and a fault each.
    """
    ledger = Ledger()
    study_ids = competition.test_study_ids(ledger)
    write_submission(out, predictor.prior.predict(study_ids))
    rows = competition.series("test", ledger)
    result = predict_studies(predictor, study_ids, rows, out=out, budget_s=budget_s, handling=handling)
    ledger.extend(result.ledger)
    return replace(result, ledger=ledger)


def predict_studies(
    predictor: Predictor,
    study_ids: list[int],
    rows: pd.DataFrame,
    *,
    out: Path,
    budget_s: float = math.inf,
    handling: Handling = Handling(),
) -> Result:
    """Predict studies from the `rows` of their series (study_id, series_id, sequence, folder) into `out`."""
    started_s = time.monotonic()
    ledger, seconds = Ledger(), dict[int, float]()
    predicted = dict.fromkeys(study_ids, Prediction.of(predictor.prior.probabilities, PRIOR))
    for number, study_id in enumerate(tqdm(study_ids, desc="studies", mininterval=1)):
        begun_s = time.monotonic()
        if begun_s - started_s + max(seconds.values(), default=0.0) > budget_s:
            ledger.add(_filled("budget.exhausted", study_id, f"{budget_s:.0f} s"))
            continue
        own = rows[rows["study_id"] == study_id]
        _, predicted[study_id] = predict_study(predictor, study_id, own, ledger, handling)
        seconds[study_id] = time.monotonic() - begun_s
        if number % STUDIES_BETWEEN_WRITES == STUDIES_BETWEEN_WRITES - 1:
            write_submission(out, _table(predicted))
    predictions = _table(predicted)
    write_submission(out, predictions)
    predictions["rung"] = np.concatenate([prediction.rungs for prediction in predicted.values()])
    took = pd.Series(seconds, name="seconds", dtype=float).rename_axis("study_id")
    return Result(predictions, ledger, took)


def predict_study(
    predictor: Predictor, study_id: int, rows: pd.DataFrame, ledger: Ledger, handling: Handling = Handling()
) -> tuple[Study, Prediction]:
    """Read and predict one study; if reading fails, the study returned has no series.

    Unless `handling` is strict, no error in the study is raised.
    """
    study = Study(study_id, ())
    try:
        study = predictor.read(study_id, rows, ledger)
        if not study.sequences:
            ledger.add(_filled("study.no_image", study_id, ""))
        return study, predictor.predict(study, ledger)
    except Exception as error:  # recorded in the ledger: one study's error must not stop the others
        if handling.strict:
            raise
        handling.note(study_id)
        what = error.what if isinstance(error, KitError) else ""
        ledger.add(_filled("study.error", study_id, f"{type(error).__name__} {what}".strip()))
        return study, Prediction.of(predictor.prior.probabilities, PRIOR)


def _filled(code: str, study_id: int, detail: str) -> Fault:
    return Fault(code, FILLED, study_id, detail=detail, row_ids=tuple(row_ids(study_id)))


def _table(predicted: Mapping[int, Prediction]) -> pd.DataFrame:
    return to_rows(list(predicted), np.stack([prediction.probabilities for prediction in predicted.values()]))
