import numpy as np
import pytest

from kitlib.prepare.grey import GREY_OPTIONS, PERCENTILES, equalise, greyscale, window


@pytest.fixture
def signal() -> np.ndarray:
    return np.random.default_rng(1).gamma(2, 300, (6, 120, 130)).astype(np.float32)


def test_greyscale_spans_the_range_and_keeps_the_order_of_grey_values(signal: np.ndarray) -> None:
    grey = greyscale(signal)
    assert grey.dtype == np.uint8
    assert (grey.min(), grey.max()) == (0, 255)
    order = np.argsort(signal, axis=None)
    assert np.all(np.diff(grey.reshape(-1)[order].astype(int)) >= 0)


def test_greyscale_ignores_scale_and_offset_of_the_scanner(signal: np.ndarray) -> None:
    difference = greyscale(signal).astype(int) - greyscale(signal * 7.5 - 1000)
    assert abs(difference).max() <= 1


def test_sampled_window_is_close_to_the_exact_one_in_rank(signal: np.ndarray) -> None:
    ranks = [100 * (signal <= edge).mean() for edge in window(signal)]
    assert ranks == pytest.approx(PERCENTILES, abs=0.15)


def test_pixels_that_are_no_numbers_do_not_spread(signal: np.ndarray) -> None:
    broken = signal.copy()
    broken[0, 0, :3] = np.nan, np.inf, -np.inf
    grey = greyscale(broken)
    assert grey[0, 0, :3].tolist() == [0, 255, 0]
    assert abs(grey[1:].astype(int) - greyscale(signal)[1:]).max() <= 1


@pytest.mark.parametrize("value", [0, -5, 1e30, np.nan, np.inf])
def test_a_stack_without_contrast_is_black(value: float) -> None:
    assert not greyscale(np.full((2, 4, 4), value, np.float32)).any()


def test_a_single_bright_pixel_is_seen() -> None:
    pixels = np.zeros((1, 64, 64), np.float32)
    pixels[0, 3, 3] = 9
    assert greyscale(pixels)[0, 3, 3] == 255


@pytest.mark.parametrize("shape", [(0, 5, 5), (1, 1, 1), (3, 1, 2)])
@pytest.mark.parametrize("option", GREY_OPTIONS)
def test_tiny_and_empty_stacks_keep_their_shape(shape: tuple[int, int, int], option: str) -> None:
    grey = GREY_OPTIONS[option](greyscale(np.ones(shape, np.float32)))
    assert grey.shape == shape
    assert grey.dtype == np.uint8


def test_equalise_flattens_the_histogram_of_each_slice(signal: np.ndarray) -> None:
    grey = greyscale(signal)
    before = grey.copy()
    flat = equalise(grey)
    assert abs(np.mean(flat, axis=(1, 2)) - 127.5).max() < 5
    assert np.array_equal(grey, before)
