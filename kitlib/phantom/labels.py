"""Severities of the 25 cells of a study, with the prevalence and the correlations of the real table."""

import numpy as np
from scipy.stats import norm

from kitlib.terms import CELLS, EMPTY, LEVELS

# Normal, moderate and severe counts by level in the competition's training table (facts.md, 2).
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

# What conditions share at one level, fitted to the polychoric correlations of the competition's training
# table (root mean square of what is left: .09); neighbouring levels share LEVEL_CORRELATION of it.
_SPINAL = (0.73, 0.49, 0.49, 0.68, 0.68)
SHARED = np.array(
    [
        _SPINAL,
        (0.49, 0.76, 0.54, 0.55, 0.52),
        (0.49, 0.54, 0.76, 0.52, 0.55),
        (0.68, 0.55, 0.52, 0.81, 0.66),
        (0.68, 0.52, 0.55, 0.66, 0.81),
    ]
)
LEVEL_CORRELATION = 0.76

UNCOVERED = np.array([0.92, 0.04, 0.04])
"""Chance that the axial series leaves out no level, L1/L2, or L1/L2 and L2/L3."""


def correlation() -> np.ndarray:
    """Correlation (25, 25) of the latent degeneration of the cells; what is not shared is the cell's own."""
    distance = np.abs(np.subtract.outer(np.arange(len(LEVELS)), np.arange(len(LEVELS))))
    matrix = np.kron(SHARED, LEVEL_CORRELATION**distance)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def draw_grades(studies: int, rng: np.random.Generator, *, evenness: float = 0.0) -> np.ndarray:
    """Continuous severities (n, 25) in [0, 3): the whole part is the code, the rest how far it has gone.

    `evenness` is the share of cells that are drawn evenly from [0, 3) instead, each for itself: a network
    that is to learn what a narrowing looks like needs more of them than nature has.
    """
    latent = rng.standard_normal((studies, len(CELLS))) @ np.linalg.cholesky(correlation()).T
    quantile = norm.cdf(latent)
    upper = PREVALENCE.cumsum(axis=1)[:, :2]
    lower = np.c_[np.zeros(len(CELLS)), upper]
    code = (quantile[..., None] > upper).sum(axis=-1)
    start = np.take_along_axis(lower.T, code, axis=0)
    width = np.take_along_axis(PREVALENCE.T, code, axis=0)
    grades = code + np.clip((quantile - start) / width, 0.0, 0.999)
    if not evenness:
        return grades
    return np.where(rng.random(grades.shape) < evenness, rng.uniform(0, 3, grades.shape), grades)


def draw_uncovered(studies: int, rng: np.random.Generator) -> np.ndarray:
    """How many of the upper levels the axial series leaves out, (n,)."""
    return rng.choice(len(UNCOVERED), size=studies, p=UNCOVERED)


def to_labels(grades: np.ndarray, uncovered: np.ndarray) -> np.ndarray:
    """Severity codes (n, 25) int8 of continuous grades; subarticular cells at uncovered levels are EMPTY."""
    labels = np.floor(grades).astype(np.int8)
    for index, cell in enumerate(CELLS):
        if cell.group == "subarticular":
            labels[uncovered > LEVELS.index(cell.level), index] = EMPTY
    return labels


def draw_labels(studies: int, *, seed: int) -> np.ndarray:
    """Severity codes (n, 25) int8 with EMPTY, without images, under the same law as `draw_study`."""
    rng = np.random.default_rng(seed)
    return to_labels(draw_grades(studies, rng), draw_uncovered(studies, rng))
