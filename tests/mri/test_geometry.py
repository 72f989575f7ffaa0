import numpy as np
import pytest

from kitlib.mri.geometry import normal_of, orthonormal, plane_of


@pytest.mark.parametrize("rounding", [2, 4, 6])
def test_rounded_directions_become_orthonormal_and_hardly_move(rounding):
    random = np.random.default_rng(0)
    for _ in range(20):
        exact = np.linalg.qr(random.normal(size=(3, 3)))[0][:2]
        mended = orthonormal(exact.round(rounding))
        np.testing.assert_allclose(mended @ mended.T, np.eye(2), atol=1e-14)
        np.testing.assert_allclose(mended, exact, atol=3 * 10.0**-rounding)


def test_the_normal_does_not_care_which_way_the_image_is_turned():
    row, column = np.array([0.0, 1.0, 0.0]), np.array([0.1, 0.0, -0.995])
    for pair in [(row, column), (column, row), (-row, column), (-row, -column)]:
        assert normal_of(*pair)[0] > 0
        assert plane_of(normal_of(*pair)) == "sagittal"
