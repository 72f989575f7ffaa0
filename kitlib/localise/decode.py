"""Decode heatmaps into one chain of canal points: find peaks, then search jointly with geometric priors.

A network that mistakes L4 for L5 does so at all levels at once, and when unsure it mixes two counts. The
search assigns each peak to one level only, and compares the whole chain with the same one a level away.
"""

from dataclasses import dataclass

import numpy as np

from kitlib.localise.geometry import GAP_SHARES, SPINE, TURNS_DEG

COUNT = len(SPINE)
WINDOW = 2  # heatmap pixels around a peak that belong to it
APART = 3  # pixels between two peaks at least, along one axis: discs of small persons are 5 pixels apart
MOST_PEAKS = 16
LEAST_PEAK = 0.03  # mass of a peak over all channels
FLOOR = 1e-3  # least probability of anything: no channel is certain, as networks err in unexpected ways
# Cost of leaving a level without a point, on top of its map: a doubtful peak of low probability tells more
# than none, so it is dropped only if the map holds it twelve times likelier that the level is not visible.
# For levels with a weight above 1 the cost grows with the weight.
UNSEEN = 2.5
# Weight of each level's own map, T12/L1 to S1/S2: only the sacrum determines which level is which. The upper
# maps follow the shape of the spine above it, in which patients differ more than phantoms do (docs/levels.md;
# chosen on open studies).
WEIGHTS = np.array([0.1, 0.1, 0.1, 0.2, 0.6, 2.0, 2.0])
SKIPPED = 2.0  # additional cost of a level without a point between two that have one
BEAM = 24

# Lengths of the links between neighbours, and their backward slopes on the way down: typical values with wide
# spreads, as a patient may be small or lie askew; changes from one link to the next are more telling.
SPACING_MM = 33.0 * GAP_SHARES
BACKWARD_DEG = np.concatenate([[0.0], np.cumsum(TURNS_DEG)]) - 9.0
LENGTH_SPREAD, RATIO_SPREAD = 0.17, 0.13  # of logarithms
SLOPE_SPREAD_DEG, TURN_SPREAD_DEG = 30.0, 14.0
STEEPEST_DEG = 75.0  # from the usual slope
ODD = 0.01  # probability that a link is unlike any other: steep sacra, slips and fractures exist


@dataclass(frozen=True, eq=False)
class Chain:
    """Canal points of one image, T12/L1 to S1/S2, and how certain their count is."""

    pixels: np.ndarray  # (7, 2) fractional column and row of the heatmap; NaN where nothing was seen
    mass: np.ndarray  # (7,) probability of any canal point there; 0 where nothing was seen
    log_odds: float  # of this chain against the best one shifted by one level


def find_chain(maps: np.ndarray, px_mm: float) -> Chain | None:
    """Find the most likely chain in the maps (7, n, n) of the canal channels; None if there is no peak.

    A map holds the probability of each pixel; the remainder to 1 is that of the level not being visible.
    """
    total = maps.sum(axis=0)
    peaks = find_peaks(total)
    if not len(peaks):
        return None
    pixels = np.array([soft_peak(total, peak) for peak in peaks])
    own = np.array([[window_mass(chances, peak) for peak in peaks] for chances in maps])  # (7, N)
    hidden = 1 - maps.sum(axis=(1, 2))
    search = _Search(pixels * px_mm, _log(own), _log(hidden))
    best, path = search.run(np.ones((COUNT, len(peaks) + 1), bool))
    if not (path >= 0).any():
        return None
    others = [search.run(_shifted(path, step, len(peaks)))[0] for step in (-1, 1)]
    found = path >= 0
    chosen = np.where(found[:, None], pixels[path], np.nan)
    mass = np.where(found, own.sum(axis=0)[path].clip(1e-6, 1), 0.0)
    return Chain(chosen, mass, best - max(others))


def find_peaks(chances: np.ndarray) -> np.ndarray:
    """Find the pixels (N, 2), column and row, around which a map (n, n) has most mass, largest first."""
    padded = np.pad(chances.astype(np.float64), 1)
    summed = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).sum(axis=(2, 3))
    peaks: list[tuple[int, int]] = []
    while len(peaks) < MOST_PEAKS:
        row, col = np.unravel_index(int(summed.argmax()), summed.shape)
        if summed[row, col] < LEAST_PEAK:
            break
        peaks.append((int(col), int(row)))
        near = slice(max(0, row - APART), row + APART + 1), slice(max(0, col - APART), col + APART + 1)
        summed[near] = 0
    return np.array(peaks, dtype=np.int64).reshape(-1, 2)


def soft_peak(chances: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """The centre of mass (2,) around a pixel: the peak with subpixel precision."""
    rows, cols = _window(chances, pixel)
    around = chances[rows, cols]
    row, col = np.mgrid[rows, cols]
    weight = max(float(around.sum()), 1e-12)
    return np.array([(around * col).sum(), (around * row).sum()]) / weight


def window_mass(chances: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """The mass around a pixel (column, row) in each of some maps (..., n, n)."""
    rows, cols = _window(chances, pixel)
    return chances[..., rows, cols].sum(axis=(-2, -1))


def _window(chances: np.ndarray, pixel: np.ndarray) -> tuple[slice, slice]:
    height, width = chances.shape[-2:]
    col, row = np.round(pixel).astype(int)
    rows = slice(*np.clip([row - WINDOW, row + WINDOW + 1], 0, height))
    cols = slice(*np.clip([col - WINDOW, col + WINDOW + 1], 0, width))
    return rows, cols


def _log(chances: np.ndarray) -> np.ndarray:
    return np.log((1 - FLOOR) * np.clip(chances, 0, 1) + FLOOR)


def _shifted(path: np.ndarray, step: int, peaks: int) -> np.ndarray:
    """The choices (7, N + 1) allowed to each level in a chain with all peaks shifted by one level."""
    allowed = np.ones((COUNT, peaks + 1), bool)
    for level in range(COUNT):
        before = path[level - step] if 0 <= level - step < COUNT else -1
        if before >= 0:
            allowed[level] = np.arange(peaks + 1) == before
        else:
            # The level that enters at the end may have any peak that no other level has.
            allowed[level, path[path >= 0]] = False
    return allowed


class _Search:
    """A beam search over levels from the top; the last choice of each level, column N, is "not seen"."""

    def __init__(self, peaks_mm: np.ndarray, own: np.ndarray, hidden: np.ndarray) -> None:
        self.peaks_mm = peaks_mm  # (N, 2)
        unseen = WEIGHTS * hidden - UNSEEN * WEIGHTS.clip(1)
        self.data = np.column_stack([WEIGHTS[:, None] * own, unseen])  # (7, N + 1)

    def run(self, allowed: np.ndarray) -> tuple[float, np.ndarray]:
        """The best score, and the peak (7,) of each level, -1 if it is not seen."""
        count = len(self.peaks_mm)
        paths = np.full((1, COUNT), -1)
        scores = np.zeros(1)
        for level in range(COUNT):
            gains = np.array([self._gains(path, level) for path in paths])  # (K, N + 1)
            gains = scores[:, None] + np.where(allowed[level], gains, -np.inf)
            best = np.argsort(gains, axis=None)[::-1][:BEAM]
            kept, choices = np.unravel_index(best, gains.shape)
            paths, scores = paths[kept], gains[kept, choices]
            paths[:, level] = np.where(choices == count, -1, choices)
            paths, scores = paths[np.isfinite(scores)], scores[np.isfinite(scores)]
            if not len(scores):
                return -np.inf, np.full(COUNT, -1)
        return float(scores[0]), paths[0]

    def _gains(self, path: np.ndarray, level: int) -> np.ndarray:
        """What each choice (N + 1,) for a level adds to the score of the path above it."""
        gains = self.data[level].copy()
        above = np.flatnonzero(path[:level] >= 0)
        if not len(above):
            return gains
        gains[path[above]] = -np.inf
        length, slope = self._link(path, int(above[-1]), level)
        cost = (length / LENGTH_SPREAD) ** 2 + (slope / SLOPE_SPREAD_DEG) ** 2
        if len(above) > 1:
            own_length, own_slope = self._link(path[: above[-1] + 1], int(above[-2]), int(above[-1]))
            last = path[above[-1]]
            cost += ((length - own_length[last]) / RATIO_SPREAD) ** 2
            cost += ((slope - own_slope[last]) / TURN_SPREAD_DEG) ** 2
        gains[:-1] += np.log((1 - ODD) * np.exp(-cost / 2) + ODD)
        gains[:-1] -= SKIPPED * (level - above[-1] - 1)
        gains[:-1][np.abs(slope) > STEEPEST_DEG] = -np.inf  # the next peak cannot lie above the last one
        return gains

    def _link(self, path: np.ndarray, above: int, level: int) -> tuple[np.ndarray, np.ndarray]:
        """How much longer (log) and steeper (degrees) than usual the link from a level to each peak is."""
        ways = self.peaks_mm - self.peaks_mm[path[above]]
        lengths = np.linalg.norm(ways, axis=1).clip(1e-3)
        slopes = np.degrees(np.arctan2(ways[:, 0], ways[:, 1]))
        usual = SPACING_MM[above:level].sum(), BACKWARD_DEG[above:level].mean()
        return np.log(lengths / usual[0]), slopes - usual[1]
