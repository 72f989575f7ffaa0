"""A competition of noise and a tiny finished run on it: the real code, a random backbone."""

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance, save_json, save_table
from kitlib.competition.priors import Prior
from kitlib.competition.root import Competition
from kitlib.ensemble.crossfit import crossfit
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.leaks import make_split
from kitlib.experiments.run import cross_validate
from kitlib.inputs.base import Resources
from kitlib.inputs.slices import SliceInput
from kitlib.models.attention import CellAttentionModel
from kitlib.models.blind import PriorModel
from kitlib.predict.stream import Handling, predict_competition
from kitlib.prepare.studies import PreparedStudies
from kitlib.run import layout
from kitlib.run.finished import finished_predictor
from kitlib.run.steps import STEPS, outputs, outputs_fingerprint, step_named, write_manifest
from kitlib.terms import AXIAL_T2, CELL_NAMES, SAGITTAL_T1, SAGITTAL_T2
from tests.mri.builders import AXIAL, SAGITTAL, make_series


def random_slices(grey, backbone="resnet10t"):
    """An input with random weights, small enough for tests."""
    return SliceInput(10, backbone, "random", 32, "whole", grey)


sequence2orientation = {SAGITTAL_T1: SAGITTAL, SAGITTAL_T2: SAGITTAL, AXIAL_T2: AXIAL}
LONGEST_PX = 10
EXPERIMENTS = [
    Experiment("attention", CellAttentionModel(epochs=1), random_slices("equalised")),
    Experiment("plain", PriorModel(), random_slices("greyscale")),
]
MADE = Provenance()
LENIENT = Handling()


def write_study(root, split, study_id, sequences=tuple(sequence2orientation)):
    """A study's series on disk, and their rows of the series table."""
    rows = []
    for number, sequence in enumerate(sequences, start=1):
        series_id = 10 * study_id + number
        folder = root / f"{split}_images" / str(study_id) / str(series_id)
        make_series(folder, orientation=sequence2orientation[sequence], first_number=series_id)
        rows.append((study_id, series_id, sequence))
    return rows


def write_tables(root, split, rows):
    table = pd.DataFrame(rows, columns=["study_id", "series_id", "series_description"])
    table.to_csv(root / f"{split}_series_descriptions.csv", index=False)


def make_data(root):
    rows = [row for study_id in range(1, 7) for row in write_study(root, "train", study_id)]
    write_tables(root, "train", rows)
    write_tables(
        root, "test", [row for study_id in (11, 12, 13) for row in write_study(root, "test", study_id)]
    )
    severities = np.random.default_rng(0).choice(["Normal/Mild", "Moderate", "Severe"], (6, 25))
    severities[:, 0] = ["Severe", "Normal/Mild"] * 3
    labels = pd.DataFrame(severities, index=pd.Index(range(1, 7), name="study_id"), columns=CELL_NAMES)
    labels.to_csv(root / "train.csv")
    return Competition(root)


def predict_data(root, work, out, handling=LENIENT):
    """Predict the test studies of a folder with the models of a finished run."""
    return predict_competition(finished_predictor(work), Competition(root), out=out, handling=handling)


def finish_step(work, step):
    """Write a step's manifest, as `finish` does."""
    inputs = {name: outputs_fingerprint(work, name) for name in step_named(step).reads}
    write_manifest(work, step, {**MADE.record(), "outputs": outputs(work / step), "inputs": inputs})


def make_run(work, data, experiments=EXPERIMENTS):
    """The results of steps 2 to 5, made by the same calls."""
    series, labels = data.series("train"), data.train_labels()
    studies = PreparedStudies.build(
        series, work / "volumes", longest_px=LONGEST_PX, study_ids=labels.index.tolist()
    )
    folds = pd.Series([0, 1] * 3, index=labels.index, name="fold")
    save_table(layout.FOLDS.under(work), folds.reset_index(), MADE)
    oof, inputs = {}, {}
    for entry in experiments:
        encoder = entry.input.encoder(Resources())
        split = make_split("studies", encoder.dataset(studies, work / "store"), labels, folds)
        entry, inputs[entry.name] = entry.reading(encoder.spec), encoder.spec.to_json()
        oof[entry.name] = cross_validate(entry, split, work / layout.MODELLING, seed=0, progress=False)
    save_json(layout.INPUTS.under(work), inputs, MADE)
    save_json(layout.EXPERIMENTS.under(work), {entry.name: entry.to_json() for entry in experiments}, MADE)
    crossfit(labels, folds, oof).final.save(layout.ENSEMBLE.under(work), MADE)
    save_json(layout.PRIOR.under(work), Prior.fit(labels).to_json(), MADE)
    for step in STEPS[-1].reads:
        finish_step(work, step)
    return work
