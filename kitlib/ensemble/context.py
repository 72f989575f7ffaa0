"""Features of a stack: every model's log odds for a cell and for the places next to it."""

from collections.abc import Iterable

import numpy as np

from kitlib.terms import CONDITIONS, LEVELS

LEAST_CHANCE = 1e-4
"""Bounds log odds to 9.2: beyond that, models differ in confidence and not in what they saw."""


def context_rows(candidates: Iterable[np.ndarray]) -> np.ndarray:
    """Features (n, 25, columns) from probabilities (n, 25, 3): ten log odds per model, then a one-hot level.

    Severity is ordered, so a place has two log odds: of Moderate or worse, and of Severe. Five places at the
    cell's level are read. For a foramen or recess: itself, its other side, the canal, and the other of the
    two on this side and the other side. For the canal: itself, and the worse and better side of each pair.
    """
    columns = [_beside(_log_odds(one)) for one in candidates]
    level = np.tile(np.eye(len(LEVELS)), (len(CONDITIONS), 1))  # (25, 5)
    return np.concatenate([*columns, np.broadcast_to(level, (len(columns[0]), *level.shape))], axis=-1)


def _log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Log odds (n, 25, 2) of probabilities (n, 25, 3) whose rows sum to 1."""
    above = np.stack([1 - probabilities[..., 0], probabilities[..., 2]], axis=-1)
    above = above.clip(LEAST_CHANCE, 1 - LEAST_CHANCE)
    return np.log(above / (1 - above))


def _beside(log_odds: np.ndarray) -> np.ndarray:
    """Log odds (n, 25, 10) of the five places that are read for each cell."""
    by_condition = log_odds.reshape(len(log_odds), len(CONDITIONS), len(LEVELS), 2)
    canal, *sided = by_condition.swapaxes(0, 1)  # (n, levels, 2) each, in the order of CONDITIONS
    left_foramen, right_foramen, left_recess, right_recess = sided
    pairs = (left_foramen, right_foramen), (left_recess, right_recess)
    of_canal = [extreme(*pair) for pair in pairs for extreme in (np.maximum, np.minimum)]
    places = (
        (canal, *of_canal),
        (left_foramen, right_foramen, canal, left_recess, right_recess),
        (right_foramen, left_foramen, canal, right_recess, left_recess),
        (left_recess, right_recess, canal, left_foramen, right_foramen),
        (right_recess, left_recess, canal, right_foramen, left_foramen),
    )
    return np.concatenate([np.concatenate(one, axis=-1) for one in places], axis=1)
