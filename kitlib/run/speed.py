"""Benchmark the kit on this machine: reading, embedding, prediction, and the steps of a run."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from kitlib.embed.runtime.benchmark import (
    SEED,
    check_benchmark,
    drawn_series,
    embedding_runs,
    ratio_table,
    reading_runs,
)
from kitlib.machine import half_precision, peak_memory_mb
from kitlib.predict.stream import Handling, predict_studies
from kitlib.run.finished import check_finished, finished_predictor
from kitlib.run.settings import machine_in_words
from kitlib.run.steps import STEPS, done


@dataclass(frozen=True, eq=False)
class Speed:
    """The measurements; `facts` describe the data, weights and machine."""

    ratios: pd.DataFrame  # as `ratio_table`
    predicting: pd.DataFrame  # as `predicting_table`
    steps: pd.DataFrame  # as `step_table`
    facts: Mapping[str, str]


def measure_speed(
    work: Path, backbones: Sequence[str], *, studies: int, repeats: int, counts: Sequence[int], size: str
) -> Speed:
    """Measure speed on newly drawn phantoms, with the models of a finished run.

    Raises StepError if the run is not finished and UsageError if there is nothing to time, before anything is
    drawn.
    """
    check_finished(work)
    check_benchmark(backbones, studies, repeats, *counts)
    with drawn_series(studies, size) as (folder, series):
        read = reading_runs(series, repeats)
        embedded = embedding_runs(backbones, series, repeats, folder)
        predicting = predicting_table(work, series, counts)
    facts = {
        "data": f"{studies} phantoms of size {size}, seed {SEED}: {read['slices'].iloc[0]} slices",
        "weights": "random for embedding, whose speed they do not change; those of the run for predicting",
        "machine": _machine(),
        "repeats": f"{repeats}, in turns",
    }
    return Speed(ratio_table(pd.concat([read, embedded])), predicting, step_table(work), facts)


def predicting_table(work: Path, series: pd.DataFrame, counts: Sequence[int]) -> pd.DataFrame:
    """One row per count: a new process opens a run's predictor and predicts that many studies.

    The studies reuse the images of the drawn ones in turn. Columns: studies, wall_s (of the process), study_s
    (median time per study), peak_memory_mb.
    """
    rows = []
    for count in counts:
        started_s = time.perf_counter()
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            measured = process.submit(_predict, work, in_turns(series, count)).result()
        rows.append({"studies": count, "wall_s": time.perf_counter() - started_s, **measured})
    return pd.DataFrame(rows)


def in_turns(series: pd.DataFrame, count: int) -> pd.DataFrame:
    """The series of `count` studies, numbered from 1, which reuse the images of the given ones in turn."""
    drawn = [own for _, own in series.groupby("study_id")]
    return pd.concat([drawn[turn % len(drawn)].assign(study_id=turn + 1) for turn in range(count)])


def step_table(work: Path) -> pd.DataFrame:
    """step, wall_s and peak_memory_mb of a run's steps, from their manifests."""
    manifests = {step.name: done(work, step.name) for step in STEPS}
    rows = [(name, made["wall_s"], made["peak_memory_mb"]) for name, made in manifests.items() if made]
    return pd.DataFrame(rows, columns=["step", "wall_s", "peak_memory_mb"])


def _predict(work: Path, series: pd.DataFrame) -> dict[str, Any]:
    predictor = finished_predictor(work)
    with tempfile.TemporaryDirectory() as folder:
        out, known = Path(folder) / "submission.csv", series["study_id"].unique().tolist()
        result = predict_studies(predictor, known, series, out=out, handling=Handling(strict=True))
    return {"study_s": result.seconds.median(), "peak_memory_mb": peak_memory_mb()}


def _machine() -> str:
    words = machine_in_words()
    half = "with" if half_precision() is torch.bfloat16 else "without"
    return f"{words['cores']} cores {half} bfloat16, {words['memory']}; accelerator: {words['accelerator']}"
