"""Severities of the 25 cells of a study, true ones and those that readers write.

Each cell has a latent reading of unit variance: the anatomy plus READER_NOISE. Thresholds cut it into classes
at the competition's prevalence, so labels have the real prevalence, while true severities are a little less
often extreme.
"""

import numpy as np
from scipy.stats import norm
from scipy.stats.qmc import MultivariateNormalQMC

from kitlib.terms import CELLS, EMPTY, LEVELS

# Normal, moderate and severe counts by level in the competition's training table (docs/facts.md, 2).
COUNTS = np.array(
    [
        [(1886, 67, 21), (1770, 151, 53), (1622, 230, 122), (1482, 237, 255), (1904, 51, 19)],
        [(1908, 63, 2), (1791, 171, 11), (1522, 411, 40), (1204, 629, 140), (1247, 520, 206)],
        [(1891, 63, 13), (1793, 168, 6), (1512, 414, 41), (1208, 629, 130), (1281, 496, 190)],
        [(1690, 93, 28), (1555, 255, 83), (1324, 454, 194), (887, 624, 461), (1408, 409, 147)],
        [(1680, 110, 24), (1577, 243, 73), (1322, 454, 197), (891, 622, 460), (1399, 396, 173)],
    ]
).reshape(len(CELLS), 3)
PREVALENCE = COUNTS / COUNTS.sum(axis=1, keepdims=True)  # (25, 3)

THRESHOLDS = norm.ppf(PREVALENCE.cumsum(axis=1)[:, :2])  # (25, 2) on the latent reading

READER_NOISE = 0.36
"""Standard deviation of a reading around the anatomy, independent for each cell: chosen so that a predictor
that knows the anatomy and this model, but not the readings, scores about .30 on the metric (`oracle`)."""

# The correlation of two cells' readings is the product of a factor for their conditions, one for their levels
# and both LOADINGS; the foramina of one side correlate a little more across levels. Fitted to the polychoric
# correlations of the competition's training table. Largest difference of Spearman correlations: left and
# right .06, neighbouring levels .08, any two cells .14.
CONDITIONS_SHARE = np.array(
    [
        (1.00, 0.72, 0.72, 0.87, 0.87),
        (0.72, 1.00, 0.84, 0.78, 0.74),
        (0.72, 0.84, 1.00, 0.74, 0.78),
        (0.87, 0.78, 0.74, 1.00, 0.83),
        (0.87, 0.74, 0.78, 0.83, 1.00),
    ]
)
PLACES = np.array([0.0, 0.33, 0.58, 1.0, 1.67])  # positions of the levels; closer ones correlate more
EVERYWHERE = 0.22  # shared by all levels
_FORAMEN, _RECESS = (0.81, 0.81, 0.78, 0.79, 0.76), (0.93, 0.92, 0.93, 0.89, 0.81)
LOADINGS = np.array([(0.89, 0.90, 0.93, 0.90, 0.67), _FORAMEN, _FORAMEN, _RECESS, _RECESS]).ravel()
FORAMEN_SHARE, FORAMEN_DECAY = 0.21, 0.72  # extra correlation of one side's foramina, and its decay per level

UNCOVERED = np.array([0.92, 0.04, 0.04])
"""Probability that the axial series omits no level, L1/L2, or L1/L2 and L2/L3."""


def correlation() -> np.ndarray:
    """Return the correlation (25, 25) of the cells' latent readings."""
    near = np.exp(-np.abs(np.subtract.outer(PLACES, PLACES)))
    matrix = np.kron(CONDITIONS_SHARE, EVERYWHERE + (1 - EVERYWHERE) * near) * np.outer(LOADINGS, LOADINGS)
    levels = np.arange(len(LEVELS))
    beside = FORAMEN_SHARE * FORAMEN_DECAY ** np.abs(np.subtract.outer(levels, levels))
    matrix += np.kron(np.diag([0.0, 1, 1, 0, 0]), beside)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def draw_grades(studies: int, rng: np.random.Generator, *, class_balance: float = 0.0) -> np.ndarray:
    """Draw true severities (n, 25), continuous in [0, 3): the integer part is the class.

    `class_balance` is the share of cells whose grades are uniform over [0, 3) instead, still correlated: to
    learn what narrowing looks like, a network needs more of it than occurs naturally.
    """
    true = correlation() - READER_NOISE**2 * np.eye(len(CELLS))
    latents = rng.standard_normal((studies, len(CELLS))) @ np.linalg.cholesky(true).T
    grades = _grades(latents)
    if not class_balance:
        return grades
    even = 3 * norm.cdf(latents / _SPREAD)
    return np.where(rng.random(grades.shape) < class_balance, even, grades)


def draw_uncovered(studies: int, rng: np.random.Generator) -> np.ndarray:
    """Draw how many of the upper levels the axial series omits, (n,)."""
    return rng.choice(len(UNCOVERED), size=studies, p=UNCOVERED)


def draw_readings(grades: np.ndarray, uncovered: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw readers' severity codes (n, 25) int8; subarticular cells at uncovered levels are EMPTY."""
    return _labels(_latents(grades) + READER_NOISE * rng.standard_normal(grades.shape), uncovered)


def reading_probabilities(grades: np.ndarray) -> np.ndarray:
    """Return the probability (n, 25, 3) that readers write each class, given the true grades."""
    below = norm.cdf((THRESHOLDS - _latents(grades)[..., None]) / READER_NOISE)
    return np.diff(below, axis=-1, prepend=0.0, append=1.0)


def draw_labels(studies: int, *, seed: int) -> np.ndarray:
    """Draw readers' severity codes (n, 25) int8 with EMPTY, without images, as distributed in `draw_study`.

    The readings are a low-discrepancy sequence, so that rates over 2,000 studies vary little with the seed.
    """
    rng = np.random.default_rng(seed)
    sequence = MultivariateNormalQMC(np.zeros(len(CELLS)), correlation(), seed=rng)
    readings = sequence.random(1 << max(0, studies - 1).bit_length())[:studies]  # balanced at powers of two
    return _labels(readings, draw_uncovered(studies, rng))


def _labels(readings: np.ndarray, uncovered: np.ndarray) -> np.ndarray:
    """Convert readings to codes (n, 25), EMPTY where no axial slice covers a cell."""
    labels = (readings[..., None] > THRESHOLDS).sum(axis=-1).astype(np.int8)
    for index, cell in enumerate(CELLS):
        if cell.group == "subarticular":
            labels[uncovered > LEVELS.index(cell.level), index] = EMPTY
    return labels


_SPREAD = np.sqrt(1 - READER_NOISE**2)  # standard deviation of the anatomy's part of a reading
_EDGES = np.c_[np.zeros(len(CELLS)), norm.cdf(THRESHOLDS / _SPREAD), np.ones(len(CELLS))]  # (25, 4)


def _grades(latents: np.ndarray) -> np.ndarray:
    """Convert the anatomy's part of readings to grades (n, 25), uniform within each class."""
    quantile = norm.cdf(latents / _SPREAD)
    grades = [np.interp(quantile[:, cell], edges, range(4)) for cell, edges in enumerate(_EDGES)]
    return np.clip(np.stack(grades, axis=1), 1e-3, 3 - 1e-3)


def _latents(grades: np.ndarray) -> np.ndarray:
    """Invert `_grades`."""
    quantile = [np.interp(grades[:, cell], range(4), edges) for cell, edges in enumerate(_EDGES)]
    return _SPREAD * norm.ppf(np.stack(quantile, axis=1))
