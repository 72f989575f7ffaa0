"""From DICOM to rows, study by study: the same in the notebook, on Kaggle's hidden rerun and for one study.

The ladder of rungs: "full model" with all sequences, "fewer views" where one or two are missing, and "prior"
where there is no image, an error in this study, or no time left. Whatever happens to one study, the others
go on and the submission is complete.
"""

import functools
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from kitlib.competition.root import UNDESCRIBED, Competition, find_root, series_around
from kitlib.competition.submission import to_rows, write_submission
from kitlib.errors import KitError, RootError, StepError
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.series import read_series
from kitlib.mri.stack import Stack
from kitlib.mri.study import note_missing_sequences
from kitlib.predict.predictor import Predictor, load_predictor
from kitlib.prepare.volumes import prepare
from kitlib.run.steps import STEPS, changed_inputs, done
from kitlib.terms import AXIAL_T2, CELLS, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES, row_ids

FULL, FEWER, PRIOR = "full model", "fewer views", "prior"
FILLED = "rows filled with the prior"
FINISH = "Run the notebooks to the end."
STUDIES_BETWEEN_WRITES = 50
plane2sequences = {"sagittal": (SAGITTAL_T1, SAGITTAL_T2), "axial": (AXIAL_T2,)}


@dataclass(frozen=True)
class Result:
    """What was predicted, what was wrong with the data, and how long each study took."""

    predictions: pd.DataFrame  # index row_id; PROBABILITIES, rung
    ledger: Ledger
    seconds: pd.Series  # by study_id


def predict_competition(
    predictor: Predictor, competition: Competition, *, out: Path, budget_s: float = math.inf
) -> Result:
    """Predict all test studies and write the submission `out`: first whole from the prior, then replaced.

    Studies that do not fit into `budget_s` of wall-clock time get the prior and a fault each.
    """
    study_ids = competition.test_study_ids()
    write_submission(out, predictor.prior.predict(study_ids))
    return predict_studies(predictor, study_ids, competition.series("test"), out=out, budget_s=budget_s)


def predict_studies(
    predictor: Predictor, study_ids: list[int], series: pd.DataFrame, *, out: Path, budget_s: float = math.inf
) -> Result:
    """Predict studies from their `series` (study_id, series_id, sequence, folder) one by one into `out`."""
    started_s = time.monotonic()
    ledger, seconds = Ledger(), dict[int, float]()
    rungs = dict.fromkeys(study_ids, PRIOR)
    probabilities = dict.fromkeys(study_ids, predictor.prior.probabilities)
    for number, study_id in enumerate(tqdm(study_ids, desc="studies", mininterval=1)):
        begun_s = time.monotonic()
        if begun_s - started_s + max(seconds.values(), default=0.0) > budget_s:
            ledger.add(_filled("budget.exhausted", study_id, f"{budget_s:.0f} s"))
            continue
        own = series[series["study_id"] == study_id]
        probabilities[study_id], rungs[study_id] = predict_study(predictor, study_id, own, ledger)
        seconds[study_id] = time.monotonic() - begun_s
        if number % STUDIES_BETWEEN_WRITES == STUDIES_BETWEEN_WRITES - 1:
            write_submission(out, _rows(probabilities))
    predictions = _rows(probabilities)
    write_submission(out, predictions)
    predictions["rung"] = np.repeat([rungs[study_id] for study_id in study_ids], len(CELLS))
    return Result(
        predictions, ledger, pd.Series(seconds, name="seconds", dtype=float).rename_axis("study_id")
    )


def predict_study(
    predictor: Predictor, study_id: int, series: pd.DataFrame, ledger: Ledger
) -> tuple[np.ndarray, str]:
    """Probabilities (25, 3) of one study and their rung; never raises for the sake of a single study."""
    try:
        stacks = _read(study_id, series, predictor.longest_px, ledger)
        series = _named(study_id, series, stacks, ledger)
        seen = {name for name, one in zip(series["sequence"], series["series_id"]) if stacks[one]}
        seen &= set(SEQUENCES)
        note_missing_sequences(study_id, seen, ledger)
        if not seen:
            ledger.add(_filled("study.no_image", study_id, ""))
            return predictor.prior.probabilities, PRIOR
        return predictor.predict(study_id, series, stacks), FULL if len(seen) == len(SEQUENCES) else FEWER
    except Exception as error:  # one study's error must not cost the others their rows: it goes to the ledger
        what = error.what if isinstance(error, KitError) else ""
        ledger.add(_filled("study.error", study_id, f"{type(error).__name__} {what}".strip()))
        return predictor.prior.probabilities, PRIOR


def predict_data(data_dir: Path, work: Path, out: Path) -> Result:
    """Predict the test studies of a competition folder with the models of a finished run."""
    return predict_competition(_finished(work), find_root(data_dir), out=out)


def predict_one_study(folder: Path, work: Path, out: Path) -> Result:
    """Predict one study's folder, which holds a folder per series, with the models of a finished run.

    Below a competition's `train_images` or `test_images` its tables name the sequences; elsewhere a series is
    used as far as its plane tells which sequence it is.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir() or not (folder.name.isascii() and folder.name.isdigit()):
        raise RootError("no folder of one study, named by its number", where=folder)
    return predict_studies(_finished(work), [int(folder.name)], _study_series(folder), out=out)


def _study_series(folder: Path) -> pd.DataFrame:
    if (described := series_around(folder)) is not None:
        return described
    found = sorted(path for path in folder.iterdir() if path.is_dir())
    rows = [(int(folder.name), number, UNDESCRIBED, str(path)) for number, path in enumerate(found, start=1)]
    return pd.DataFrame(rows, columns=["study_id", "series_id", "sequence", "folder"])


def _finished(work: Path) -> Predictor:
    """The predictor of a run; StepError where a step that it is made of is not done, or not done again."""
    for step in STEPS[-1].reads:
        if not done(work, step):
            raise StepError(f"{step} is not done", where=work, hint=FINISH)
        if changed := changed_inputs(work, step):
            raise StepError(f"{step} is not done again since {changed[0]} was", where=work, hint=FINISH)
    return load_predictor(lambda step, name: work / step / name)


def _read(study_id: int, series: pd.DataFrame, longest_px: int, ledger: Ledger) -> dict[int, list[Stack]]:
    """Prepared stacks by series id; each series is read and reduced before the next, for memory's sake."""
    read = functools.partial(read_series, ledger=ledger, study_id=study_id)
    return {
        series_id: prepare(read(Path(folder), series_id=series_id), longest_px)
        for series_id, folder in zip(series["series_id"].tolist(), series["folder"])
    }


def _named(
    study_id: int, series: pd.DataFrame, stacks: dict[int, list[Stack]], ledger: Ledger
) -> pd.DataFrame:
    """Give a series that no table describes the one sequence of its plane that the study lacks, if any."""
    sequences = dict(zip(series["series_id"], series["sequence"]))
    described = set(sequences.values())
    for series_id, sequence in sequences.items():
        if sequence != UNDESCRIBED or not stacks[series_id]:
            continue
        lacking = [one for one in plane2sequences.get(stacks[series_id][0].plane, ()) if one not in described]
        action = f"taken as {lacking[0]}" if len(lacking) == 1 else "left out"
        ledger.add(Fault("series.undescribed", action, study_id, int(series_id)))
        if len(lacking) == 1:
            sequences[series_id] = lacking[0]
    return series.assign(sequence=series["series_id"].map(sequences))


def _filled(code: str, study_id: int, detail: str) -> Fault:
    return Fault(code, FILLED, study_id, detail=detail, row_ids=tuple(row_ids(study_id)))


def _rows(probabilities: dict[int, np.ndarray]) -> pd.DataFrame:
    return to_rows(probabilities, np.stack(list(probabilities.values())))
