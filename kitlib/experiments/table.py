"""The results of a grid as one table: what was measured, beside the baselines and published results."""

import contextlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kitlib.artefacts import facts_of, load_table
from kitlib.competition.metric import score
from kitlib.competition.submission import to_rows
from kitlib.errors import ArtefactError
from kitlib.evaluate.baselines import prior_out_of_fold, uniform
from kitlib.evaluate.classification import per_cell
from kitlib.evaluate.compare import difference_interval, score_interval
from kitlib.experiments.experiment import Experiment, Split
from kitlib.experiments.fold import OOF_FILE, RECONSTRUCTION_FILE, damage, removed_file, result_files
from kitlib.experiments.run import fold_folder
from kitlib.experiments.run_key import Origin
from kitlib.experiments.scenarios import NOTHING
from kitlib.experiments.status import (
    ORACLE_FILE,
    UNFINISHED_FILE,
    RunNote,
    cases_path,
    failure,
    load_cases,
    skipped,
)
from kitlib.terms import CELLS

NO_INTERVAL = {"low": math.nan, "high": math.nan}
NORMAL = "Normal/Mild everywhere"


@dataclass(frozen=True, eq=False)
class Cases:
    """The rows of one split and the prior's predictions of them, fitted on the other folds."""

    labels: pd.DataFrame
    folds: pd.Series
    shared: float  # share of rows whose study also stands in the rows fitted on
    prior: pd.DataFrame

    @classmethod
    def load(cls, folder: Path, split: Split) -> "Cases":
        """The cases that a grid left; ArtefactError where it has not run."""
        labels, facts = load_cases(folder, split)
        shared = 1.0 if split == "training" else float(facts["shared"].mean())
        folds = facts["fold"]
        prior = prior_out_of_fold(labels, folds if folds.nunique() > 1 else _halves(folds))
        return cls(labels, folds, shared, prior)

    def cells(self, own: Path) -> list[Path]:
        """The folders of an experiment's folds."""
        return [fold_folder(own, fold) for fold in sorted(self.folds.unique().tolist())]


def result_table(folder: Path, entries: Iterable[Experiment]) -> pd.DataFrame:
    """One row an experiment: what it is, how it went, what was measured, what it cost, what was published.

    Accuracy, macro-F1 and macro AUC are means over the 25 cells; fit_s is the mean of the folds, fit_peak_mb
    their largest; difference is the score less the prior's. Rows of a leaking split are scored per row and
    have no interval, which would be too narrow. What is of another origin than the last run has no numbers.
    """
    origin = RunNote.of(folder).origin
    cases: dict[Split, Cases] = {}
    rows = []
    for entry in entries:
        if entry.split not in cases and _belongs(cases_path(folder, entry.split), origin):
            cases[entry.split] = Cases.load(folder, entry.split)
        rows.append({**_said(entry), **_outcome(folder, entry, origin, cases.get(entry.split))})
    return pd.DataFrame(rows)


def baseline_table(folder: Path) -> pd.DataFrame:
    """The baselines on whole studies: prior, 1/3, always Normal/Mild, and on phantoms the oracle.

    ArtefactError where no grid has run.
    """
    cases = Cases.load(folder, "studies")
    normal = np.zeros((len(cases.labels), len(CELLS), 3))
    normal[..., 0] = 1
    between = {
        "prior": cases.prior,
        "1/3": uniform(cases.labels.index),
        NORMAL: to_rows(cases.labels.index, normal),
    }
    if _belongs(folder / ORACLE_FILE, RunNote.of(folder).origin):
        between["oracle"] = load_table(folder / ORACLE_FILE)
    return pd.DataFrame([{"experiment": name, **_measured(cases, oof)} for name, oof in between.items()])


def removal_results(
    folder: Path, entries: Iterable[Experiment]
) -> tuple[dict[str, dict[str, pd.DataFrame]], dict[str, pd.DataFrame]]:
    """By experiment that was judged without some sequences: predictions by scenario, and reconstructions."""
    predictions, reconstructions = {}, {}
    origin, cases = RunNote.of(folder).origin, Cases.load(folder, "studies")
    for entry in (one for one in entries if one.removals and not one.leaks):
        own = folder / entry.name
        if _state(own, entry, origin, cases)[0] == "done":
            files = {NOTHING: OOF_FILE, **{removal: removed_file(removal) for removal in entry.removals}}
            predictions[entry.name] = {
                removal: _joined(cases.cells(own), file) for removal, file in files.items()
            }
            if RECONSTRUCTION_FILE in result_files(entry):
                reconstructions[entry.name] = _joined(cases.cells(own), RECONSTRUCTION_FILE)
    return predictions, reconstructions


def _said(entry: Experiment) -> dict[str, Any]:
    claim = vars(entry.published) if entry.published else dict.fromkeys(("accuracy", "f1", "auc"), math.nan)
    return {
        "experiment": entry.name,
        "description": entry.description,
        "model": entry.model,
        "backbone": entry.backbone,
        "split": entry.split,
        "leaks": entry.leaks,
        **{f"published_{name}": value for name, value in claim.items()},
    }


def _belongs(path: Path, origin: Origin) -> bool:
    """Whether an artefact is there and of this origin."""
    return _objections([path], origin) == [""]


def _objections(paths: Iterable[Path], origin: Origin) -> list[str]:
    """What an origin objects to each of the artefacts that are there."""
    found = []
    for path in paths:
        with contextlib.suppress(ArtefactError):  # a run that goes on may take it away at any time
            found.append(origin.objection(path))
    return found


def _joined(cells: Iterable[Path], file: str = OOF_FILE) -> pd.DataFrame:
    """A table of all folds end to end."""
    return pd.concat([load_table(cell / file) for cell in cells])


def _state(own: Path, entry: Experiment, origin: Origin, cases: Cases | None) -> tuple[str, str]:
    """How an experiment went, and why there are no numbers where it is not done."""
    if reason := skipped(own):
        return "skipped", reason
    cells = cases.cells(own) if cases else sorted(own.glob("fold*"))
    objections = _objections((cell / file for cell in cells for file in (OOF_FILE, UNFINISHED_FILE)), origin)
    if cases is None or all(objections):
        return "not run", next(filter(None, objections), "")
    if reasons := [f"{cell.name}: {failure(cell)}" for cell in cells if failure(cell)]:
        return "failed", reasons[0]
    for cell in cells:
        if reason := damage(cell, entry) or origin.objection(cell / OOF_FILE):
            return "not ended", f"{cell.name}: {reason}"
    if len({facts_of(cell / OOF_FILE)["made_from"] for cell in cells}) > 1:
        return "not ended", "its folds were made with different parameters"
    return "done", ""


def _outcome(folder: Path, entry: Experiment, origin: Origin, cases: Cases | None) -> dict[str, Any]:
    """The state of an experiment and, where it is done, all that was measured."""
    own = folder / entry.name
    state, reason = _state(own, entry, origin, cases)
    if cases is None or state != "done":
        return {"state": state, "reason": reason}
    cells = cases.cells(own)
    facts = [facts_of(cell / OOF_FILE) for cell in cells]
    peaks = [one["fit_peak_mb"] for one in facts]
    return {
        "state": "done",
        "reason": "",
        "weights": facts[0].get("weights", ""),
        "notes": "; ".join(dict.fromkeys(note for one in facts for note in one.get("notes", []))),
        **_measured(cases, _joined(cells), leaks=entry.leaks),
        "fit_s": float(np.mean([one["fit_s"] for one in facts])),
        "fit_peak_mb": math.nan if None in peaks else float(max(peaks)),
    }


def _measured(cases: Cases, oof: pd.DataFrame, *, leaks: bool = False) -> dict[str, Any]:
    measures = per_cell(cases.labels, oof)[["accuracy", "macro_f1", "macro_auc"]].mean()
    ends, against = NO_INTERVAL, NO_INTERVAL
    total = score(cases.labels, oof).total
    difference = total - score(cases.labels, cases.prior).total
    if not leaks:
        ends, against = (
            {"low": one.low, "high": one.high}
            for one in (
                score_interval(cases.labels, oof),
                difference_interval(cases.labels, oof, cases.prior),
            )
        )
    return {
        "rows": len(cases.labels),
        "shared": cases.shared,
        **measures.to_dict(),
        "score": total,
        **ends,
        "difference": difference,
        **{f"difference_{name}": value for name, value in against.items()},
    }


def _halves(folds: pd.Series) -> pd.Series:
    """Two folds for the prior where there is only one: it must not see what it is judged on."""
    return pd.Series(np.arange(len(folds)) % 2, index=folds.index)
