import itertools

import numpy as np
import pandas as pd
import pytest

from kitlib.errors import UsageError
from kitlib.experiments.scenarios import HALF, REMOVALS, removal2share, remove
from kitlib.inputs.slices import SliceDataset
from kitlib.prepare.tabular import study_metadata
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES
from tests.models.builders import make_features, make_labels
from tests.report.builders import make_stack

STUDIES = 200
ALL = make_features(make_labels(STUDIES))
SOME = ALL.take(np.arange(12))


def sequences_left(features: SliceDataset) -> np.ndarray:
    return np.array([[len(one) > 0 for one in features.tokens[name]] for name in SEQUENCES]).T


@pytest.mark.parametrize("removal", REMOVALS)
def test_the_mask_tells_what_is_gone_and_the_rest_stays(removal: str) -> None:
    before = SOME.metadata.copy()
    left, removed = remove(SOME, removal, 0)
    np.testing.assert_array_equal(sequences_left(left), ~removed)
    for column, name in enumerate(SEQUENCES):
        for row in np.flatnonzero(~removed[:, column]):
            assert left.tokens[name][row] is SOME.tokens[name][row]
        for one in left.tokens[name]:
            assert one.width == SOME.tokens[name][0].width
    pd.testing.assert_frame_equal(SOME.metadata, before)
    assert sequences_left(SOME).all()
    np.testing.assert_array_equal(left.study_ids, SOME.study_ids)


def test_a_named_sequence_is_gone_everywhere() -> None:
    assert (remove(SOME, "without_t2", 0)[1] == [False, True, False]).all()
    assert (remove(SOME, "without_t1_axial", 0)[1] == [True, False, True]).all()


def test_shares_are_about_what_they_say_and_nested() -> None:
    masks = [remove(ALL, removal, 0)[1] for removal in removal2share]
    for mask, share in zip(masks, removal2share.values()):
        assert abs(mask.mean() - share) < 0.06
    for fewer, more in itertools.pairwise(masks):
        assert (fewer <= more).all()
    assert masks[-1].all(axis=1).any()  # at 80 % some studies lose all: it cannot be otherwise


def test_half_takes_one_or_two_of_three_and_never_all() -> None:
    assert set(remove(ALL, HALF, 0)[1].sum(axis=1)) == {1, 2}
    some_missing = {SAGITTAL_T1: [0, 1, 2], AXIAL_T2: [1, 2], SAGITTAL_T2: [2]}
    features = make_features(make_labels(4), missing=some_missing)
    left, removed = remove(features, HALF, 0)
    assert removed.sum(axis=1)[:3].tolist() == [1, 0, 0]
    np.testing.assert_array_equal(sequences_left(left), sequences_left(features) & ~removed)


@pytest.mark.parametrize("removal", ["random_50", HALF])
def test_a_study_has_the_same_holes_in_whatever_company_and_others_by_another_seed(removal: str) -> None:
    together = remove(SOME, removal, 0)[1]
    alone = np.concatenate([remove(SOME.take([row]), removal, 0)[1] for row in range(len(SOME))])
    np.testing.assert_array_equal(alone, together)
    assert (remove(SOME, removal, 1)[1] != together).any()
    assert remove(SOME.take([]), removal, 0)[1].shape == (0, 3)


def test_metadata_look_as_if_the_sequence_had_never_been_acquired() -> None:
    series = pd.DataFrame({"study_id": 1, "series_id": [1, 2, 3], "sequence": SEQUENCES})
    stacks = {number: [make_stack(sequence=name)] for number, name in enumerate(SEQUENCES, start=1)}

    def metadata_of(table: pd.DataFrame) -> pd.DataFrame:
        return study_metadata([1], table, lambda _, one: stacks[one])

    tokens = {name: SOME.tokens[name][:1] for name in SEQUENCES}
    features = SliceDataset(np.array([1]), tokens, metadata_of(series))
    left, _ = remove(features, "without_t1_axial", 0)
    never = metadata_of(series[series["sequence"] == SAGITTAL_T2])
    never = never.where(never.notna(), np.nan)  # None and NaN are both unknown
    pd.testing.assert_frame_equal(left.metadata, never, check_dtype=False)
    assert left.metadata["sequences"].item() == "t2"


def test_an_unknown_removal_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown removal 'all'"):
        remove(SOME, "all", 0)
