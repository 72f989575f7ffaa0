"""kitlib: from a folder of lumbar MRI to a valid, scored submission.csv (RSNA 2024).

The names below are the public API; each is imported from its package on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kitlib.machine import open_more_files, settle_user

if TYPE_CHECKING:
    from kitlib.competition.metric import score as score
    from kitlib.competition.priors import Prior as Prior
    from kitlib.competition.root import Competition as Competition
    from kitlib.competition.root import find_root as find_root
    from kitlib.competition.submission import validate_submission as validate_submission
    from kitlib.errors import KitError as KitError
    from kitlib.experiments.experiment import Experiment as Experiment
    from kitlib.experiments.registry import register as register
    from kitlib.experiments.run import cross_validate as cross_validate
    from kitlib.experiments.run import make_folds as make_folds
    from kitlib.grade.network import Grader as Grader
    from kitlib.inputs.slices import SliceInput as SliceInput
    from kitlib.localise.localiser import Localiser as Localiser
    from kitlib.models.base import Model as Model
    from kitlib.mri.ledger import Ledger as Ledger
    from kitlib.mri.reading import read_study as read_study
    from kitlib.mri.series import read_series as read_series
    from kitlib.mri.stack import Stack as Stack
    from kitlib.mri.study import Study as Study
    from kitlib.phantom.study import draw_study as draw_study
    from kitlib.predict.predictor import Predictor as Predictor
    from kitlib.report.viewer import view as view

__version__ = "0.2.0"
settle_user()  # before any other import
open_more_files()

_name2module = {
    "Competition": "competition.root",
    "Experiment": "experiments.experiment",
    "Grader": "grade.network",
    "KitError": "errors",
    "Ledger": "mri.ledger",
    "Localiser": "localise.localiser",
    "Model": "models.base",
    "Predictor": "predict.predictor",
    "Prior": "competition.priors",
    "SliceInput": "inputs.slices",
    "Stack": "mri.stack",
    "Study": "mri.study",
    "cross_validate": "experiments.run",
    "draw_study": "phantom.study",
    "find_root": "competition.root",
    "make_folds": "experiments.run",
    "read_series": "mri.series",
    "read_study": "mri.reading",
    "register": "experiments.registry",
    "score": "competition.metric",
    "validate_submission": "competition.submission",
    "view": "report.viewer",
}

__all__ = sorted(_name2module)


def __getattr__(name: str) -> Any:
    if name not in _name2module:
        raise AttributeError(f"module 'kitlib' has no attribute {name!r}")
    return getattr(import_module(f"kitlib.{_name2module[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
