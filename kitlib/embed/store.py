"""The store of embeddings: per series one half-precision array on disk, kept apart for all that shapes it."""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kitlib.artefacts import (
    Provenance,
    facts_of,
    fingerprint,
    is_complete,
    load_array,
    save_array,
    write_text,
)
from kitlib.embed.base import Backbone
from kitlib.embed.features import Features, Tokens, stored
from kitlib.terms import SEQUENCES


@dataclass(frozen=True)
class EmbeddingSpec:
    """All that shapes an embedding beside the slice: vectors of different specs never share a folder."""

    backbone: str
    weights: str  # sha256 of the weights file, or "random" or "none"
    input_px: int
    view: str
    grey: str
    width: int  # d

    @classmethod
    def of(cls, backbone: Backbone, grey: str = "greyscale") -> "EmbeddingSpec":
        """The spec of a loaded backbone on slices of one grey option."""
        weights = backbone.source.sha256 or backbone.source.kind
        return cls(backbone.name, weights, backbone.input_px, backbone.view, grey, backbone.width)

    @property
    def folder_name(self) -> str:
        """Readable in front, unique at the end."""
        name = self.backbone.replace("/", "_")
        return f"{name}-{self.input_px}px-{self.view}-{self.grey}-{fingerprint(dataclasses.asdict(self))[:8]}"


class EmbeddingStore:
    """Embeddings of one spec in `<root>/<spec>/<study_id>/<series_id>.npy` (n_tokens, d), memory-mapped."""

    def __init__(self, root: Path, spec: EmbeddingSpec) -> None:
        self.spec, self.folder = spec, Path(root) / spec.folder_name
        if not (self.folder / "spec.json").exists():
            write_text(self.folder / "spec.json", json.dumps(dataclasses.asdict(spec), indent=1) + "\n")

    def is_current(self, study_id: int, series_id: int, volume: str) -> bool:
        """Whether the series is there, made from the prepared volume with this fingerprint."""
        path = self._path(study_id, series_id)
        return is_complete(path) and facts_of(path)["volume"] == volume

    def add(
        self, study_id: int, series_id: int, vectors: np.ndarray, places_mm: np.ndarray, volume: str
    ) -> None:
        """Store the vectors (n, d) and places (n, 3) of all tokens of a series; n may be 0."""
        facts = {"volume": volume, "places_mm": np.asarray(places_mm).tolist()}
        provenance = Provenance(dataclasses.asdict(self.spec), {"volume": volume})
        save_array(self._path(study_id, series_id), stored(vectors), provenance, **facts)

    def series_tokens(self, study_id: int, series_id: int) -> Tokens:
        """The tokens of one series; ArtefactError where it was not embedded."""
        path = self._path(study_id, series_id)
        places_mm = np.asarray(facts_of(path)["places_mm"], np.float64).reshape(-1, 3)
        if not len(places_mm):
            return Tokens.none(self.spec.width)  # an empty file cannot be mapped
        return Tokens(load_array(path, mmap=True), places_mm)

    def features(self, study_ids: Iterable[int], series: pd.DataFrame, metadata: pd.DataFrame) -> Features:
        """Features of these studies: their `series` (study_id, series_id, sequence) joined by sequence."""
        study_ids = np.asarray(list(study_ids), np.int64)
        wanted = series.groupby(["study_id", "sequence"])["series_id"].apply(list).to_dict()
        tokens = {
            sequence: [self._tokens(study_id, wanted.get((study_id, sequence), [])) for study_id in study_ids]
            for sequence in SEQUENCES
        }
        return Features(study_ids, tokens, metadata.reindex(study_ids))

    def _tokens(self, study_id: int, series_ids: list[int]) -> Tokens:
        return Tokens.joined([self.series_tokens(study_id, one) for one in series_ids], self.spec.width)

    def _path(self, study_id: int, series_id: int) -> Path:
        return self.folder / str(int(study_id)) / f"{int(series_id)}.npy"
