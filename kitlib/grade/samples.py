"""Views of phantoms for the grader to learn on, drawn once and kept in shards."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kitlib.artefacts import Provenance, fingerprint
from kitlib.localise.geometry import disc_axes
from kitlib.localise.train.shards import drawn_in_shards
from kitlib.nn.rows import Rows
from kitlib.phantom.archive import STUDY_IDS
from kitlib.phantom.study import PhantomStudy, draw_study
from kitlib.phantom.truth import VERSION
from kitlib.prepare.views import MARGIN_PX, VIEWS, cut_view
from kitlib.terms import CELLS, Cell, Landmark, group2place

RECIPE = 2
"""To be raised when drawing changes what it makes, so that shards of before are drawn again."""
FIRST_STUDY_ID = STUDY_IDS.stop + 10**8
"""Phantoms to learn from are numbered from here, so that no study of a data set is among them."""
CLASS_BALANCE = 0.6
"""Share of cells drawn evenly over the severities: by prevalence, a canal is severe in one of twenty."""
SLICES = 5
SHARD = 5  # persons


@dataclass(frozen=True, eq=False)
class ViewSamples(Rows):
    """Views with what they show."""

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
    """All views of `persons` phantoms; shards that lie in the folder already are not drawn again."""
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
    """Every view of every labelled place of a phantom, around its true point.

    Those of every other person are turned with their level, as views of located studies are; the others are
    upright as their image is, as views of single images are.
    """
    rows = []
    marks = [(Cell(mark["condition"], mark["level"]), mark) for mark in phantom.landmarks.to_dict("records")]
    points_mm = {cell: np.array([mark["x_mm"], mark["y_mm"], mark["z_mm"]]) for cell, mark in marks}
    axes = disc_axes({cell.level: points_mm[cell] for cell in points_mm if cell.group == "spinal"})
    for cell, mark in marks:
        row = CELLS.index(cell)
        landmark = Landmark(group2place[cell.group], cell.level, cell.side)
        for number, view in enumerate(VIEWS):
            up = view.up(axes.get(cell.level)) if person % 2 else None
            if view.place == landmark.place and (
                cut := cut_view(
                    phantom.study.stacks(view.sequence), view, landmark, points_mm[cell],
                    slices=SLICES, px=MARGIN_PX, up=up,
                )
            ):  # fmt: skip
                rows.append((*cut, row, number, phantom.severities[row], mark["opening_mm"], person))
    kinds = (np.uint8, bool, np.int64, np.int64, np.int64, np.float32, np.int64)
    return ViewSamples(*(np.array(column, kind) for column, kind in zip(zip(*rows), kinds)))


def _draw(person: int, *, seed: int, size: str) -> ViewSamples:
    study = draw_study(FIRST_STUDY_ID + person, seed=seed, size=size, class_balance=CLASS_BALANCE)
    return phantom_views(study, person)
