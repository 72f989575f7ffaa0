import dataclasses

import numpy as np
import pytest

from kitlib.embed.tokens import Tokens
from kitlib.errors import ModelError
from kitlib.inputs.bags import BagDataset, embedding_width
from kitlib.terms import SEQUENCES
from tests.models.builders import make_features, make_labels


@pytest.fixture
def data() -> BagDataset:
    features = make_features(make_labels(5), missing={SEQUENCES[1]: [3]})
    return BagDataset(features.study_ids, features.tokens)


def test_studies_are_taken_in_the_order_asked_for(data: BagDataset) -> None:
    some = data.take([4, 0])
    assert some.study_ids.tolist() == data.study_ids[[4, 0]].tolist()
    for name in SEQUENCES:
        assert some.tokens[name][0] is data.tokens[name][4]
        assert some.tokens[name][1] is data.tokens[name][0]
    assert len(data.take(data.study_ids > data.study_ids[2])) == 2


def test_what_is_removed_is_absent_and_nothing_else_changes(data: BagDataset) -> None:
    assert not data.present[3, 1]
    removed = np.zeros((5, 3), bool)
    removed[0, 2] = removed[3, 1] = True
    left = data.without(removed)
    assert (left.present == (data.present & ~removed)).all()
    assert left.tokens[SEQUENCES[2]][1].vectors.any()
    assert len(data.tokens[SEQUENCES[2]][0]) == 15


def test_parts_share_out_all_slices_of_a_study(data: BagDataset) -> None:
    parts = data.parts(3)
    assert parts.study_ids.tolist() == np.repeat(data.study_ids, 3).tolist()
    for name in SEQUENCES:
        for row, bag in enumerate(data.tokens[name]):
            shares = parts.tokens[name][3 * row : 3 * row + 3]
            dealt = np.concatenate([share.positions_mm for share in shares])
            assert sorted(map(tuple, dealt)) == sorted(map(tuple, bag.positions_mm))


@pytest.mark.parametrize("change", ["ids", "embedding", "position", "order"])
def test_the_fingerprint_changes_with_whatever_is_read(data: BagDataset, change: str) -> None:
    bag = data.tokens[SEQUENCES[0]][1]
    other = data.renumbered(data.study_ids + (change == "ids"))
    if change == "order":
        other = data.take([1, 0, 2, 3, 4])
    elif change != "ids":
        vectors, positions_mm = bag.vectors, bag.positions_mm.copy()
        (vectors if change == "embedding" else positions_mm)[0, 0] += 1
        bags = [*data.tokens[SEQUENCES[0]]]
        bags[1] = Tokens(vectors, positions_mm)
        other = dataclasses.replace(data, tokens={**data.tokens, SEQUENCES[0]: bags})
    assert other.fingerprint != data.fingerprint
    assert data.take(slice(None)).fingerprint == data.fingerprint


def test_embeddings_that_are_not_finite_are_refused_by_study(data: BagDataset) -> None:
    data.check()
    assert data.take([2]).__dict__["_is_checked"]  # and not read again
    broken = BagDataset(data.study_ids, make_features(make_labels(5)).tokens)
    broken.tokens[SEQUENCES[2]][4].embeddings[0, 0] = np.nan
    with pytest.raises(ModelError, match=f"study {data.study_ids[4]}, {SEQUENCES[2]}"):
        broken.check()


def test_all_embeddings_have_one_width(data: BagDataset) -> None:
    assert embedding_width(data) == embedding_width(data, 16) == 16
    assert embedding_width(data.without(np.ones((5, 3), bool))) == 1
    with pytest.raises(ModelError, match=r"width \[16\] where 8 was expected"):
        embedding_width(data, 8)
