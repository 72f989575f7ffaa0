import numpy as np
import pytest

from kitlib.embed.tokens import Tokens, average_pool, in_half_precision, pool_sequences
from kitlib.terms import SEQUENCES


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


def make_bag(*values: float, width: int = 3) -> Tokens:
    vectors = np.repeat(np.array(values, np.float32).reshape(-1, 1), width, axis=1)
    return Tokens(vectors, np.zeros((len(values), 3)))


def test_a_study_is_the_mean_of_its_slices_and_zero_without() -> None:
    pooled = average_pool([make_bag(1, 2, 6), make_bag(), make_bag(-4)])
    assert pooled.dtype == np.float32
    assert pooled.tolist() == [[3] * 3, [0] * 3, [-4] * 3]


def test_no_studies_give_no_rows() -> None:
    assert average_pool([]).shape == (0, 0)


def test_sequences_lie_side_by_side_in_their_order() -> None:
    tokens = {name: [make_bag(column), make_bag(10 + column)] for column, name in enumerate(SEQUENCES)}
    backwards = dict(reversed(tokens.items()))
    expected = [[0] * 3 + [1] * 3 + [2] * 3, [10] * 3 + [11] * 3 + [12] * 3]
    assert pool_sequences(tokens).tolist() == pool_sequences(backwards).tolist() == expected
