"""The predictor of a run: of the notebooks' own folders, or of one that is finished."""

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
"""From a file of the layout to where it lies: `Settings.need`."""


def run_predictor(need: Need, resources: Resources) -> Predictor:
    """The predictor that steps 4 and 5 left; ArtefactError or StepError where one of its parts is missing."""
    ensemble = Ensemble.load(need(layout.ENSEMBLE))
    prior = Prior.from_json(load_json(need(layout.PRIOR)))
    folders = fold_folders(need, ensemble.members)
    members = {name: Member.load(of_folds) for name, of_folds in folders.items()}
    return Predictor(members, open_encoders(members.values(), resources), ensemble, prior)


def fold_folders(need: Need, names: Iterable[str]) -> dict[str, list[Path]]:
    """Where the folds of experiments are, in their order.

    By the table of folds and not by what lies there: a run of more folds may have left some behind.
    """
    folds = sorted(load_table(need(layout.FOLDS))["fold"].unique().tolist())
    return {
        name: [fold_folder(need(layout.EXPERIMENT, experiment=name), fold) for fold in folds]
        for name in names
    }


def finished_predictor(work: Path) -> Predictor:
    """The predictor of a run; StepError where a step that it is made of is not done, or not done again."""
    check_finished(work)
    return run_predictor(partial(layout.File.under, root=work), Resources())


def check_finished(work: Path) -> None:
    """StepError where a step that a predictor is made of is not done, or not done again."""
    for step in STEPS[-1].reads:
        if not done(work, step):
            raise StepError(f"{step} is not done", where=work, hint=FINISH)
        if changed := changed_inputs(work, step):
            raise StepError(f"{step} is not done again since {changed[0]} was", where=work, hint=FINISH)
