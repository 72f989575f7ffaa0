"""Views of phantoms: what they show is what was drawn."""

from pathlib import Path

import numpy as np
import pytest

from kitlib.grade.samples import SLICES, make_samples, phantom_views
from kitlib.phantom.study import PhantomStudy, draw_study
from kitlib.prepare.views import MARGIN_PX, VIEWS
from kitlib.terms import CELLS, EMPTY


@pytest.fixture(scope="module")
def phantom() -> PhantomStudy:
    return draw_study(7, seed=1, size="smoke", class_balance=0.6)


def test_every_labelled_place_has_its_views_with_its_truth(phantom: PhantomStudy) -> None:
    samples = phantom_views(phantom, 3)
    assert samples.images.shape[1:] == (SLICES, MARGIN_PX, MARGIN_PX)
    assert set(samples.persons) == {3}
    labelled = [cell for cell, label in zip(CELLS, phantom.labels) if label != EMPTY]
    foramina = [cell for cell in labelled if cell.group == "foraminal"]
    on_t1 = samples.take(samples.views == VIEWS.index(("foramen", "Sagittal T1")))
    assert len(on_t1) == len(foramina)
    truth = dict(zip(CELLS, phantom.severities))
    assert sorted(on_t1.severities) == sorted(truth[cell] for cell in foramina)
    assert (samples.openings_mm > 0).all()


def test_shards_are_drawn_once_and_the_same_again(tmp_path: Path) -> None:
    first = make_samples(tmp_path, persons=1, seed=5, size="smoke")
    files = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    again = make_samples(tmp_path, persons=1, seed=5, size="smoke")
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == files
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, getattr(again, name))
    other = make_samples(tmp_path, persons=1, seed=6, size="smoke")
    assert not np.array_equal(other.openings_mm, first.openings_mm)
