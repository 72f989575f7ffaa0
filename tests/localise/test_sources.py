"""Images come from a folder of one series or of several, or from an array; anything else is refused."""

import numpy as np
import pytest

from kitlib.errors import DataError, UsageError
from kitlib.localise.sources import array_study, read_array, read_folder
from kitlib.mri.ledger import Ledger
from kitlib.terms import SAGITTAL_T1
from tests.mri.builders import make_series


def test_a_folder_is_a_series_or_a_study(tmp_path):
    study = tmp_path / "9" / "study"
    for name in ("21", "22"):
        make_series(study / name, count=3)

    def ids(folder):
        found = read_folder(folder, Ledger())
        assert all(len(series.stacks[0]) == 3 for series in found.series)
        return found.study_id, [series.series_id for series in found.series]

    assert ids(study) == (0, [21, 22])
    assert ids(study.rename(tmp_path / "7")) == (7, [21, 22])
    assert ids(tmp_path / "7" / "22") == (0, [22])
    assert ids((tmp_path / "7" / "21").rename(tmp_path / "7" / "sag")) == (0, [1])
    assert ids(tmp_path / "7") == (7, [1, 2])
    with pytest.raises(DataError, match="no such folder"):
        read_folder(tmp_path / "absent", Ledger())


def test_sequences_are_told_where_they_are_known(tmp_path):
    for name in ("21", "22", "23"):
        make_series(tmp_path / name, count=2)
    study = read_folder(tmp_path, Ledger(), {21: SAGITTAL_T1, 22: "Localizer"})
    assert [series.sequence for series in study.series] == [SAGITTAL_T1, None, None]


def test_an_empty_folder_is_a_series_that_cannot_be_read(tmp_path):
    ledger = Ledger()
    study = read_folder(tmp_path, ledger)
    assert [series.stacks for series in study.series] == [()]
    assert [fault.code for fault in ledger] == ["series.empty"]


def test_an_array_is_a_study_of_one_series_whose_sequence_nobody_knows():
    images = np.arange(24).reshape(2, 3, 4)
    (series,) = array_study(images, (0.5, 0.75), 4.0).series
    (stack,) = series.stacks
    assert (series.sequence, stack.plane) == (None, "sagittal")
    assert (stack.step_mm, stack.spacing_mm) == (4.0, (0.5, 0.75))
    assert stack.instance_numbers.tolist() == [1, 2]
    np.testing.assert_array_equal(stack.pixels, images)


@pytest.mark.parametrize("shape", [(0, 5, 5), (4,), (2, 3, 4, 5)])
def test_arrays_that_are_no_slices(shape):
    with pytest.raises(DataError, match="no grey slices"):
        array_study(np.zeros(shape), 1.0, 4.5)


@pytest.mark.parametrize("spacing_mm", [0, -1, float("nan"), (1, 0)])
def test_spacing_must_be_millimetres(spacing_mm):
    with pytest.raises(UsageError, match="above 0"):
        array_study(np.zeros((5, 5)), spacing_mm, 4.5)


def test_an_array_file(tmp_path):
    file = tmp_path / "slices.npy"
    np.save(file, np.arange(8, dtype=np.uint8).reshape(2, 2, 2))
    assert read_array(file).tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    (tmp_path / "bad.npy").write_bytes(b"not an array")
    for name in ("bad.npy", "absent.npy"):
        with pytest.raises(DataError, match="no array can be read"):
            read_array(tmp_path / name)
