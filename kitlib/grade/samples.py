"""Views of phantoms to train the grader on, drawn once and saved in shards."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kitlib.artefacts import Provenance, fingerprint
from kitlib.localise.geometry import disc_axes
from kitlib.nn.rows import Rows
from kitlib.nn.shards import drawn_in_shards
from kitlib.phantom.archive import STUDY_IDS
from kitlib.phantom.study import PhantomStudy, draw_study
from kitlib.phantom.truth import VERSION
from kitlib.prepare.views import SLOTS, cut_slots
from kitlib.terms import CELLS, Cell, landmark_of

RECIPE = 3
"""Increment when a change to drawing changes its results, so that old shards are drawn again."""
FIRST_STUDY_ID = STUDY_IDS.stop + 10**8
"""Training phantoms are numbered from here, so that they never coincide with a study of a data set."""
CLASS_BALANCE = 0.6
"""Share of cells drawn evenly over the severities: by prevalence, one canal in twenty is severe."""
SLICES = 5
SHARD = 5  # persons


@dataclass(frozen=True, eq=False)
class ViewSamples(Rows):
    """Views with their labels."""

    images: np.ndarray  # (n, SLICES, px, px) uint8, px is MARGIN_PX
    present: np.ndarray  # (n, SLICES) bool
    cells: np.ndarray  # (n,) int64, index into CELLS
    views: np.ndarray  # (n,) int64, index into VIEWS
    severities: np.ndarray  # (n,) int64, true ones
    openings_mm: np.ndarray  # (n,) float32
    persons: np.ndarray  # (n,) int64


def make_samples(
    folder: Path, *, persons: int, seed: int = 2024, size: str = "clinical", workers: int = 1
) -> ViewSamples:
    """Draw all views of `persons` phantoms; shards that are already in the folder are not drawn again."""
    options: dict[str, Any] = {"seed": seed, "size": size, "class_balance": CLASS_BALANCE}
    return drawn_in_shards(
        ViewSamples,
        partial(_draw, seed=seed, size=size),
        folder,
        f"views_{fingerprint(options, RECIPE, VERSION)}",
        count=persons,
        shard=SHARD,
        unit="persons",
        provenance=Provenance(options, seed=seed),
        workers=workers,
    )


def phantom_views(phantom: PhantomStudy, person: int) -> ViewSamples:
    """Cut every view of every labelled place of a phantom, around its true point.

    The views of every other person are rotated to their level, like views of localised studies; the rest are
    upright in the image, like views of single images.
    """
    marks = phantom.landmarks.set_index(["condition", "level"])[["x_mm", "y_mm", "z_mm", "opening_mm"]]
    cells = {Cell(*key): mark for key, mark in zip(marks.index, marks.to_numpy())}
    places_mm = {landmark_of(cell): mark[:3] for cell, mark in cells.items()}
    axes = disc_axes({cell.level: mark[:3] for cell, mark in cells.items() if cell.group == "spinal"})
    rows = []
    for number, *cut in cut_slots(phantom.study, places_mm, axes if person % 2 else None, slices=SLICES):
        cell, view = SLOTS[number]
        rows.append((*cut, cell, view, phantom.severities[cell], cells[CELLS[cell]][3], person))
    kinds = (np.uint8, bool, np.int64, np.int64, np.int64, np.float32, np.int64)
    return ViewSamples(*(np.array(column, kind) for column, kind in zip(zip(*rows), kinds)))


def _draw(person: int, *, seed: int, size: str) -> ViewSamples:
    study = draw_study(FIRST_STUDY_ID + person, seed=seed, size=size, class_balance=CLASS_BALANCE)
    return phantom_views(study, person)
