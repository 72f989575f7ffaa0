"""Draw one study: grades, anatomy, series, readers' labels and annotators' points."""

import hashlib
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from kitlib.mri.study import Series, Study
from kitlib.phantom.annotators import TABLE_COLUMNS, annotate
from kitlib.phantom.body.anatomy import Anatomy, draw_anatomy
from kitlib.phantom.body.grid import Device
from kitlib.phantom.labels import draw_grades, draw_readings, draw_uncovered
from kitlib.phantom.scan.plans import plan_study
from kitlib.phantom.scan.prescription import size_named
from kitlib.phantom.scan.scanner import acquire, draw_scanner
from kitlib.phantom.scan.signal import PulseSequence
from kitlib.terms import AXIAL_T2, CELLS, EMPTY, LEVELS, group2sequence

LANDMARK_COLUMNS = (*TABLE_COLUMNS, "x_mm", "y_mm", "z_mm", "opening_mm")
"""The competition's columns, then the true patient position and the opening."""

MISSING_RATE = 0.0015  # of studies that lack a series, as in the competition's table


@dataclass(frozen=True, eq=False)
class PhantomSeries(Series):
    """A series and its acquisition; pixels are whole numbers, as stored in the file."""

    sequence: str
    timing: PulseSequence
    field_t: float
    motion_mm: np.ndarray  # (3,) displacement of the patient since the first series


@dataclass(frozen=True, eq=False)
class PhantomStudy:
    """A study with its truth."""

    study_id: int
    series: tuple[PhantomSeries, ...]
    grades: np.ndarray  # (25,) true severities, continuous in [0, 3)
    labels: np.ndarray  # (25,) int8 as readers wrote them, with EMPTY
    landmarks: pd.DataFrame  # LANDMARK_COLUMNS: true positions of the graded places
    points: pd.DataFrame  # TABLE_COLUMNS: positions marked by annotators
    facts: dict[str, Any]  # the person and other findings of the spine

    @property
    def study(self) -> Study:
        """The study as read from its files."""
        return Study(self.study_id, self.series)

    @property
    def severities(self) -> np.ndarray:
        """True severity codes (25,) int8."""
        return np.floor(self.grades).astype(np.int8)


def draw_study(
    study_id: int,
    *,
    seed: int,
    size: str = "demo",
    missing_rate: float = MISSING_RATE,
    class_balance: float = 0.0,
    grades: np.ndarray | None = None,
    defects: Collection[str] = (),
    device: Device = "cpu",
) -> PhantomStudy:
    """Draw a study; the same arguments give the same study.

    `class_balance` is as for `draw_grades`; `grades` (25,) replace the drawn ones; `defects` of the
    annotators' points are as for `annotate`. The images are computed on `device`.

    >>> phantom = draw_study(7, seed=1, size="smoke")
    >>> phantom.labels.shape, phantom.study.sequences
    ((25,), ('Sagittal T1', 'Sagittal T2/STIR', 'Axial T2'))
    """
    dimensions = size_named(size)
    lots, body, readers, planner, machine, annotator = (_lots(seed, study_id, part) for part in range(6))
    drawn, uncovered = draw_grades(1, lots, class_balance=class_balance), draw_uncovered(1, lots)
    if grades is not None:
        drawn = np.asarray(grades, dtype=float)[None]
    anatomy = draw_anatomy(drawn[0], body)
    plans = plan_study(anatomy, dimensions, int(uncovered[0]), missing_rate, planner)
    if all(plan.sequence != AXIAL_T2 for plan in plans):
        uncovered[:] = len(LEVELS)
    scanner = draw_scanner(machine)
    series = []
    for order, plan in enumerate(plans):
        timing, stacks = acquire(anatomy, plan, scanner, _lots(seed, study_id, 6 + order), device)
        key = _series_id(seed, study_id, order)
        series.append(PhantomSeries(key, plan.sequence, stacks, timing, scanner.field_t, plan.motion_mm))
    labels = draw_readings(drawn, uncovered, readers)[0]
    landmarks = _landmarks(study_id, series, labels, anatomy)
    points = annotate(landmarks, Study(study_id, tuple(series)), annotator, defects=defects)
    facts = {"person": asdict(anatomy.person), "field_t": scanner.field_t, **anatomy.spine.facts()}
    return PhantomStudy(study_id, tuple(series), drawn[0], labels, landmarks, points, facts)


def _lots(*entropy: int) -> np.random.Generator:
    return np.random.default_rng(entropy)


def _series_id(*key: int) -> int:
    """Derive an id of up to ten digits, like those of the competition."""
    return int(hashlib.sha256(" ".join(map(str, key)).encode()).hexdigest()[:8], 16)


def _landmarks(
    study_id: int, series: list[PhantomSeries], labels: np.ndarray, anatomy: Anatomy
) -> pd.DataFrame:
    """Return the true place of each labelled cell, in the first series of its sequence that shows it."""
    rows = []
    for cell in (cell for cell, label in zip(CELLS, labels) if label != EMPTY):
        still, opening = anatomy.place_mm(cell), anatomy.opening_mm(cell)
        for image in (image for image in series if image.sequence == group2sequence[cell.group]):
            point_mm = still + image.motion_mm
            if found := image.slice_at(point_mm):
                key = study_id, image.series_id, found.instance_number, *cell
                rows.append((*key, *found.xy.tolist(), *point_mm, opening))
                break
    return pd.DataFrame(rows, columns=LANDMARK_COLUMNS)
