import numpy as np
import pytest

from kitlib.embed.field_of_view import FIELDS_OF_VIEW, square, stack_images
from kitlib.errors import UsageError
from kitlib.prepare.volumes import prepare
from tests.prepare.builders import make_stack


def test_a_square_keeps_proportions_and_centres_the_image() -> None:
    fitted = square(np.full((1, 100, 50), 200, np.uint8), 40)
    assert fitted.shape == (1, 40, 40)
    assert (fitted[0, :, 10:30] == 200).all()
    assert not fitted[0, :, :9].any()
    assert not fitted[0, :, 31:].any()


@pytest.mark.parametrize("shape", [(90, 90), (90, 60), (61, 90)])
def test_the_middle_is_the_middle_of_the_slice(shape: tuple[int, int]) -> None:
    slices = np.zeros((2, *shape), np.uint8)
    slices[:, shape[0] // 2 - 4 : shape[0] // 2 + 4, shape[1] // 2 - 4 : shape[1] // 2 + 4] = 255
    for share in (1.0, 0.75, 0.5):
        seen = square(slices, 60, share)[0].astype(float)
        centre = [(np.arange(60) * seen.sum(axis=axis)).sum() / seen.sum() for axis in (1, 0)]
        assert centre == pytest.approx([29.5, 29.5], abs=1)
        assert seen.sum() / 255 == pytest.approx((8 * 60 / (share * 90)) ** 2, rel=0.1)


def test_each_plane_has_its_own_middle() -> None:
    for plane in ("sagittal", "axial"):
        (stack,) = prepare([make_stack(plane, (2, 80, 80))], 80)
        images = stack_images(stack, 20, field_of_view="middle")
        assert np.array_equal(images, square(stack.pixels, 20, FIELDS_OF_VIEW["middle"][plane]))
        assert np.array_equal(stack_images(stack, 80), stack.pixels)


@pytest.mark.parametrize("options", [{"field_of_view": "top"}, {"grey": "gray"}])
def test_unknown_options_are_errors(options: dict[str, str]) -> None:
    (stack,) = prepare([make_stack()], 40)
    with pytest.raises(UsageError, match=r"unknown (view|grey)"):
        stack_images(stack, 20, **options)


@pytest.mark.parametrize("shape", [(0, 4, 4), (1, 1, 1), (2, 1, 7)])
def test_tiny_slices_become_squares_too(shape: tuple[int, int, int]) -> None:
    assert square(np.ones(shape, np.uint8), 8, 0.5).shape == (shape[0], 8, 8)
