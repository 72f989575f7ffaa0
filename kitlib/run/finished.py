"""The predictor of a run: of the notebooks' own folders, or of one that is finished."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from kitlib.artefacts import load_json, load_table
from kitlib.competition.priors import Prior
from kitlib.competition.root import UNDESCRIBED, find_root, series_around
from kitlib.ensemble.crossfit import Ensemble
from kitlib.errors import RootError, StepError
from kitlib.experiments.fold import fold_folder
from kitlib.inputs.base import Resources
from kitlib.predict.predictor import Predictor, load_predictor
from kitlib.predict.stream import Handling, Result, predict_competition, predict_studies
from kitlib.run import layout
from kitlib.run.steps import STEPS, changed_inputs, done

FINISH = "Run the notebooks to the end."
Need = Callable[..., Path]
"""From a file of the layout to where it lies: `Settings.need`."""


def run_predictor(need: Need, resources: Resources) -> Predictor:
    """The predictor that steps 4 and 5 left; ArtefactError or StepError where one of its parts is missing."""
    ensemble = Ensemble.load(need(layout.ENSEMBLE))
    prior = Prior.from_json(load_json(need(layout.PRIOR)))
    # By the table of folds and not by what lies there: a run of more folds may have left some behind.
    folds = sorted(load_table(need(layout.FOLDS))["fold"].unique().tolist())
    folders = {
        name: [fold_folder(need(layout.EXPERIMENT, experiment=name), fold) for fold in folds]
        for name in ensemble.members
    }
    return load_predictor(folders, ensemble, prior, resources)


def finished_predictor(work: Path) -> Predictor:
    """The predictor of a run; StepError where a step that it is made of is not done, or not done again."""
    check_finished(work)
    return run_predictor(lambda file, **parts: file.under(work, **parts), Resources())


def check_finished(work: Path) -> None:
    """StepError where a step that a predictor is made of is not done, or not done again."""
    for step in STEPS[-1].reads:
        if not done(work, step):
            raise StepError(f"{step} is not done", where=work, hint=FINISH)
        if changed := changed_inputs(work, step):
            raise StepError(f"{step} is not done again since {changed[0]} was", where=work, hint=FINISH)


def predict_data(data_dir: Path, work: Path, out: Path, handling: Handling) -> Result:
    """Predict the test studies of a competition folder with the models of a finished run."""
    return predict_competition(finished_predictor(work), find_root(data_dir), out=out, handling=handling)


def predict_one_study(folder: Path, work: Path, out: Path, handling: Handling) -> Result:
    """Predict one study's folder, which holds a folder per series, with the models of a finished run.

    Below a competition's `train_images` or `test_images` its tables name the sequences; elsewhere a series is
    used as far as its plane tells which sequence it is.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir() or not (folder.name.isascii() and folder.name.isdigit()):
        raise RootError("no folder of one study, named by its number", where=folder)
    study_id, rows = int(folder.name), series_around(folder)
    if rows is None:
        found = sorted(str(path) for path in folder.iterdir() if path.is_dir())
        series = {"series_id": range(1, len(found) + 1), "sequence": UNDESCRIBED, "folder": found}
        rows = pd.DataFrame({"study_id": study_id, **series})
    return predict_studies(finished_predictor(work), [study_id], rows, out=out, handling=handling)
