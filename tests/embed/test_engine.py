from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.embed.backbone import load_backbone
from kitlib.embed.engine import embed_series, study_tokens
from kitlib.embed.slices import Backbone
from kitlib.embed.store import TokenStore
from kitlib.errors import ArtefactError
from kitlib.prepare.volumes import VolumeCache
from tests.embed.builders import make_cache
from tests.prepare.builders import make_series, make_stack

SERIES2STACKS = {
    10: [make_stack(seed=1)],
    11: [make_stack(shape=(3, 60, 20), seed=2)],
    12: [make_stack("axial", seed=3), make_stack("axial", (2, 30, 30), seed=4)],
    20: [make_stack(shape=(7, 40, 40), seed=5)],
    21: [make_stack(seed=6)],
}  # and 22, an axial series with nothing readable


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("test_resnet", weights="random", input_px=32)


@pytest.fixture
def series() -> pd.DataFrame:
    return make_series(2)


@pytest.fixture
def cache(tmp_path: Path, series: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> VolumeCache:
    return make_cache(tmp_path / "volumes", series, SERIES2STACKS, monkeypatch)


@pytest.fixture
def store(tmp_path: Path, backbone: Backbone) -> TokenStore:
    return TokenStore(tmp_path / "store", {}, backbone.width)


def keys_of(series: pd.DataFrame) -> list[tuple[int, int]]:
    return list(series[["study_id", "series_id"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("batch", [1, 4, 500])
def test_stored_embeddings_are_those_of_streaming(
    store: TokenStore, backbone: Backbone, cache: VolumeCache, series: pd.DataFrame, batch: int
) -> None:
    embed_series(store, backbone, cache, keys_of(series), batch=batch)
    for study_id, series_id in series[["study_id", "series_id"]].itertuples(index=False):
        stored = store.series_tokens(study_id, series_id)
        streamed = study_tokens(backbone, cache.stacks(study_id, series_id))
        assert np.array_equal(stored.positions_mm, streamed.positions_mm)
        assert stored.vectors.shape == streamed.vectors.shape
        assert np.allclose(stored.vectors, streamed.vectors, atol=0.02)


def test_an_embedded_series_is_not_embedded_again(
    store: TokenStore,
    backbone: Backbone,
    cache: VolumeCache,
    series: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embed_series(store, backbone, cache, keys_of(series)[:3])
    seen: list[int] = []
    monkeypatch.setattr(
        cache, "stacks", lambda study, one: seen.append(one) or VolumeCache.stacks(cache, study, one)
    )
    embed_series(store, backbone, cache, keys_of(series))
    assert seen == [20, 21, 22]


def test_a_series_that_was_prepared_anew_is_embedded_anew(
    store: TokenStore,
    backbone: Backbone,
    cache: VolumeCache,
    series: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embed_series(store, backbone, cache, keys_of(series))
    before = store.series_tokens(1, 10).vectors.copy()
    cache = make_cache(cache.folder / "new", series, {10: [make_stack(seed=9)]}, monkeypatch)
    embed_series(store, backbone, cache, keys_of(series))
    assert not np.allclose(store.series_tokens(1, 10).vectors, before, atol=1e-3)


def test_an_interrupted_run_keeps_what_it_has_and_goes_on(
    store: TokenStore,
    backbone: Backbone,
    cache: VolumeCache,
    series: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            cache, "stacks", lambda study, one: 1 / 0 if one == 21 else VolumeCache.stacks(cache, study, one)
        )
        with pytest.raises(ZeroDivisionError):
            embed_series(store, backbone, cache, keys_of(series), batch=1)
    assert len(store.series_tokens(1, 10)) == 5
    with pytest.raises(ArtefactError):
        store.series_tokens(2, 21)
    embed_series(store, backbone, cache, keys_of(series))
    assert len(store.series_tokens(2, 21)) == 5
