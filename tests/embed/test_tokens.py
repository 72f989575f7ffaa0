import numpy as np
import pytest

from kitlib.embed.tokens import Tokens, in_half_precision


def make_tokens(count: int, width: int = 4, *, seed: int = 0) -> Tokens:
    rng = np.random.default_rng(seed)
    return Tokens(rng.normal(size=(count, width)).astype(np.float16), rng.normal(size=(count, 3)))


def test_vectors_are_a_copy_in_single_precision() -> None:
    tokens = make_tokens(3)
    vectors = tokens.vectors
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors, tokens.embeddings)
    vectors[:] = 0
    assert tokens.embeddings.all()


def test_some_slices_keep_their_positions() -> None:
    tokens = make_tokens(5)
    some = tokens[[4, 1]]
    assert (len(some), some.width) == (2, 4)
    assert np.array_equal(some.embeddings, tokens.embeddings[[4, 1]])
    assert np.array_equal(some.positions_mm, tokens.positions_mm[[4, 1]])


def test_series_are_joined_end_to_end() -> None:
    first, none, last = make_tokens(2), Tokens.none(4), make_tokens(3, seed=1)
    joined = Tokens.joined([first, none, last], 4)
    assert len(joined) == 5
    for part, rows in ((first, slice(0, 2)), (last, slice(2, 5))):
        assert np.array_equal(joined.vectors[rows], part.vectors)
        assert np.array_equal(joined.positions_mm[rows], part.positions_mm)
    assert Tokens.joined([first], 4) is first


def test_a_missing_sequence_has_no_rows_but_a_width() -> None:
    for missing in (Tokens.none(7), Tokens.joined([], 7)):
        assert (len(missing), missing.width) == (0, 7)
        assert missing.vectors.shape == (0, 7)
        assert missing.positions_mm.shape == (0, 3)


def test_half_precision_holds_what_is_too_large_for_it() -> None:
    stored = in_half_precision(np.array([1e9, -1e9, 0.5, 1 + 1e-6], np.float32))
    assert stored.dtype == np.float16
    assert np.isfinite(stored).all()
    assert stored.tolist() == pytest.approx([65504, -65504, 0.5, 1])
