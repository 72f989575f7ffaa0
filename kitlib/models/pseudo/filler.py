"""Imputes the view features of missing sequences, level by level, from the sequences present."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch

from kitlib.artefacts import Provenance, load_array, save_array
from kitlib.grade.fusion import Sight
from kitlib.grade.network import ViewNet
from kitlib.machine import device
from kitlib.models.pseudo.imputers import ModalityImputer
from kitlib.prepare.views import SLOTS, VIEWS, slot2sequence, slot2view
from kitlib.terms import CELLS, LEVELS, SEQUENCES

USUAL_FILE = "usual_views.npy"
VIEWS_A_LEVEL = 3
"""The most views that one sequence has of a level: the canal, and one place on either side."""


def _slots_of_levels() -> np.ndarray:
    """The slots of each level and sequence (5, 3, VIEWS_A_LEVEL), padded with len(SLOTS)."""
    slots = np.full((len(LEVELS), len(SEQUENCES), VIEWS_A_LEVEL), len(SLOTS))
    for level, name in enumerate(LEVELS):
        at_level = np.array([CELLS[slot.cell].level == name for slot in SLOTS])
        for sequence in range(len(SEQUENCES)):
            found = np.flatnonzero(at_level & (slot2sequence == sequence))
            slots[level, sequence, : len(found)] = found
    return slots


level2slots = _slots_of_levels()


def by_level(vectors: np.ndarray) -> np.ndarray:
    """Views (n, 40, width) as a row per level, joined by sequence: (5 n, 3, VIEWS_A_LEVEL * width)."""
    none = np.zeros_like(vectors[:, :1])
    rows = np.concatenate([vectors, none], axis=1)[:, level2slots]
    return rows.reshape(len(vectors) * len(LEVELS), len(SEQUENCES), -1)


def by_slot(rows: np.ndarray) -> np.ndarray:
    """Invert `by_level`."""
    studies = len(rows) // len(LEVELS)
    vectors = np.zeros((studies, len(SLOTS) + 1, rows.shape[2] // VIEWS_A_LEVEL), rows.dtype)
    vectors[:, level2slots] = rows.reshape(studies, *level2slots.shape, -1)
    return vectors[:, : len(SLOTS)]


def present_by_level(shown: np.ndarray) -> np.ndarray:
    """Return whether all views of a level are shown (n, 40), by sequence: (5 n, 3)."""
    none = np.ones_like(shown[:, :1])
    return np.concatenate([shown, none], axis=1)[:, level2slots].all(-1).reshape(-1, len(SEQUENCES))


@dataclass(frozen=True, eq=False)
class ViewFiller:
    """An imputer of the views of a level, applied to their difference from the level's mean."""

    imputer: ModalityImputer
    usual: np.ndarray  # (5, 3, VIEWS_A_LEVEL * width)

    @classmethod
    def fit(cls, imputer: ModalityImputer, sight: Sight, seed: int) -> Self:
        """Fit on the view features of training studies."""
        rows, present = by_level(sight.vectors.numpy()), present_by_level(sight.shown.numpy())
        by_study = len(sight.vectors), *level2slots.shape[:2], -1
        counts = present.reshape(by_study).sum(axis=0)
        sums = (rows * present[..., None]).reshape(by_study).sum(axis=0)
        filler = cls(imputer, sums / counts.clip(min=1))
        imputer.fit(filler.seen(sight), present, seed)
        return filler

    def seen(self, sight: Sight) -> np.ndarray:
        """Rows by level, with the level's mean subtracted."""
        rows = by_level(sight.vectors.numpy())
        return rows - np.tile(self.usual, (len(sight.vectors), 1, 1))

    def filled(self, sight: Sight, views: ViewNet) -> Sight:
        """Return features with all views shown: the present ones unchanged, the others imputed."""
        guessed = self.imputer.impute(self.seen(sight), present_by_level(sight.shown.numpy()))
        rows = guessed + np.tile(self.usual, (len(sight.vectors), 1, 1))
        guesses = torch.from_numpy(by_slot(rows)).float()
        there = sight.shown[..., None]
        with torch.inference_mode():
            heads = views.heads(guesses.to(device())).cpu().unflatten(-1, (len(VIEWS), -1))
        predictions = heads[:, torch.arange(len(SLOTS)), torch.from_numpy(slot2view)]
        return Sight(
            torch.where(there, sight.vectors, guesses),
            torch.where(there, sight.predictions, predictions),
            torch.ones_like(sight.shown),
        )

    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save into a folder."""
        self.imputer.save(folder, provenance)
        save_array(folder / USUAL_FILE, self.usual, provenance)

    @classmethod
    def load(cls, folder: Path, imputer: ModalityImputer) -> Self:
        """Load what `save` wrote; `imputer` must be built with the same parameters."""
        return cls(imputer.load(folder), load_array(folder / USUAL_FILE))
