import numpy as np
import pandas as pd
import pytest

from kitlib.artefacts import Provenance, save_array
from kitlib.embed.store import TokenStore
from kitlib.embed.tokens import Tokens
from kitlib.errors import ArtefactError
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2

WIDTH = 4


def make_tokens(count: int, seed: int) -> Tokens:
    rng = np.random.default_rng(seed)
    return Tokens(rng.normal(size=(count, WIDTH)).astype(np.float16), rng.normal(size=(count, 3)))


@pytest.fixture
def store(tmp_path) -> TokenStore:
    return TokenStore(tmp_path / "store", {"backbone": "any"}, WIDTH)


def test_what_is_stored_comes_back_to_the_bit_and_without_being_read_whole(store: TokenStore) -> None:
    tokens = make_tokens(5, 0)
    store.add(1, 10, tokens, "volume")
    found = store.series_tokens(1, 10)
    assert isinstance(found.embeddings, np.memmap)
    assert np.array_equal(found.embeddings, tokens.embeddings)
    assert np.array_equal(found.positions_mm, tokens.positions_mm)


def test_a_series_without_slices_is_stored_too(store: TokenStore) -> None:
    store.add(1, 10, Tokens.none(WIDTH), "volume")
    assert store.is_current(1, 10, "volume")
    assert store.series_tokens(1, 10).vectors.shape == (0, WIDTH)


def test_tokens_of_another_volume_are_not_current(store: TokenStore) -> None:
    assert not store.is_current(1, 10, "volume")
    store.add(1, 10, make_tokens(2, 0), "volume")
    assert store.is_current(1, 10, "volume")
    assert not store.is_current(1, 10, "another")
    assert not store.is_current(1, 11, "volume")


def test_tokens_of_another_recipe_are_not_current_and_are_made_again_in_their_place(tmp_path) -> None:
    before, after = (TokenStore(tmp_path, {"backbone": "any", "code": code}, WIDTH) for code in ("1", "2"))
    before.add(1, 10, make_tokens(2, 0), "volume")
    assert not after.is_current(1, 10, "volume")
    after.add(1, 10, make_tokens(3, 0), "volume")
    assert after.is_current(1, 10, "volume")
    assert not before.is_current(1, 10, "volume")
    assert '"code": "2"' in (tmp_path / "recipe.json").read_text()
    assert len(list((tmp_path / "1").glob("*.npy"))) == 1


def test_tokens_of_before_that_do_not_say_their_state_are_made_again(store: TokenStore) -> None:
    old, facts = make_tokens(2, 0), {"volume": "volume", "positions_mm": [[0.0, 0.0, 0.0]] * 2}
    save_array(store.folder / "1" / "10.npy", old.embeddings, Provenance(), **facts)
    assert not store.is_current(1, 10, "volume")
    store.add(1, 10, make_tokens(3, 0), "volume")
    assert store.is_current(1, 10, "volume")


def test_what_was_never_embedded_is_an_error(store: TokenStore) -> None:
    with pytest.raises(ArtefactError):
        store.series_tokens(1, 10)


def test_a_study_has_its_series_of_a_sequence_joined_in_the_order_of_the_table(store: TokenStore) -> None:
    series = pd.DataFrame(
        [(1, 10, SAGITTAL_T1), (1, 12, AXIAL_T2), (1, 11, AXIAL_T2), (2, 20, SAGITTAL_T1)],
        columns=["study_id", "series_id", "sequence"],
    )
    stored = {row.series_id: make_tokens(row.series_id % 7 + 1, row.series_id) for row in series.itertuples()}
    for row in series.itertuples():
        store.add(row.study_id, row.series_id, stored[row.series_id], "volume")
    bags = store.bags([2, 1, 3], series)
    assert {sequence: [len(tokens) for tokens in found] for sequence, found in bags.items()} == {
        SAGITTAL_T1: [len(stored[20]), len(stored[10]), 0],
        SAGITTAL_T2: [0, 0, 0],
        AXIAL_T2: [0, len(stored[12]) + len(stored[11]), 0],
    }
    both = np.concatenate([stored[12].vectors, stored[11].vectors])
    assert np.array_equal(bags[AXIAL_T2][1].vectors, both)
