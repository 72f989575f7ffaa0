"""Tiny tables and stacks, and the check that every figure must pass."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kitlib.evaluate.attention import AttentionRecord
from kitlib.inputs.crops import StudyCrops
from kitlib.models.crop.model import Examination
from kitlib.mri.stack import Stack
from kitlib.mri.study import Study
from kitlib.prepare.views import MARGIN_PX, SLOTS, VIEWS
from kitlib.report.style import Picture
from kitlib.terms import AXIAL_T2, CELL_NAMES, CELLS, EMPTY, PROBABILITIES, SEQUENCES, group2sequence, row_ids

SERIES = {"spinal": 11, "foraminal": 12, "subarticular": 13}


def make_labels(studies: int = 12, *, seed: int = 0, empty: float = 0.1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    codes = random.choice(3, (studies, 25), p=(0.6, 0.25, 0.15))
    codes[random.random(codes.shape) < empty] = EMPTY
    index = pd.Index(np.arange(100, 100 + studies), name="study_id")
    return pd.DataFrame(codes.astype(np.int8), index=index, columns=list(CELL_NAMES))


def make_predictions(labels: pd.DataFrame, *, seed: int = 1) -> pd.DataFrame:
    rows = [row for study in labels.index for row in row_ids(study)]
    values = np.random.default_rng(seed).dirichlet((4, 1, 0.5), len(rows))
    return pd.DataFrame(values, index=pd.Index(rows, name="row_id"), columns=list(PROBABILITIES))


def make_landmarks(labels: pd.DataFrame) -> pd.DataFrame:
    """One point for every labelled cell; the left has the larger x and the larger instance number."""
    rows = []
    for study in labels.index:
        for cell in CELLS:
            if labels.at[study, cell.name] != EMPTY:
                left = cell.side == "left"
                rows.append((study, SERIES[cell.group], 4 if left else 2, *cell, 12.0 + 4 * left, 8.0))
    columns = ["study_id", "series_id", "instance_number", "condition", "level", "x", "y"]
    return pd.DataFrame(rows, columns=columns)


def make_stack(
    slices: int = 5,
    *,
    sequence: str = group2sequence["spinal"],
    first_mm: float = -10.0,
    step_mm: float = 4.0,
) -> Stack:
    """Ten rows and twelve columns; instance numbers run against the stack."""
    axial = sequence == AXIAL_T2
    normal = np.array([0.0, 0.0, 1.0]) if axial else np.array([1.0, 0.0, 0.0])
    return Stack(
        pixels=np.random.default_rng(0).random((slices, 10, 12), dtype=np.float32) * 500,
        origins_mm=(first_mm + np.arange(slices)[:, None] * step_mm) * normal,
        row_direction=np.array([1.0, 0, 0]) if axial else np.array([0, 1.0, 0]),
        column_direction=np.array([0, 1.0, 0]) if axial else np.array([0, 0, -1.0]),
        spacing_mm=(0.9, 0.6),
        instance_numbers=np.arange(slices, 0, -1),
        files=tuple(f"{number}.dcm" for number in range(slices, 0, -1)),
    )


def stacks_of(_study_id: int, series_id: int) -> list[Stack]:
    """The one stack of each of SERIES."""
    group = next(group for group, known in SERIES.items() if known == series_id)
    return [make_stack(sequence=group2sequence[group])]


def make_record(study_ids: list[int], weight_on: int) -> AttentionRecord:
    """A record with all attention on one slice of every sequence."""
    weights = dict.fromkeys(SEQUENCES, np.tile(np.eye(5)[weight_on], (25, 1)))
    positions_mm = {name: [make_stack(sequence=name).centres_mm] * len(study_ids) for name in SEQUENCES}
    return AttentionRecord(np.array(study_ids), [weights] * len(study_ids), positions_mm)


def drawn(figure: Picture) -> list[str]:
    """Draw the figure, as a notebook would, and return the texts in it."""
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
    found = {text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))}
    return sorted(found - {""})


def make_examination(study: Study, *, absent: tuple[int, ...] = (), slices: int = 3) -> Examination:
    """Noise views around the middle of each slot's sequence; those in `absent` are missing."""
    random = np.random.default_rng(0)
    is_there = np.array([number not in absent for number in range(len(SLOTS))])
    points_mm = np.full((len(SLOTS), 3), np.nan)
    for number in np.flatnonzero(is_there):
        stack = study.stacks(VIEWS[SLOTS[number].view].sequence)[0]
        points_mm[number] = stack.centres_mm[len(stack) // 2]
    crops = StudyCrops(
        images=random.integers(1, 255, (len(SLOTS), slices, MARGIN_PX, MARGIN_PX)).astype(np.uint8),
        present=np.repeat(is_there[:, None], slices, axis=1),
        points_mm=points_mm,
        confidences=np.where(is_there, 0.9, 0.0),
    )
    alone = random.dirichlet((3, 2, 1), len(SLOTS))
    weights = random.dirichlet(np.ones(slices), len(SLOTS))
    return Examination(
        crops,
        probabilities=random.dirichlet((3, 2, 1), len(CELLS)),
        openings_mm=random.uniform(2, 14, len(CELLS)),
        view_probabilities=np.where(is_there[:, None], alone, np.nan),
        slice_weights=np.where(is_there[:, None], weights, 0.0),
    )
