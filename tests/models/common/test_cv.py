import numpy as np
import pytest

from kitlib.models.common.cv import dealt, inner_splits
from kitlib.terms import CELLS, EMPTY

LABELS = np.random.default_rng(0).choice([EMPTY, 0, 1, 2], p=(0.05, 0.7, 0.15, 0.1), size=(48, len(CELLS)))
DISEASE = LABELS.clip(min=0).sum(axis=1)


@pytest.mark.parametrize(("studies", "parts"), [(48, 4), (47, 4), (5, 5), (3, 5), (2, 2)])
def test_every_study_is_held_out_once_and_parts_differ_by_one(studies: int, parts: int) -> None:
    splits = inner_splits(LABELS[:studies], parts, seed=0)
    assert sorted(np.concatenate([held_out for _, held_out in splits])) == list(range(studies))
    assert np.ptp([len(held_out) for _, held_out in splits]) <= 1
    for train, held_out in splits:
        assert sorted([*train, *held_out]) == list(range(studies))


def test_a_single_study_is_trained_on_and_nothing_is_held_out() -> None:
    ((train, held_out),) = inner_splits(LABELS[:1], 4, seed=0)
    assert (train.tolist(), held_out.tolist()) == ([0], [])


def test_a_part_is_as_ill_as_the_rest_whichever_it_is() -> None:
    """Not only about as ill: over many seeds no part is milder, and the sickest study is in each at times."""
    differences = np.array(
        [
            [
                DISEASE[held_out].mean() - DISEASE[train].mean()
                for train, held_out in inner_splits(LABELS, 4, seed=s)
            ]
            for s in range(300)
        ]
    )
    error = differences.std(axis=0) / np.sqrt(len(differences))
    assert (np.abs(differences.mean(axis=0)) < 4 * error).all()
    assert differences.std() < 0.7 * DISEASE.std() / np.sqrt(12)  # closer than parts drawn by chance alone
    sickest = [
        int(DISEASE.argmax()) in held_out
        for s in range(40)
        for _, held_out in inner_splits(LABELS, 4, seed=s)[:1]
    ]
    assert 2 < sum(sickest) < 25


def test_neighbours_go_to_different_parts() -> None:
    order = np.random.default_rng(1).permutation(11)
    part = dealt(order, 3, np.random.default_rng(0))
    for first in range(0, 11, 3):
        block = part[order[first : first + 3]]
        assert len(set(block)) == len(block)
