"""Labelled tables: usable rows become views, and the others are reported."""

from pathlib import Path

import numpy as np
import pytest

from kitlib.errors import TableError
from kitlib.grade.labelled import read_labelled
from kitlib.grade.samples import SLICES
from kitlib.prepare.views import MARGIN_PX, VIEW_PX, VIEWS
from kitlib.terms import CELLS, Cell
from tests.grade.labels import changed_table, labelled_table


def test_rows_become_views_of_their_cells_and_studies(tmp_path: Path) -> None:
    labelled = read_labelled(labelled_table(tmp_path, studies=3))
    samples = labelled.samples
    assert not labelled.problems
    assert labelled.lines.tolist() == list(range(2, 32))
    assert samples.images.shape == (30, SLICES, MARGIN_PX, MARGIN_PX)
    assert samples.persons.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert samples.severities[:4].tolist() == [0, 0, 1, 1]
    assert np.isnan(samples.openings_mm).all()
    foramen, canal = Cell("left_neural_foraminal_narrowing", "l1_l2"), Cell("spinal_canal_stenosis", "l1_l2")
    assert [CELLS[cell] for cell in samples.cells[:2]] == [foramen, canal]
    assert [VIEWS[view] for view in samples.views[:2]] == [("foramen", "Sagittal T1"), ("canal", "Axial T2")]
    assert samples.present[:2].tolist() == [
        [False, False, True, False, False],
        [False, True, True, True, False],
    ]
    assert samples.images[0, SLICES // 2, MARGIN_PX // 2, MARGIN_PX // 2] > 200


def test_views_can_be_cut_as_they_are_graded(tmp_path: Path) -> None:
    labelled = read_labelled(labelled_table(tmp_path, studies=2), slices=3, px=VIEW_PX)
    assert labelled.samples.images.shape == (20, 3, VIEW_PX, VIEW_PX)
    assert len(labelled.only(labelled.lines[3:5])) == 2


def test_places_without_a_severity_are_left_out_and_unseen_ones_told(tmp_path: Path) -> None:
    file = labelled_table(tmp_path, studies=2)
    changed_table(file, severity=["", "Severe", "Moderate"] + ["Severe"] * 17)
    (tmp_path / "0_l1_l2_axial.png").unlink()
    labelled = read_labelled(file)
    assert labelled.lines.tolist() == list(range(4, 22))
    assert len(labelled.problems) == 1
    assert labelled.problems[0].startswith("line 3: ")


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"severity": None}, "columns 'severity' are missing"),
        ({"study_id": None, "severity": None}, "columns 'study_id', 'severity' are missing"),
        ({"severity": "severe"}, "the severity in line 2 is unfit"),
        ({"severity": "Severe"}, "of 1 severity"),
        ({"severity": ""}, "0 labelled places"),
        ({"study_id": "7"}, "of 1 study_id"),
        ({"image": "nowhere.png"}, "0 labelled places.*line 2: .*no such image"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_refused(
    tmp_path: Path, columns: dict[str, str | None], why: str
) -> None:
    file = changed_table(labelled_table(tmp_path, studies=2), **columns)
    with pytest.raises(TableError, match=why):
        read_labelled(file)
