"""Features of studies for the notebooks: from the store, or embedded again where a session has lost it."""

from collections.abc import Iterable

from kitlib.artefacts import load_json, load_table
from kitlib.embed.backbone import load_backbone
from kitlib.embed.engine import embed_series
from kitlib.embed.features import Features
from kitlib.embed.store import EmbeddingSpec, EmbeddingStore
from kitlib.errors import ArtefactError
from kitlib.prepare.volumes import VolumeCache
from kitlib.run.predictor import embedding_spec
from kitlib.run.settings import Settings


def volume_cache(settings: Settings) -> VolumeCache:
    """The prepared volumes, those of them made that are not there.

    Nothing is to be made after 02_preprocessing, everything in a later Kaggle session: caches are not kept.
    """
    folder = settings.cache("02_preprocessing") / "volumes"
    cache = VolumeCache(folder, longest_px=settings.profile.longest_px)
    series = load_table(settings.need("02_preprocessing", "series.parquet"))
    cache.build(series, workers=settings.profile.workers)
    return cache


def embedded_features(settings: Settings, study_ids: Iterable[int], grey: str) -> Features:
    """Features of some studies on slices of one grey option, as 03_embeddings described them.

    Embeddings that are not there are made again; ArtefactError where the weights have become others.
    """
    series = load_table(settings.need("02_preprocessing", "series.parquet"))
    metadata = load_table(settings.need("02_preprocessing", "metadata.parquet"))
    spec = embedding_spec(load_json(settings.need("03_embeddings", "embedding.json")), grey)
    store, cache = EmbeddingStore(settings.cache("03_embeddings") / "store", spec), volume_cache(settings)
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
