"""The layout of a work folder: every file that one step writes and another reads."""

from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """A result file or folder of a step; `name` may have a placeholder for an experiment."""

    step: str
    name: str

    def under(self, root: Path, **parts: str) -> Path:
        """Its path under a work folder."""
        return Path(root) / self.step / self.name.format(**parts)


PREPROCESSING, EMBEDDINGS, MODELLING = "02_preprocessing", "03_embeddings", "04_modelling"
ENSEMBLING, SUBMISSION = "05_ensembling", "06_submission"

SERIES = File(PREPROCESSING, "series.parquet")  # as Competition.series, with stacks and slices
LEDGER = File(PREPROCESSING, "ledger.parquet")
METADATA = File(PREPROCESSING, "metadata.parquet")
INPUTS = File(EMBEDDINGS, "inputs.json")  # by experiment: its model's input, weights included
FOLDS = File(MODELLING, "folds.parquet")  # study_id, fold
EXPERIMENTS = File(MODELLING, "experiments.json")  # by name, as Experiment.to_json
EXPERIMENT = File(MODELLING, "{experiment}")  # the folder of an experiment's folds
OOF = File(MODELLING, "{experiment}/oof.parquet")
ENSEMBLE = File(ENSEMBLING, "ensemble.json")
PRIOR = File(ENSEMBLING, "prior.json")
SCORES = File(ENSEMBLING, "scores.parquet")
SUBMISSION_CSV = File(SUBMISSION, "submission.csv")
PREDICTIONS = File(SUBMISSION, "predictions.parquet")
SECONDS = File(SUBMISSION, "seconds.parquet")  # study_id, seconds: the time each test study took
TEST_LEDGER = File(SUBMISSION, "ledger.parquet")
TEST_SCORES = File(SUBMISSION, "scores.parquet")  # only if the test labels are known

VOLUMES = File(PREPROCESSING, "volumes")
STORE = File(EMBEDDINGS, "store")
"""Caches, under the folder of `data.resolve_cache`."""
EXECUTED = "executed"
"""The folder of executed notebooks in a work folder."""
GRID = "experiments"
"""The folder of `python -m kitlib experiments` in a work folder."""
ROBUSTNESS = "robustness"
"""The folder of `python -m kitlib robustness` in a work folder."""
SWEEP = "sweep"
"""The folder of `python -m kitlib run --sweep` in a work folder, with a sub-folder for each run."""
PHANTOMS = "phantoms"
"""The folder of phantoms in a work folder, made by a run without data."""
