import numpy as np
import pytest

from kitlib.localise.decode import find_chain, find_peaks, soft_peak, window_mass
from tests.localise.fakes import make_canal

HEATMAP_MM = 3.6


def pixels_of(canal) -> np.ndarray:
    places = np.array(list(canal.values()))
    return np.stack([places[:, 1], -places[:, 2]], axis=1) / HEATMAP_MM + [48, 48]


def blob(pixel, size=96, spread=0.8):
    rows, cols = np.mgrid[:size, :size]
    one = np.exp(-0.5 * ((cols - pixel[0]) ** 2 + (rows - pixel[1]) ** 2) / spread**2)
    return one / one.sum()


def maps_of(pixels, shares) -> np.ndarray:
    """Maps (7, 96, 96) whose channel c shows place p with chance shares[c, p]."""
    return np.einsum("cp,phw->chw", shares, np.stack([blob(pixel) for pixel in pixels]))


PIXELS = pixels_of(make_canal())


def test_a_clear_chain_is_read_to_a_fraction_of_a_pixel():
    chain = find_chain(maps_of(PIXELS, 0.95 * np.eye(7)), HEATMAP_MM)
    np.testing.assert_allclose(chain.pixels, PIXELS, atol=0.1)
    assert chain.log_odds > 10
    assert (chain.mass > 0.9).all()


def test_levels_that_a_network_mixes_are_mended():
    """L3/L4 and L2/L3 are swapped; the chain restores their order."""
    shares = 0.9 * np.eye(7)
    shares[[2, 3]] = shares[[3, 2]]
    shares[2, 2] = shares[3, 3] = 0.05
    np.testing.assert_allclose(find_chain(maps_of(PIXELS, shares), HEATMAP_MM).pixels, PIXELS, atol=0.1)


def test_a_false_peak_is_left_out():
    pixels = np.vstack([PIXELS, PIXELS[3] + [14, 2]])
    shares = np.column_stack([0.95 * np.eye(7), np.zeros(7)])
    shares[3, [3, 7]] = 0.4, 0.55
    np.testing.assert_allclose(find_chain(maps_of(pixels, shares), HEATMAP_MM).pixels, PIXELS, atol=0.1)


def test_a_network_of_two_minds_has_low_odds():
    half = 0.48 * np.eye(7) + 0.48 * np.eye(7, k=1)
    sure = find_chain(maps_of(PIXELS, 0.96 * np.eye(7)), HEATMAP_MM).log_odds
    assert abs(find_chain(maps_of(PIXELS, half), HEATMAP_MM).log_odds) < sure / 3


@pytest.mark.parametrize("seen", [slice(2, 7), slice(0, 4)])
def test_levels_out_of_view_have_no_point(seen):
    shares = np.zeros((7, 7))
    shares[seen, seen] = 0.95 * np.eye(7)[seen, seen]
    chain = find_chain(maps_of(PIXELS, shares), HEATMAP_MM)
    expected = np.zeros(7, bool)
    expected[seen] = True
    np.testing.assert_array_equal((chain.mass > 0), expected)
    np.testing.assert_array_equal(np.isnan(chain.pixels[:, 0]), ~expected)


@pytest.mark.parametrize(
    ("level", "share", "found"), [(4, 0.05, True), (4, 0.01, False), (6, 0.2, True), (6, 0.04, False)]
)
def test_a_doubtful_level_has_a_point_of_little_mass_the_sooner_if_others_lie_around(level, share, found):
    shares = 0.95 * np.eye(7)
    shares[level, level] = share
    chain = find_chain(maps_of(PIXELS, shares), HEATMAP_MM)
    assert (chain.mass > 0)[level] == found
    assert chain.mass[level] == pytest.approx(share if found else 0, abs=0.02)
    assert np.delete((chain.mass > 0), level).all()


def test_nothing_visible_is_no_chain():
    assert find_chain(np.zeros((7, 96, 96)), HEATMAP_MM) is None
    assert find_chain(np.full((7, 96, 96), 1e-6), HEATMAP_MM) is None


def test_peaks_at_the_border():
    """A landmark in the first and last pixel is a peak like any other."""
    chances = 0.5 * blob((0, 0)) + 0.4 * blob((95, 95))
    np.testing.assert_array_equal(np.abs(find_peaks(chances) - [[0, 0], [95, 95]]) <= 2, True)
    assert window_mass(chances, np.array([0, 0])) == pytest.approx(0.5, abs=0.02)
    assert (soft_peak(chances, np.array([95, 95])) <= 95).all()
