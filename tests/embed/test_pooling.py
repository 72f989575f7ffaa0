import numpy as np

from kitlib.embed.pooling import average_pool, pool_sequences
from kitlib.embed.tokens import Tokens
from kitlib.terms import SEQUENCES


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
