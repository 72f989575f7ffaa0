"""The errors of guessed embeddings, beside those of the training mean; `evaluate.missing` sums them up."""

import numpy as np
import pandas as pd

from kitlib.terms import SEQUENCES

ERROR_COLUMNS = ("study_id", "sequence", "error", "mean_error", "variation", "cosine", "mean_cosine")
"""Of a guess: squared errors, its own and the mean's; squared distance to the judged studies' mean."""


def reconstruction_errors(
    study_ids: np.ndarray,
    embeddings: np.ndarray,
    guesses: np.ndarray,
    means: np.ndarray,
    present: np.ndarray,
    removed: np.ndarray,
) -> pd.DataFrame:
    """ERROR_COLUMNS of each sequence that is present and was removed (n, 3).

    Embeddings and guesses are (n, 3, width), means, the training studies', (3, width).
    """
    tables = []
    for sequence, name in enumerate(SEQUENCES):
        known = embeddings[present[:, sequence], sequence].astype(np.float64)
        rows = np.flatnonzero(present[:, sequence] & removed[:, sequence])
        truth = embeddings[rows, sequence].astype(np.float64)
        guess, mean = guesses[rows, sequence], np.broadcast_to(means[sequence], truth.shape)
        own_mean = known.mean(axis=0) if len(known) else 0.0
        columns = {
            "study_id": study_ids[rows],
            "sequence": name,
            "error": _squares(truth - guess),
            "mean_error": _squares(truth - mean),
            "variation": _squares(truth - own_mean),
            "cosine": _cosine(truth, guess),
            "mean_cosine": _cosine(truth, mean),
        }
        tables.append(pd.DataFrame(columns, columns=list(ERROR_COLUMNS)))
    return pd.concat(tables, ignore_index=True)


def _squares(vectors: np.ndarray) -> np.ndarray:
    return np.square(vectors).sum(axis=1)


def _cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosines of rows; a row of zeros points nowhere, and its cosine is 0."""
    lengths = np.sqrt(_squares(first) * _squares(second))
    return (first * second).sum(axis=1) / np.where(lengths > 0, lengths, 1.0)
