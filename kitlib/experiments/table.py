"""The results of a grid as one table: measured metrics, with baselines and published results."""

import contextlib
import math
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kitlib.artefacts import facts_of, load_table
from kitlib.competition.metric import score
from kitlib.competition.submission import to_rows
from kitlib.errors import ArtefactError
from kitlib.evaluate.baselines import prior_out_of_fold, uniform
from kitlib.evaluate.classification import auc_by_fold, per_cell
from kitlib.evaluate.compare import Interval, difference_interval, score_interval
from kitlib.experiments import status
from kitlib.experiments.experiment import Experiment, PublishedResult, SplitName
from kitlib.experiments.fold import (
    OOF_FILE,
    RECONSTRUCTION_FILE,
    damage,
    fold_folder,
    result_files,
    scenario_file,
)
from kitlib.experiments.scenarios import NOTHING
from kitlib.terms import CELLS

NO_INTERVAL = Interval(math.nan, math.nan, math.nan, math.nan)
NORMAL = "Normal/Mild everywhere"
BLEND = {
    "experiment": "blend",
    "description": "All that do not leak, by weights fitted on the other folds",
    "model": "blend",
    "split": "studies",
    "twin_of": "",
    "leaks": False,
    "state": "done",
    "reason": "",
}
"""The blend's descriptive columns, as in a row of `result_table`."""


@dataclass(frozen=True, eq=False)
class JudgedRows:
    """The rows of one split and the prior's out-of-fold predictions for them."""

    labels: pd.DataFrame
    folds: pd.Series
    shared: float  # share of rows whose study is also among the training rows
    prior: pd.DataFrame

    @classmethod
    def load(cls, folder: Path, split: SplitName) -> "JudgedRows":
        """Load the rows of a grid; raises ArtefactError if it has not run."""
        labels, facts = status.load_rows(folder, split)
        shared = 1.0 if split == "training" else float(facts["shared"].mean())
        folds = facts["fold"]
        if (prior_folds := folds).nunique() == 1:  # the prior must not be fitted on what it predicts
            prior_folds = folds * 0 + np.arange(len(folds)) % 2
        return cls(labels, folds, shared, prior_out_of_fold(labels, prior_folds))

    def folds_in(self, own: Path) -> list[Path]:
        """The fold folders of an experiment."""
        return [fold_folder(own, fold) for fold in sorted(self.folds.unique().tolist())]


@dataclass(frozen=True, eq=False)
class GridResults:
    """Results of a grid: see `result_table`, `baseline_table`, `pair_table` and `missing_table`."""

    experiments: pd.DataFrame
    baselines: pd.DataFrame
    pairs: pd.DataFrame
    missing: pd.DataFrame


def result_table(folder: Path, entries: Collection[Experiment]) -> pd.DataFrame:
    """One row per experiment: description, state, metrics, cost and published metrics.

    Accuracy, macro-F1 and macro AUC are means over the 25 cells, macro_auc_folds is from `auc_by_fold`; fit_s
    is the mean over folds, fit_peak_mb the maximum; difference is the score minus the prior's. A leaking
    split is scored per row and has no interval, which would be too narrow. Results whose key differs from the
    last run's have no numbers.
    """
    key = status.RunNote.of(folder).key
    splits = {entry.protocol.split for entry in entries}
    known = {split for split in splits if _belongs(status.rows_path(folder, split), key)}
    rows = {split: JudgedRows.load(folder, split) for split in known}
    return pd.DataFrame(
        [_about(entry) | _outcome(folder, entry, key, rows.get(entry.protocol.split)) for entry in entries]
    )


def baseline_table(folder: Path) -> pd.DataFrame:
    """The baselines on whole studies: prior, 1/3, always Normal/Mild, and on phantoms the oracle.

    Raises ArtefactError if no grid has run.
    """
    rows = JudgedRows.load(folder, "studies")
    normal = np.broadcast_to((1.0, 0.0, 0.0), (len(rows.labels), len(CELLS), 3))
    baselines = {
        "prior": rows.prior,
        "1/3": uniform(rows.labels.index),
        NORMAL: to_rows(rows.labels.index, normal),
    }
    if _belongs(folder / status.ORACLE_FILE, status.RunNote.of(folder).key):
        baselines["oracle"] = load_table(folder / status.ORACLE_FILE)
    return pd.DataFrame([{"experiment": name, **measured(rows, oof)} for name, oof in baselines.items()])


def out_of_fold(folder: Path, entries: Iterable[Experiment], rows: JudgedRows) -> dict[str, pd.DataFrame]:
    """Out-of-fold predictions by name, of experiments that are done."""
    return {entry.name: _joined(rows.folds_in(folder / entry.name)) for entry in entries}


def measured(rows: JudgedRows, oof: pd.DataFrame, *, leaks: bool = False) -> dict[str, Any]:
    """The metrics of predictions for these rows, as in `result_table`."""
    measures = per_cell(rows.labels, oof)[["accuracy", "macro_f1", "macro_auc"]].mean()
    total = score(rows.labels, oof).total
    own = NO_INTERVAL if leaks else score_interval(rows.labels, oof)
    against = NO_INTERVAL if leaks else difference_interval(rows.labels, oof, rows.prior)
    return {
        "rows": len(rows.labels),
        "shared": rows.shared,
        **dict(measures),
        "macro_auc_folds": auc_by_fold(rows.labels, oof, rows.folds),
        "score": total,
        "low": own.low,
        "high": own.high,
        "difference": total - score(rows.labels, rows.prior).total,
        "difference_low": against.low,
        "difference_high": against.high,
    }


def scenario_results(
    folder: Path, entries: Iterable[Experiment]
) -> tuple[dict[str, dict[str, pd.DataFrame]], dict[str, pd.DataFrame]]:
    """Predictions by experiment and scenario, and reconstructions by experiment.

    Only of experiments that are done and whose protocol has scenarios of missing sequences.
    """
    predictions, reconstructions = {}, {}
    key, rows = status.RunNote.of(folder).key, JudgedRows.load(folder, "studies")
    for entry in (entry for entry in entries if entry.protocol.missing and not entry.leaks):
        own = folder / entry.name
        if _state(own, entry, key, rows)[0] != "done":
            continue
        folds = rows.folds_in(own)
        files = {NOTHING: OOF_FILE} | {name: scenario_file(name) for name in entry.protocol.missing}
        predictions[entry.name] = {scenario: _joined(folds, file) for scenario, file in files.items()}
        if RECONSTRUCTION_FILE in result_files(entry):
            reconstructions[entry.name] = _joined(folds, RECONSTRUCTION_FILE)
    return predictions, reconstructions


def _about(entry: Experiment) -> dict[str, Any]:
    about = entry.about
    published = asdict(about.published or PublishedResult(math.nan))
    return {
        "experiment": entry.name,
        "description": about.text,
        "model": entry.model.name,
        "input": entry.input.label,
        "split": entry.protocol.split,
        "twin_of": about.twin_of,
        "leaks": entry.leaks,
        **{f"published_{name}": value for name, value in published.items()},
    }


def _belongs(path: Path, key: status.RunKey) -> bool:
    """Whether an artefact exists and has this key."""
    return _mismatches([path], key) == [""]


def _mismatches(paths: Iterable[Path], key: status.RunKey) -> list[str]:
    """How each artefact that exists differs from a key, "" if it does not."""
    found = []
    for path in paths:
        with contextlib.suppress(ArtefactError):  # a run in progress may remove it at any time
            found.append(key.mismatch(path))
    return found


def _joined(folds: Iterable[Path], file: str = OOF_FILE) -> pd.DataFrame:
    """The tables of all folds concatenated."""
    return pd.concat([load_table(fold / file) for fold in folds])


def _state(own: Path, entry: Experiment, key: status.RunKey, rows: JudgedRows | None) -> tuple[str, str]:
    """The state of an experiment, and the reason if it is not done."""
    if reason := status.skipped(own):
        return "skipped", reason
    folds = rows.folds_in(own) if rows else sorted(own.glob("fold*"))
    files = (OOF_FILE, status.UNFINISHED_FILE)
    mismatches = _mismatches((fold / file for fold in folds for file in files), key)
    if rows is None or all(mismatches):
        return "not run", next(filter(None, mismatches), "")
    if reasons := [f"{fold.name}: {status.failure(fold)}" for fold in folds if status.failure(fold)]:
        return "failed", reasons[0]
    for fold in folds:
        if reason := damage(fold, entry) or key.mismatch(fold / OOF_FILE):
            return "not ended", f"{fold.name}: {reason}"
    facts = [facts_of(fold / OOF_FILE) for fold in folds]
    if {of_fold.get("code") for of_fold in facts} != {entry.code}:
        return "not run", "made by other code: run it again"
    if len({of_fold["made_from"] for of_fold in facts}) > 1:
        return "not ended", "its folds were made with different parameters"
    return "done", ""


def _outcome(folder: Path, entry: Experiment, key: status.RunKey, rows: JudgedRows | None) -> dict[str, Any]:
    """The state of an experiment and, if it is done, its metrics."""
    own = folder / entry.name
    state, reason = _state(own, entry, key, rows)
    if rows is None or state != "done":
        return {"state": state, "reason": reason}
    folds = rows.folds_in(own)
    facts = [facts_of(fold / OOF_FILE) for fold in folds]
    peaks = [of_fold["fit_peak_mb"] for of_fold in facts]
    return {
        "state": "done",
        "reason": "",
        "weights": facts[0].get("weights", ""),
        "notes": "; ".join(dict.fromkeys(note for of_fold in facts for note in of_fold.get("notes", []))),
        **measured(rows, _joined(folds), leaks=entry.leaks),
        "fit_s": float(np.mean([of_fold["fit_s"] for of_fold in facts])),
        "fit_peak_mb": math.nan if None in peaks else float(max(peaks)),
    }
