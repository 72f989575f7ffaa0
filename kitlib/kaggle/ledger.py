"""The ledger of submissions: what was submitted, its cross-validation score and its leaderboard scores."""

import datetime
import io
import math
from pathlib import Path

import pandas as pd

from kitlib.artefacts import fingerprint_of, load_table, sha256, write_csv
from kitlib.competition.tables import read_text
from kitlib.ensemble.crossfit import Ensemble
from kitlib.ensemble.names import CALIBRATED_BLEND
from kitlib.errors import StepError, TableError, UsageError
from kitlib.run import layout
from kitlib.run.steps import outputs_fingerprint, read_manifest

FILE, DIGITS = "ledger.csv", "%.6g"
BOARDS = ("public", "private")
COLUMNS = (
    "id", "date", "profile", "experiments", "studies", "cv", "cv_low", "cv_high",
    *BOARDS, "submission_sha256", "ensemble_sha256", "models",
)  # fmt: skip


def read_ledger(file: Path) -> pd.DataFrame:
    """Read a ledger, one row (COLUMNS) per submission; an empty table if there is no file yet."""
    if not file.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    try:
        table = pd.read_csv(io.StringIO(read_text(file)), dtype=dict.fromkeys(BOARDS, float))
    except ValueError as error:  # the base class of pandas' parser errors
        raise TableError(f"the ledger does not parse: {type(error).__name__}", where=file) from None
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise TableError(f"the ledger has no column {missing[0]}", where=file)
    return table[list(COLUMNS)]


def record(file: Path, work: Path) -> int:
    """Add the submission of a work folder to a ledger and return its id, or the existing one if recorded.

    `work` may also be the output of Kaggle's kernels, downloaded into one folder. Raises StepError if it has
    no results of notebook 5 or 6.
    """
    row = _facts(work)
    table = read_ledger(file)
    same = table[table["submission_sha256"] == row["submission_sha256"]]
    if len(same):
        return int(same["id"].iloc[0])
    identity = int(table["id"].max()) + 1 if len(table) else 1
    added = pd.DataFrame([{"id": identity, **row}], columns=list(COLUMNS))
    whole = pd.concat([table, added], ignore_index=True) if len(table) else added
    write_csv(file, whole, DIGITS)
    return identity


def enter_score(file: Path, identity: int, value: float, board: str = BOARDS[0]) -> pd.DataFrame:
    """Enter a submission's leaderboard score and return the ledger; raises UsageError on an unknown id."""
    table = read_ledger(file)
    if not math.isfinite(value) or value < 0:
        raise UsageError(f"{value} is not a score", hint="Give the leaderboard's value, such as 0.41.")
    if identity not in set(table["id"]):
        known = ", ".join(map(str, table["id"])) or "none"
        raise UsageError(f"no submission {identity} in the ledger", where=file, hint=f"It has {known}.")
    table.loc[table["id"] == identity, board] = value
    write_csv(file, table, DIGITS)
    return table


def _facts(work: Path) -> dict[str, object]:
    """The ledger row of a work folder's submission, by column."""
    places = (layout.SUBMISSION_CSV.under(work), work / "submission.csv")  # the second is Kaggle's
    submission = next((path for path in places if path.is_file()), None)
    manifest = read_manifest(work, layout.ENSEMBLING)
    if submission is None or manifest is None:
        what = "no submission.csv is here" if submission is None else f"{layout.ENSEMBLING} is not done"
        raise StepError(what, where=work, hint="Run notebooks 5 and 6, or download their output.")
    scores = load_table(layout.SCORES.under(work)).set_index("prediction").loc[CALIBRATED_BLEND]
    return {
        "date": datetime.date.today().isoformat(),
        "profile": manifest["parameters"]["name"],
        "experiments": " ".join(Ensemble.load(layout.ENSEMBLE.under(work)).members),
        "studies": len(load_table(layout.FOLDS.under(work))),
        "cv": scores["total"],
        "cv_low": scores["low"],
        "cv_high": scores["high"],
        "submission_sha256": sha256(submission),
        "ensemble_sha256": fingerprint_of(layout.ENSEMBLE.under(work)),
        "models": outputs_fingerprint(work, layout.MODELLING),
    }
