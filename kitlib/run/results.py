"""The results of a grid: experiments and the blend of them all, baselines, pairs, missing sequences."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from kitlib.ensemble.crossfit import Recipe, crossfit
from kitlib.evaluate.missing import missing_table
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.questions import pair_table
from kitlib.experiments.table import (
    BLEND,
    GridResults,
    JudgedRows,
    baseline_table,
    measured,
    out_of_fold,
    result_table,
    scenario_results,
)


def grid_results(folder: Path, entries: Collection[Experiment]) -> GridResults:
    """The tables of a folder that a grid filled, the blend as the last row of its experiments.

    ArtefactError where no grid has run.
    """
    results, rows = result_table(folder, entries), JudgedRows.load(folder, "studies")
    done = set(results.loc[(results["state"] == "done") & ~results["leaks"], "experiment"])
    predictions = out_of_fold(folder, [entry for entry in entries if entry.name in done], rows)
    if len(predictions) > 1:
        blend = crossfit(rows.labels, rows.folds, predictions, Recipe(calibrate=())).blended
        results = pd.concat([results, pd.DataFrame([BLEND | measured(rows, blend)])], ignore_index=True)
    return GridResults(
        results,
        baseline_table(folder),
        pair_table(rows.labels, predictions),
        missing_table(rows.labels, *scenario_results(folder, entries)),
    )
