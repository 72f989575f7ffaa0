"""The backbone without a network gives the slice itself."""

from pathlib import Path

import numpy as np
import pytest

from kitlib.embed.backbone import load_backbone
from kitlib.embed.engine import embed_series
from kitlib.embed.features import study_tokens
from kitlib.embed.store import EmbeddingSpec, EmbeddingStore
from kitlib.embed.view import stack_images
from kitlib.errors import UsageError
from kitlib.prepare.volumes import prepare
from tests.embed.builders import make_cache
from tests.prepare.builders import make_series, make_stack


def test_a_token_is_the_slice_row_by_row() -> None:
    backbone = load_backbone("pixels_24")
    (stack,) = prepare([make_stack(shape=(3, 48, 30))], 48)
    tokens = study_tokens(backbone, [stack])
    assert (backbone.width, backbone.source.kind, backbone.source.label) == (576, "none", "no weights")
    assert tokens.vectors.reshape(3, 24, 24) == pytest.approx(
        stack_images(stack, 24, view="middle") / 255, abs=1e-3
    )
    assert np.array_equal(tokens.places_mm, stack.centres_mm)
    assert study_tokens(backbone, []).vectors.shape == (0, 576)


def test_pixels_are_stored_like_any_embedding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series, backbone = make_series(1), load_backbone("pixels_16", view="middle")
    stacks = {10: [make_stack()], 12: [make_stack("axial"), make_stack("axial", (2, 30, 30))]}
    cache = make_cache(tmp_path / "volumes", series, stacks, monkeypatch)
    store = EmbeddingStore(tmp_path / "store", EmbeddingSpec.of(backbone))
    embed_series(store, backbone, cache, series)
    assert store.spec.weights == "none"
    for series_id, count in ((10, 5), (11, 0), (12, 7)):
        stored = store.series_tokens(1, series_id)
        assert stored.vectors.shape == (count, 256)
        assert np.array_equal(stored.vectors, study_tokens(backbone, cache.stacks(1, series_id)).vectors)


@pytest.mark.parametrize("name", ["pixels_0", "pixels_", "pixels_-3", "pixels_9999", "pixels_2.5"])
def test_other_sides_are_no_backbone(name: str) -> None:
    with pytest.raises(UsageError, match="unknown backbone"):
        load_backbone(name)
