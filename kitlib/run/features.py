"""Features of studies: from the store, or embedded again where a session has lost it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from kitlib.artefacts import fingerprint, load_json, load_table
from kitlib.competition.root import Competition
from kitlib.embed.backbone import Backbone, load_backbone
from kitlib.embed.engine import embed_series
from kitlib.embed.store import EmbeddingSpec, EmbeddingStore
from kitlib.errors import ArtefactError
from kitlib.predict.predictor import embedding_spec
from kitlib.prepare.tabular import study_metadata
from kitlib.prepare.volumes import VolumeCache
from kitlib.run.data import resolve_cache
from kitlib.run.profiles import Profile
from kitlib.run.settings import Settings

VOLUMES, STORE = Path("02_preprocessing", "volumes"), Path("03_embeddings", "store")
"""Where notebooks and grid keep prepared volumes and embeddings, under the folder of caches."""


def volume_cache(settings: Settings) -> VolumeCache:
    """The prepared volumes, those of them made that are not there.

    Nothing is to be made after 02_preprocessing, everything in a later Kaggle session: caches are not kept.
    """
    series = load_table(settings.need("02_preprocessing", "series.parquet"))
    return _built(resolve_cache(settings.work_dir), series, settings.profile)


def embedded_features(settings: Settings, study_ids: Iterable[int], grey: str) -> Features:
    """Features of some studies on slices of one grey option, as 03_embeddings described them.

    Embeddings that are not there are made again; ArtefactError where the weights have become others.
    """
    series = load_table(settings.need("02_preprocessing", "series.parquet"))
    metadata = load_table(settings.need("02_preprocessing", "metadata.parquet"))
    spec = embedding_spec(load_json(settings.need("03_embeddings", "embedding.json")), grey)
    store, cache = EmbeddingStore(resolve_cache(settings.work_dir) / STORE, spec), volume_cache(settings)
    keys: list[tuple[int, int]] = list(series[["study_id", "series_id"]].itertuples(index=False, name=None))
    if not all(store.is_current(*key, cache.fingerprint(*key)) for key in keys):
        profile = settings.profile
        backbone = load_backbone(spec.backbone, weights=profile.weights, attached_dir=profile.attached_dir)
        if EmbeddingSpec.of(backbone, grey) != spec:
            raise ArtefactError(
                f"the weights found, {backbone.source}, are not those of 03_embeddings",
                where=spec.folder_name,
                hint="Run 03_embeddings again, or give its weights by weights=...",
            )
        embed_series(store, backbone, cache, series, batch=profile.embed_batch)
    return store.features(study_ids, series, metadata)


@dataclass(frozen=True, eq=False)
class Described:
    """Features of all training studies, what they were made from in sixteen digits, and the weights used."""

    features: Features
    digest: str
    weights: str


@dataclass(frozen=True, eq=False)
class TrainingStudies:
    """The training studies of a competition without the notebooks: their tables and prepared volumes."""

    labels: pd.DataFrame
    series: pd.DataFrame
    metadata: pd.DataFrame
    volumes: VolumeCache
    store: Path

    @classmethod
    def prepared(cls, competition: Competition, profile: Profile, work: Path) -> "TrainingStudies":
        """Read what is not read yet, into the same folders as the notebooks do."""
        labels, series = competition.train_labels(), competition.series("train")
        volumes = _built(resolve_cache(work), series, profile)
        metadata = study_metadata(labels.index, series, volumes.stacks)
        return cls(labels, series, metadata, volumes, resolve_cache(work) / STORE)

    @cached_property
    def images(self) -> str:
        """What all of their images are, and what is said of them, in sixteen digits."""
        keys = self.series[["study_id", "series_id"]].itertuples(index=False, name=None)
        return fingerprint([self.volumes.fingerprint(*key) for key in keys], self.metadata.to_json())

    @property
    def unreadable(self) -> int:
        """How many studies have no series that could be read: of these, models know the absence alone."""
        keys = self.series[["study_id", "series_id"]].itertuples(index=False, name=None)
        seen = {study_id for study_id, series_id in keys if self.volumes.stacks(study_id, series_id)}
        return len(set(self.labels.index) - seen)

    def described(self, backbone: Backbone, grey: str, *, batch: int) -> Described:
        """Embed what is not embedded yet, and give the features of all labelled studies."""
        store = EmbeddingStore(self.store, EmbeddingSpec.of(backbone, grey))
        embed_series(store, backbone, self.volumes, self.series, batch=batch)
        digest = fingerprint(store.spec.folder_name, self.images)
        features = store.features(self.labels.index, self.series, self.metadata)
        return Described(features, digest, f"{backbone.name}: {backbone.source.label}")


def _built(caches: Path, series: pd.DataFrame, profile: Profile) -> VolumeCache:
    cache = VolumeCache(caches / VOLUMES, longest_px=profile.longest_px)
    cache.build(series, workers=profile.workers)
    return cache
