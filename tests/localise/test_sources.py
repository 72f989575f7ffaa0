"""Images may come as an array; anything else is refused."""

import numpy as np
import pytest

from kitlib.errors import DataError, UsageError
from kitlib.localise.sources import array_study, read_array


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
