"""Grey scales: MR signal has no unit, so each stack is scaled to 0..255 by its own percentiles."""

from collections.abc import Callable

import cv2
import numpy as np

PERCENTILES = (0.5, 99.5)
# Percentiles of whole volumes are the slow step of preparing them. For this many pixels, drawn with a fixed
# seed, the rank error is sqrt(p (1 - p) / n): a standard deviation of 0.03 percentage points.
SAMPLED_PIXELS = 65_536


def greyscale(pixels: np.ndarray) -> np.ndarray:
    """Normalise a stack (N, H, W) to uint8: PERCENTILES of all its pixels become 0 and 255.

    NaN counts as darkest, +inf as brightest; a constant stack becomes 0.
    """
    low, high = window(pixels)
    if not high > low:
        return np.zeros(pixels.shape, np.uint8)
    grey = np.empty(pixels.shape, np.uint8)
    for image, out in zip(pixels, grey):  # slice by slice: no float copy of the whole stack
        # fmax ignores NaN.
        inside = np.fmin(np.fmax(image, low), high, dtype=np.float32)
        out[...] = (inside - low) * (255 / (high - low)) + 0.5
    return grey


def window(pixels: np.ndarray) -> tuple[float, float]:
    """The grey values that become 0 and 255; (0, 0) if no pixel is finite."""
    flat = pixels.reshape(-1)
    if flat.size > SAMPLED_PIXELS:
        flat = flat[np.random.default_rng(0).integers(flat.size, size=SAMPLED_PIXELS)]
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return 0.0, 0.0
    low, high = np.percentile(flat, PERCENTILES)
    if not high > low:  # almost all pixels are equal: use the full range
        low, high = flat.min(), flat.max()
    return float(low), float(high)


def equalise(pixels: np.ndarray) -> np.ndarray:
    """Equalise the histogram of each slice of a uint8 stack (N, H, W)."""
    return np.stack([cv2.equalizeHist(image) for image in pixels]) if pixels.size else pixels.copy()


def unchanged(pixels: np.ndarray) -> np.ndarray:
    """Return the stack as it is."""
    return pixels


GREY_OPTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"greyscale": unchanged, "equalised": equalise}
"""Grey transforms of a prepared stack before a model sees it; prepared stacks are greyscale already."""
