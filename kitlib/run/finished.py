"""Open the predictor of a run: inside its notebooks, or of a finished run."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from kitlib.artefacts import load_json, load_table
from kitlib.competition.priors import Prior
from kitlib.ensemble.crossfit import Ensemble
from kitlib.errors import StepError
from kitlib.experiments.fold import fold_folder
from kitlib.inputs.base import Resources
from kitlib.predict.predictor import Member, Predictor, open_encoders
from kitlib.run import layout
from kitlib.run.steps import STEPS, changed_inputs, done

FINISH = "Run the notebooks to the end."
Need = Callable[..., Path]
"""From a file of the layout to its path, as `Settings.need`."""


def run_predictor(need: Need, resources: Resources) -> Predictor:
    """Open the predictor from steps 4 and 5; raises ArtefactError or StepError if a part is missing."""
    ensemble = Ensemble.load(need(layout.ENSEMBLE))
    prior = Prior.from_json(load_json(need(layout.PRIOR)))
    folders = fold_folders(need, ensemble.members)
    members = {name: Member.load(of_folds) for name, of_folds in folders.items()}
    return Predictor(members, open_encoders(members.values(), resources), ensemble, prior)


def fold_folders(need: Need, names: Iterable[str]) -> dict[str, list[Path]]:
    """The fold folders of experiments, in order.

    Taken from the table of folds, not the file system: an earlier run may have left more folds behind.
    """
    folds = sorted(load_table(need(layout.FOLDS))["fold"].unique().tolist())
    return {
        name: [fold_folder(need(layout.EXPERIMENT, experiment=name), fold) for fold in folds]
        for name in names
    }


def finished_predictor(work: Path) -> Predictor:
    """Open the predictor of a run; raises StepError if a step it needs is missing or out of date."""
    check_finished(work)
    return run_predictor(partial(layout.File.under, root=work), Resources())


def check_finished(work: Path) -> None:
    """Raise StepError if a step that a predictor needs is missing or out of date."""
    for step in STEPS[-1].reads:
        if not done(work, step):
            raise StepError(f"{step} is not done", where=work, hint=FINISH)
        if changed := changed_inputs(work, step):
            raise StepError(f"{step} is out of date: {changed[0]} has changed since", where=work, hint=FINISH)
