"""Write a folder of phantoms in the competition's layout."""

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from joblib import delayed
from tqdm.auto import tqdm

from kitlib.artefacts import write_text
from kitlib.errors import DataError, UsageError
from kitlib.machine import in_processes, torch_threads
from kitlib.phantom.annotators import LANDMARK_DEFECTS, TABLE_COLUMNS
from kitlib.phantom.dicom import ENCODING_DEFECTS, write_series
from kitlib.phantom.scan.prescription import size_named
from kitlib.phantom.study import MISSING_RATE, PhantomStudy, draw_study
from kitlib.phantom.truth import MARKER, VERSION, differences, read_marker, read_truth, truth_file
from kitlib.terms import CELL_NAMES, EMPTY, PROBABILITIES, SEVERITIES, condition2text, level2text, row_ids

DEFECTS = (*LANDMARK_DEFECTS, *ENCODING_DEFECTS)
"""Optional defects, in addition to those of every archive."""
STUDY_IDS = range(10**6, 9 * 10**8)
"""Ids of phantoms in folders; higher ones are for training the shipped weights, so they never overlap."""


def write_competition(
    out: Path,
    *,
    studies: int,
    test_studies: int = 0,
    seed: int,
    size: str = "demo",
    workers: int = 1,
    missing_rate: float = MISSING_RATE,
    defects: Collection[str] = (),
) -> Path:
    """Write phantoms as DICOM and all tables of the competition; the same call resumes an interrupted one.

    `defects` are some of DEFECTS. Raises UsageError for invalid arguments and DataError if `out` holds
    anything else, before anything is changed.
    """
    if min(studies, test_studies, seed) < 0 or studies + test_studies == 0 or workers < 1:
        raise UsageError(
            f"cannot draw {studies} + {test_studies} studies with seed {seed} and {workers} workers"
        )
    if not 0 <= missing_rate <= 1:
        raise UsageError(f"the missing rate is {missing_rate}, not in 0..1")
    if unknown := sorted(set(defects) - set(DEFECTS)):
        raise UsageError(f"no defect {unknown[0]!r}", hint=f"Defects are {', '.join(DEFECTS)}.")
    size_named(size)
    how = {"seed": seed, "size": size, "missing_rate": missing_rate, "defects": sorted(set(defects))}
    request = {"version": VERSION, "studies": studies, "test_studies": test_studies, **how}
    out = Path(out)
    _claim(out, request)
    ids = study_ids(studies + test_studies, seed)
    split2ids = {"train": sorted(ids[:studies]), "test": sorted(ids[studies:])}
    _write_studies(out, split2ids, workers, how)
    for split, members in split2ids.items():
        _write_tables(out, split, [read_truth(out, study_id) for study_id in members])
    return out


def study_ids(count: int, seed: int) -> list[int]:
    """Draw distinct ids from STUDY_IDS; returned in the order drawn."""
    lots = np.random.default_rng(seed).integers(STUDY_IDS.start, STUDY_IDS.stop, size=2 * count + 16)
    return [int(study_id) for study_id in dict.fromkeys(lots.tolist())][:count]


def _claim(out: Path, request: dict[str, Any]) -> None:
    """Mark a new or empty folder as the kit's, or recognise it. Raises DataError for any other folder."""
    try:
        if made := read_marker(out):
            if others := differences(made, request):
                raise DataError(
                    f"the folder holds other phantoms: {others}",
                    where=out,
                    hint="Choose another folder or delete it.",
                )
        elif out.is_dir() and any(out.iterdir()):
            raise DataError("the folder holds other data", where=out, hint="Choose a new or empty folder.")
        else:
            write_text(out / MARKER, json.dumps(request, indent=1) + "\n")
    except OSError as error:
        raise DataError(
            f"the folder cannot be used: {error}", where=out, hint="Choose another folder."
        ) from error


def _write_studies(out: Path, split2ids: dict[str, list[int]], workers: int, how: dict[str, Any]) -> None:
    """Draw and write the studies that do not exist yet."""
    todo = []
    for split, members in split2ids.items():
        images = out / f"{split}_images"
        images.mkdir(exist_ok=True)
        wanted = [(images / str(study_id), truth_file(out, study_id)) for study_id in members]
        todo += [(folder, truth) for folder, truth in wanted if not (folder.is_dir() and truth.is_file())]
    jobs = (delayed(_write_study)(folder, truth, **how) for folder, truth in todo)
    done = in_processes(jobs, workers, ordered=False)
    for _ in tqdm(done, total=len(todo), desc="phantoms", unit="study", mininterval=1, disable=not todo):
        pass


def _write_study(folder: Path, truth: Path, *, defects: Collection[str], **how: Any) -> None:
    """Write a study's truth, then its images atomically, by renaming their folder.

    Two processes may write the same study: the first to finish wins.
    """
    study_id = int(folder.name)
    with torch_threads(1):
        study = draw_study(study_id, defects=defects, **how)
    _sweep(folder)
    draft = folder.with_name(f".{study_id}.{os.getpid()}.draft")
    for series in study.series:
        target = draft / str(series.series_id)
        target.mkdir(parents=True)
        write_series(target, study_id, series, defects=defects)
    if not truth.is_file():
        shutil.rmtree(folder, ignore_errors=True)
    write_text(truth, json.dumps(_as_truth(study)) + "\n")
    try:
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(draft)


def _sweep(folder: Path) -> None:
    """Remove a study's drafts left by this process or by one that no longer exists."""
    for draft in folder.parent.glob(f".{folder.name}.*.draft"):
        process = int(draft.name.split(".")[-2])
        if process == os.getpid() or not psutil.pid_exists(process):
            shutil.rmtree(draft, ignore_errors=True)


def _as_truth(study: PhantomStudy) -> dict[str, Any]:
    return {
        "study_id": study.study_id,
        "grades": study.grades.round(6).tolist(),
        "severities": study.severities.tolist(),
        "labels": study.labels.tolist(),
        "series": [[series.series_id, series.sequence] for series in study.series],
        "landmarks": study.landmarks.to_dict(orient="records"),
        "points": study.points.to_dict(orient="records"),
        **study.facts,
    }


def _write_tables(out: Path, split: str, truths: list[dict[str, Any]]) -> None:
    """Write the tables of the training or the test studies."""
    texts = {EMPTY: "", **dict(enumerate(SEVERITIES))}
    labels = pd.DataFrame(
        [[truth["study_id"], *(texts[code] for code in truth["labels"])] for truth in truths],
        columns=["study_id", *CELL_NAMES],
    )
    series = pd.DataFrame(
        [(truth["study_id"], *one) for truth in truths for one in truth["series"]],
        columns=["study_id", "series_id", "series_description"],
    )
    if split == "train":
        tables = {"train": labels, "train_label_coordinates": _coordinates(truths)}
    else:
        rows = sorted(row for truth in truths for row in row_ids(truth["study_id"]))
        sample = pd.DataFrame({"row_id": rows} | dict.fromkeys(PROBABILITIES, 1 / 3))
        tables = {"test_labels": labels, "sample_submission": sample}
    for name, table in (tables | {f"{split}_series_descriptions": series}).items():
        write_text(out / f"{name}.csv", table.to_csv(index=False))


def _coordinates(truths: list[dict[str, Any]]) -> pd.DataFrame:
    """Return landmarks in the spelling of the competition's table."""
    points = pd.DataFrame([point for truth in truths for point in truth["points"]], columns=TABLE_COLUMNS)
    return points.replace({"condition": condition2text, "level": level2text})
