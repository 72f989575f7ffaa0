import numpy as np
import pytest

from kitlib.errors import UsageError
from kitlib.models.common.training_rows import SAMPLERS, dealt, inner_splits, resampled
from kitlib.terms import CELLS, EMPTY

LABELS = np.random.default_rng(0).choice([EMPTY, 0, 1, 2], p=(0.05, 0.7, 0.15, 0.1), size=(48, len(CELLS)))
DISEASE = LABELS.clip(min=0).sum(axis=1)
RANDOM = np.random.default_rng(0)
SEVERITIES = np.repeat([0, 1, 2], [60, 12, 6])
ROWS = RANDOM.normal(size=(78, 4)) + SEVERITIES[:, None]


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
    """Over many seeds no part is systematically milder, and each part holds the sickest study at times."""
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


def sampled_counts(name: str, severities: np.ndarray = SEVERITIES) -> list[int]:
    rows, codes, _ = resampled(name, ROWS[: len(severities)], severities, seed=0)
    assert len(rows) == len(codes)
    assert np.isfinite(rows).all()
    return np.bincount(codes, minlength=3).tolist()


def test_no_sampling_changes_nothing() -> None:
    rows, codes, _ = resampled("none", ROWS, SEVERITIES, seed=0)
    assert rows is ROWS
    assert codes is SEVERITIES


def test_over_sampling_makes_the_rare_as_common_as_the_common() -> None:
    assert sampled_counts("smote") == [60, 60, 60]


def test_svm_smote_adds_to_the_rare_only() -> None:
    counts = sampled_counts("svm_smote")
    assert counts[0] == 60
    assert counts[1] > 12
    assert counts[2] > 6


def test_smote_after_under_sampling_fills_up_to_what_is_left_of_the_commonest() -> None:
    assert sampled_counts("smote_undersample") == [19, 19, 19]


def test_a_stand_in_is_noted_and_no_other_sampling_is() -> None:
    amid = np.vstack([ROWS[:60], ROWS[:60].mean(axis=0), ROWS[:60].mean(axis=0) + 3])
    severities = np.repeat([0, 2], [60, 2])
    notes = {name: resampled(name, amid, severities, seed=0)[2] for name in SAMPLERS}
    assert "SMOTE stands in" in notes.pop("svm_smote")
    assert not any(notes.values())
    assert resampled("svm_smote", ROWS, SEVERITIES, seed=0)[2] == ""


def test_under_sampling_leaves_a_third_of_the_commonest() -> None:
    assert sampled_counts("undersample") == [19, 12, 6]


@pytest.mark.parametrize("name", list(SAMPLERS))
@pytest.mark.parametrize("counts", [(20, 1, 1), (20, 2, 0), (20, 0, 0), (1, 1, 1), (3, 3, 2)])
def test_small_classes_are_survived(name: str, counts: tuple[int, int, int]) -> None:
    after = sampled_counts(name, np.repeat([0, 1, 2], counts))
    assert [count > 0 for count in after] == [count > 0 for count in counts]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown sampling"):
        resampled("smoat", ROWS, SEVERITIES, seed=0)
