"""A folder of phantoms in the competition's layout."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from kitlib.artefacts import write_text
from kitlib.errors import DataError, UsageError
from kitlib.machine import torch_threads
from kitlib.phantom.dicom import write_series
from kitlib.phantom.scanner import size_named
from kitlib.phantom.study import MISSING_RATE, TABLE_COLUMNS, PhantomStudy, draw_study
from kitlib.terms import CELL_NAMES, EMPTY, PROBABILITIES, SEVERITIES, condition2text, level2text, row_ids

VERSION = 1  # of what is drawn: a folder made by another version is not resumed
MARKER = "phantom.json"
STUDY_IDS = range(10**6, 9 * 10**8)
"""Ids of phantoms in folders; those above are for training the shipped weights, so that none is in both."""
TRUTHS = "phantom_truths"  # one JSON a study: what the tables are made of, and the true places and openings


def write_competition(
    out: Path,
    *,
    studies: int,
    test_studies: int = 0,
    seed: int,
    size: str = "demo",
    workers: int = 1,
    missing_rate: float = MISSING_RATE,
) -> Path:
    """Write phantoms as DICOM and all tables of the competition; after a kill, the same call goes on.

    UsageError for a bad request, DataError where `out` holds anything else; neither changes anything.
    """
    if min(studies, test_studies, seed) < 0 or studies + test_studies == 0 or workers < 1:
        raise UsageError(
            f"cannot draw {studies} + {test_studies} studies with seed {seed} and {workers} workers"
        )
    if not 0 <= missing_rate <= 1:
        raise UsageError(f"the missing rate is {missing_rate}, not in 0..1")
    size_named(size)
    request = {
        "version": VERSION,
        "seed": seed,
        "size": size,
        "studies": studies,
        "test_studies": test_studies,
        "missing_rate": missing_rate,
    }
    out = Path(out)
    _claim(out, request)
    ids = study_ids(studies + test_studies, seed)
    split2ids = {"train": sorted(ids[:studies]), "test": sorted(ids[studies:])}
    _write_studies(out, split2ids, workers, {"seed": seed, "size": size, "missing_rate": missing_rate})
    for split, members in split2ids.items():
        _write_tables(out, split, [_truth(out, study_id) for study_id in members])
    return out


def study_ids(count: int, seed: int) -> list[int]:
    """Distinct ids of STUDY_IDS, in the order they are drawn."""
    lots = np.random.default_rng(seed).integers(STUDY_IDS.start, STUDY_IDS.stop, size=2 * count + 16)
    return [int(study_id) for study_id in dict.fromkeys(lots.tolist())][:count]


def _claim(out: Path, request: dict[str, Any]) -> None:
    """Mark a new or empty folder as ours, or recognise it; DataError for any other."""
    marker = out / MARKER
    try:
        if marker.is_file():
            found = json.loads(marker.read_text(encoding="utf-8"))
            if found != request:
                raise DataError(
                    f"the folder holds other phantoms: {found}",
                    where=out,
                    hint="Choose another folder or delete it.",
                )
        elif out.is_dir() and any(out.iterdir()):
            raise DataError("the folder holds other data", where=out, hint="Choose a new or empty folder.")
        else:
            write_text(marker, json.dumps(request, indent=1) + "\n")
    except (OSError, ValueError) as error:
        raise DataError(
            f"the folder cannot be used: {error}", where=out, hint="Choose another folder."
        ) from error


def _write_studies(out: Path, split2ids: dict[str, list[int]], workers: int, how: dict[str, Any]) -> None:
    """Draw and write the studies that are not there yet."""
    todo = [
        (out / f"{split}_images" / str(study_id), study_id)
        for split, members in split2ids.items()
        for study_id in members
        if not ((out / f"{split}_images" / str(study_id)).is_dir() and _truth_file(out, study_id).is_file())
    ]
    for split in split2ids:
        (out / f"{split}_images").mkdir(exist_ok=True)
    jobs = (
        delayed(_write_study)(folder, study_id, _truth_file(out, study_id), how) for folder, study_id in todo
    )
    done = Parallel(n_jobs=workers, backend="loky", return_as="generator_unordered")(jobs)
    for _ in tqdm(done, total=len(todo), desc="phantoms", unit="study", mininterval=1, disable=not todo):
        pass


def _write_study(folder: Path, study_id: int, truth_file: Path, how: dict[str, Any]) -> None:
    """Write a study's truth, then its images at once, by renaming."""
    with torch_threads(1):
        study = draw_study(study_id, **how)
    draft = folder.with_name(f".{study_id}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    for series in study.series:
        target = draft / str(series.series_id)
        target.mkdir(parents=True)
        write_series(target, study_id, series)
    write_text(truth_file, json.dumps(_as_truth(study)) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def _as_truth(study: PhantomStudy) -> dict[str, Any]:
    return {
        "study_id": study.study_id,
        "labels": study.labels.tolist(),
        "series": [[series.series_id, series.sequence] for series in study.series],
        "landmarks": study.landmarks.to_dict(orient="records"),
    }


def _truth_file(out: Path, study_id: int) -> Path:
    return out / TRUTHS / f"{study_id}.json"


def _truth(out: Path, study_id: int) -> dict[str, Any]:
    return json.loads(_truth_file(out, study_id).read_text(encoding="utf-8"))


def _write_tables(out: Path, split: str, truths: Iterable[dict[str, Any]]) -> None:
    """Write the tables of the training or of the test studies."""
    truths = list(truths)
    texts = {EMPTY: "", **dict(enumerate(SEVERITIES))}
    labels = pd.DataFrame(
        [[truth["study_id"], *(texts[code] for code in truth["labels"])] for truth in truths],
        columns=["study_id", *CELL_NAMES],
    )
    series = pd.DataFrame(
        [(truth["study_id"], *one) for truth in truths for one in truth["series"]],
        columns=["study_id", "series_id", "series_description"],
    )
    _write_table(out / ("train.csv" if split == "train" else "test_labels.csv"), labels)
    _write_table(out / f"{split}_series_descriptions.csv", series)
    if split == "train":
        _write_table(out / "train_label_coordinates.csv", _coordinates(truths))
    else:
        rows = sorted(row for truth in truths for row in row_ids(truth["study_id"]))
        sample = pd.DataFrame({"row_id": rows} | dict.fromkeys(PROBABILITIES, 1 / 3))
        _write_table(out / "sample_submission.csv", sample)


def _coordinates(truths: list[dict[str, Any]]) -> pd.DataFrame:
    """Landmarks as the competition's table spells them."""
    points = pd.DataFrame([point for truth in truths for point in truth["landmarks"]], columns=TABLE_COLUMNS)
    return points.assign(
        condition=points["condition"].map(condition2text), level=points["level"].map(level2text)
    )


def _write_table(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False))
