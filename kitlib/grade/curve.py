"""Learning curve of graders tuned on more and more labelled studies, evaluated on unseen studies."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import delayed
from tqdm.auto import tqdm

from kitlib.artefacts import (
    Provenance,
    fingerprint,
    is_complete,
    load_json,
    parameters_of,
    save_json,
    sha256,
)
from kitlib.errors import UsageError
from kitlib.evaluate.places import judged_places
from kitlib.grade.labelled import read_labelled
from kitlib.grade.network import Grader
from kitlib.grade.samples import ViewSamples
from kitlib.grade.starts import STARTS, fingerprint_of_start, started
from kitlib.grade.tune import EPOCHS, HELD_OUT, STEPS, calibration_of_tuned, rate_of, tuned
from kitlib.machine import in_processes, torch_threads
from kitlib.prepare.views import VIEW_PX, VIEWS
from kitlib.terms import CELLS

JUDGED = 0.4  # share of the studies that are evaluated
SEEN = 3  # slices per view in evaluation
RECIPE = 2
"""Increment when a change to tuning changes its results."""
MEASURES = ("auc", "loss", "scaled", "prior")


@dataclass(frozen=True)
class Point:
    """One grader of the curve."""

    start: str
    studies: int  # to train on, of each kind of view; 0: the start is evaluated without training
    seed: int


def points_of(starts: Sequence[str], sizes: Sequence[int], seeds: int) -> list[Point]:
    """List the points of a curve, seed by seed. Raises UsageError for invalid starts, sizes or seeds."""
    unknown = [start for start in starts if start not in STARTS]
    if unknown or not starts or not sizes or min(sizes) < 2 or seeds < 1:
        known = f"Starts are of {', '.join(STARTS)}, sizes two or more studies, seeds one or more."
        raise UsageError(f"no curve: starts {list(starts)}, sizes {list(sizes)}, seeds {seeds}", hint=known)
    zero = [0] if "shipped" in starts else []
    return [
        Point(start, size, seed)
        for seed in range(seeds)
        for start in starts
        for size in [*(zero if start == "shipped" else []), *sorted(set(sizes))]
    ]


def label_curve(
    file: Path, folder: Path, points: Sequence[Point], *, epochs: int = 0, workers: int = 1
) -> pd.DataFrame:
    """Tune a grader at every point on a labelled table; all of one seed share the same held-out studies.

    One row per point and kind of view: start, asked, seed, view, learnt (studies), and `judged_places`.
    Points of this table that are already in the folder are included and not recomputed, unless the weights
    that they start from have changed. For errors see `read_labelled`, `drawn_studies` and `started`.
    """
    samples, judged = _both(file)
    drawn_studies(samples, max(point.studies for point in points), 0)  # this and the next fail early
    for start in {point.start for point in points}:
        started(start)
    common = [RECIPE, epochs, STEPS, EPOCHS, HELD_OUT, JUDGED, sha256(file), len(samples)]
    paths = {point: Path(folder) / "points" / _name(point, common) for point in points}
    todo = [point for point, path in paths.items() if not is_complete(path)]
    make = partial(_make, samples=samples, judged=judged, epochs=epochs)
    made = in_processes((delayed(make)(point, paths[point]) for point in todo), workers, ordered=False)
    for _ in tqdm(made, "graders", len(points), initial=len(points) - len(todo), mininterval=1):
        pass
    return _lying(Path(folder) / "points", common)


def drawn_studies(samples: ViewSamples, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return masks (n,) of the views to train on and to evaluate, with studies shuffled by the seed.

    A share JUDGED of the studies is evaluated, whatever the size. For each kind of view, the first `size` of
    the other studies that have it are trained on, or all if there are fewer. Raises UsageError if no kind has
    that many.
    """
    order = np.random.default_rng(seed).permutation(np.unique(samples.persons))
    cut = round(JUDGED * len(order))
    learnt, most = np.zeros(len(samples), bool), 0
    for view in np.unique(samples.views):
        own = samples.views == view
        having = order[cut:][np.isin(order[cut:], samples.persons[own])]
        learnt |= own & np.isin(samples.persons, having[:size])
        most = max(most, len(having))
    if size > most:
        hint = f"{JUDGED:.0%} of the studies are kept to be judged."
        raise UsageError(f"{size} studies to learn from are asked for, of {most}", hint=hint)
    return learnt, np.isin(samples.persons, order[:cut])


def curve_table(curve: pd.DataFrame) -> pd.DataFrame:
    """Mean, minimum and maximum over the seeds, one row per view, start and size."""
    groups = curve.sort_values("view", kind="stable").groupby(["view", "start", "asked"], sort=False)
    found = groups[["learnt", "studies", "places", "severe"]].mean().round().astype(int)
    for name in MEASURES:
        for how in ("mean", "min", "max"):
            found[name if how == "mean" else f"{name}_{how}"] = groups[name].agg(how)
    return found.assign(seeds=groups["seed"].nunique()).reset_index()


def curve_page(table: pd.DataFrame) -> str:
    """Format the result of `curve_table` as a Markdown table."""
    head = ("view", "from", "labelled studies", "AUC", "log loss", "scaled", "prior", "judged")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in table.to_dict("records"):
        scores = [f"{row[n]:.3f} ({row[f'{n}_min']:.3f} to {row[f'{n}_max']:.3f})" for n in MEASURES]
        rest = f"{row['places']} places, {row['severe']} severe, of {row['studies']} studies"
        lines.append("| " + " | ".join([row["view"], row["start"], str(row["learnt"]), *scores, rest]) + " |")
    return "\n".join(lines) + "\n"


def _both(file: Path) -> tuple[ViewSamples, ViewSamples]:
    """The same places for training, with a margin, and for evaluation, as the `grade` command reads them."""
    wide, plain = read_labelled(file), read_labelled(file, slices=SEEN, px=VIEW_PX)
    lines = np.intersect1d(wide.lines, plain.lines)
    samples, judged = wide.only(lines), plain.only(lines)
    return samples, ViewSamples(**judged.arrays() | {"persons": samples.persons})


def _lying(folder: Path, common: Sequence[Any]) -> pd.DataFrame:
    """Load the results of the points in a folder that were made with the same settings."""
    rows = []
    for path in sorted(path for path in folder.glob("*.json") if is_complete(path)):
        if path.name == _name(Point(**parameters_of(path)), common):
            rows += load_json(path)
    order = {start: number for number, start in enumerate(STARTS)}
    table = pd.DataFrame(rows).sort_values(["seed", "asked"], kind="stable")
    return table.sort_values("start", key=lambda starts: starts.map(order), kind="stable", ignore_index=True)


def _make(point: Point, path: Path, *, samples: ViewSamples, judged: ViewSamples, epochs: int) -> None:
    """Tune and evaluate one grader, in one thread, and save the result."""
    learnt, rest = drawn_studies(samples, point.studies, point.seed)
    begun = Provenance(asdict(point), seed=point.seed)
    with torch_threads(1), torch.random.fork_rng():
        torch.manual_seed(point.seed)
        network = started(point.start)
        curve: list[dict[str, Any]] = []
        if point.studies:
            rate = rate_of(point.start)
            curve = tuned(network, samples.take(learnt), rate=rate, epochs=epochs, seed=point.seed)
        grader = Grader(network.views, calibration_of_tuned(point.start, curve))
        asked = {"start": point.start, "asked": point.studies, "seed": point.seed}
        rows = _judged(grader, judged.take(rest))
    for row in rows:
        own = learnt & (samples.views == VIEWS.index(row["view"]))
        row["learnt"] = len(np.unique(samples.persons[own]))
        row["view"] = row["view"].text
    save_json(path, [asked | row for row in rows], begun, curve=curve)


def _judged(grader: Grader, samples: ViewSamples) -> list[dict[str, Any]]:
    probabilities, _ = grader.grade(samples.images, samples.present, samples.views, samples.cells)
    levels = np.array([cell.level for cell in CELLS])[samples.cells]
    rows = []
    for number in np.unique(samples.views):
        own = samples.views == number
        measures = judged_places(
            samples.severities[own], probabilities[own], levels[own], samples.persons[own]
        )
        rows.append({"view": VIEWS[number], **measures})
    return rows


def _name(point: Point, common: Sequence[Any]) -> str:
    """Name the file of a point; the name changes with the weights that it starts from."""
    own = fingerprint(common, fingerprint_of_start(point.start), rate_of(point.start))
    return f"{point.start}_{point.studies}_{point.seed}_{own}.json"
