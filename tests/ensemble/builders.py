"""Predictions for studies with known labels, of any quality and miscalibration."""

import numpy as np
import pandas as pd
from scipy.special import softmax

from kitlib.competition.submission import to_rows
from kitlib.terms import CELL_NAMES
from tests.models.builders import make_labels


def make_label_table(studies: int, *, seed: int = 0) -> pd.DataFrame:
    index = pd.Index(np.arange(studies) + 100, name="study_id")
    return pd.DataFrame(make_labels(studies, seed=seed), index=index, columns=list(CELL_NAMES))


def make_probabilities(
    labels: np.ndarray, *, skill: float = 2.0, sharpness: float = 1.0, seed: int = 0
) -> np.ndarray:
    """Noisy evidence for the truth (n, 25, 3); `sharpness` other than 1 is over- or under-confidence."""
    noise = np.random.default_rng(seed).normal(size=(*labels.shape, 3))
    evidence = skill * np.eye(3)[labels.clip(0)] + noise
    return softmax(sharpness * skill * evidence, axis=-1)


def make_table(labels: pd.DataFrame, **quality: float) -> pd.DataFrame:
    return to_rows(labels.index, make_probabilities(labels.to_numpy(), **quality))  # type: ignore[arg-type]
