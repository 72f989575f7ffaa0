"""A store of tokens: one array on disk per series, recomputed when the series' volume changes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance, facts_of, fingerprint, load_array, save_array, write_text
from kitlib.embed.tokens import Tokens
from kitlib.prepare.volumes import VolumeCache, is_current
from kitlib.terms import SEQUENCES


class TokenStore:
    """Tokens of one kind in `<folder>/<study_id>/<series_id>.npy` (n_tokens, d), opened memory-mapped.

    `recipe` is everything that shapes them, including the code: tokens of another recipe are recomputed.
    """

    def __init__(self, folder: Path, recipe: Mapping[str, Any], width: int) -> None:
        self.folder, self.recipe, self.width = Path(folder), dict(recipe), width
        described, file = json.dumps(self.recipe, indent=1) + "\n", self.folder / "recipe.json"
        if not file.exists() or file.read_text(encoding="utf-8") != described:
            write_text(file, described)

    def is_current(self, study_id: int, series_id: int, volume: str) -> bool:
        """Return whether the series was stored with this recipe from the volume with this fingerprint."""
        return is_current(self._path(study_id, series_id), self._state(volume))

    def outdated(self, volumes: VolumeCache, keys: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the series (study_id, series_id) that are missing or were made from an older volume."""
        return [key for key in keys if not self.is_current(*key, volumes.fingerprint(*key))]

    def add(self, study_id: int, series_id: int, tokens: Tokens, volume: str) -> None:
        """Store the tokens of a series, which may be empty."""
        facts = {"state": self._state(volume), "positions_mm": tokens.positions_mm.tolist()}
        provenance = Provenance(self.recipe, {"volume": volume})
        save_array(self._path(study_id, series_id), tokens.embeddings, provenance, **facts)

    def series_tokens(self, study_id: int, series_id: int) -> Tokens:
        """Open the tokens of one series. Raises ArtefactError if it was not embedded."""
        path = self._path(study_id, series_id)
        positions_mm = np.asarray(facts_of(path)["positions_mm"], np.float64).reshape(-1, 3)
        if not len(positions_mm):
            return Tokens.none(self.width)  # an empty file cannot be memory-mapped
        return Tokens(load_array(path, mmap=True), positions_mm)

    def bags(self, study_ids: Iterable[int], series: pd.DataFrame) -> dict[str, list[Tokens]]:
        """Join the tokens of each study's `series` (study_id, series_id, sequence), by sequence."""
        wanted = series.groupby(["study_id", "sequence"])["series_id"].apply(list).to_dict()

        def bag(study_id: int, sequence: str) -> Tokens:
            series_ids = wanted.get((study_id, sequence), [])
            return Tokens.joined([self.series_tokens(study_id, one) for one in series_ids], self.width)

        return {sequence: [bag(study_id, sequence) for study_id in study_ids] for sequence in SEQUENCES}

    def _state(self, volume: str) -> str:
        return fingerprint(self.recipe, volume)

    def _path(self, study_id: int, series_id: int) -> Path:
        return self.folder / str(int(study_id)) / f"{int(series_id)}.npy"
