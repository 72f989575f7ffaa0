"""A competition of noise and a tiny finished run over it: real rooms, a random backbone."""

import dataclasses

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance, save_json, save_table
from kitlib.competition.priors import Prior
from kitlib.competition.root import Competition
from kitlib.embed.backbone import load_backbone
from kitlib.embed.engine import embed_series
from kitlib.embed.store import EmbeddingStore
from kitlib.ensemble.crossfit import crossfit
from kitlib.experiments.registry import Experiment
from kitlib.experiments.run import run_experiment
from kitlib.predict.predictor import embedding_record, embedding_spec
from kitlib.prepare.tabular import study_metadata
from kitlib.prepare.volumes import VolumeCache
from kitlib.run.steps import STEPS, outputs, outputs_fingerprint, step_named, write_manifest
from kitlib.terms import AXIAL_T2, CELL_NAMES, SAGITTAL_T1, SAGITTAL_T2
from tests.mri.builders import AXIAL, SAGITTAL, make_series

sequence2orientation = {SAGITTAL_T1: SAGITTAL, SAGITTAL_T2: SAGITTAL, AXIAL_T2: AXIAL}
EXPERIMENTS = [
    Experiment("attention", "test", "cell_attention", {"epochs": 1}, grey="equalised"),
    Experiment("plain", "test", "prior", grey="greyscale"),
]
LONGEST_PX = 10
MADE = Provenance()


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


def finish_step(work, step):
    """Write a step's manifest, as `finish` does."""
    inputs = {name: outputs_fingerprint(work, name) for name in step_named(step).reads}
    write_manifest(work, step, {"outputs": outputs(work / step), "inputs": inputs})


def make_run(work, data):
    """What steps 2 to 5 leave, from the same calls."""
    series, labels = data.series("train"), data.train_labels()
    cache = VolumeCache(work / "volumes", longest_px=LONGEST_PX)
    cache.build(series)
    metadata = study_metadata(labels.index, series, cache.stacks)
    backbone = load_backbone("resnet10t", weights="random", input_px=32)
    record = embedding_record(backbone, longest_px=LONGEST_PX, greys=["greyscale", "equalised"])
    save_json(work / "03_embeddings" / "embedding.json", record, MADE)
    folds = pd.Series([0, 1] * 3, index=labels.index, name="fold")
    save_table(work / "04_modelling" / "folds.parquet", folds.to_frame(), MADE)
    oof = {}
    for one in EXPERIMENTS:
        store = EmbeddingStore(work / "store", embedding_spec(record, one.grey))
        embed_series(store, backbone, cache, series)
        features = store.features(labels.index, series, metadata)
        oof[one.name] = run_experiment(
            one, features, labels, folds, work / "04_modelling", seed=0, progress=False
        )
    recipes = {one.name: dataclasses.asdict(one) for one in EXPERIMENTS}
    save_json(work / "04_modelling" / "experiments.json", recipes, MADE)
    crossfit(labels, folds, oof).final.save(work / "05_ensembling" / "ensemble.json", MADE)
    save_json(work / "05_ensembling" / "prior.json", Prior.fit(labels).to_json(), MADE)
    for step in STEPS[-1].reads:
        finish_step(work, step)
    return work
