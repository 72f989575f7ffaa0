import itertools

import numpy as np
import pandas as pd
import pytest

from kitlib.errors import UsageError
from kitlib.experiments.scenarios import HALF, SCENARIOS, ablate, scenario2share
from kitlib.inputs.slices import SliceDataset
from kitlib.mri.study import Series, Study
from kitlib.prepare.studies import study_metadata
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES
from tests.models.builders import make_features, make_labels
from tests.report.builders import make_stack

STUDIES = 200
ALL = make_features(make_labels(STUDIES))
SOME = ALL.take(np.arange(12))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_mask_tells_what_is_gone_and_the_rest_stays(scenario: str) -> None:
    before = SOME.metadata.copy()
    left, removed = ablate(SOME, scenario, 0)
    np.testing.assert_array_equal(left.present, ~removed)
    for column, name in enumerate(SEQUENCES):
        for row in np.flatnonzero(~removed[:, column]):
            assert left.tokens[name][row] is SOME.tokens[name][row]
        for one in left.tokens[name]:
            assert one.width == SOME.tokens[name][0].width
    pd.testing.assert_frame_equal(SOME.metadata, before)
    assert SOME.present.all()
    np.testing.assert_array_equal(left.study_ids, SOME.study_ids)


def test_a_named_sequence_is_gone_everywhere() -> None:
    assert (ablate(SOME, "without_t2", 0)[1] == [False, True, False]).all()
    assert (ablate(SOME, "without_t1_axial", 0)[1] == [True, False, True]).all()


def test_shares_are_about_what_they_say_and_nested() -> None:
    masks = [ablate(ALL, scenario, 0)[1] for scenario in scenario2share]
    for mask, share in zip(masks, scenario2share.values()):
        assert abs(mask.mean() - share) < 0.06
    for fewer, more in itertools.pairwise(masks):
        assert (fewer <= more).all()
    assert masks[-1].all(axis=1).any()  # at 80 % some studies necessarily lose all


def test_half_takes_one_or_two_of_three_and_never_all() -> None:
    assert set(ablate(ALL, HALF, 0)[1].sum(axis=1)) == {1, 2}
    some_missing = {SAGITTAL_T1: [0, 1, 2], AXIAL_T2: [1, 2], SAGITTAL_T2: [2]}
    features = make_features(make_labels(4), missing=some_missing)
    left, removed = ablate(features, HALF, 0)
    assert removed.sum(axis=1)[:3].tolist() == [1, 0, 0]
    np.testing.assert_array_equal(left.present, features.present & ~removed)


@pytest.mark.parametrize("scenario", ["random_50", HALF])
def test_a_study_has_the_same_holes_in_whatever_company_and_others_by_another_seed(scenario: str) -> None:
    together = ablate(SOME, scenario, 0)[1]
    alone = np.concatenate([ablate(SOME.take([row]), scenario, 0)[1] for row in range(len(SOME))])
    np.testing.assert_array_equal(alone, together)
    assert (ablate(SOME, scenario, 1)[1] != together).any()
    assert ablate(SOME.take([]), scenario, 0)[1].shape == (0, 3)


def test_metadata_look_as_if_the_sequence_had_never_been_acquired() -> None:
    series = tuple(Series(i, name, (make_stack(sequence=name),)) for i, name in enumerate(SEQUENCES))
    study = Study(1, series)
    tokens = {name: SOME.tokens[name][:1] for name in SEQUENCES}
    features = SliceDataset(np.array([1]), tokens, study_metadata([study]))
    left, _ = ablate(features, "without_t1_axial", 0)
    never = study_metadata([study.without([SAGITTAL_T1, AXIAL_T2])])
    never = never.where(never.notna(), np.nan)  # None and NaN both mean unknown
    pd.testing.assert_frame_equal(left.metadata, never, check_dtype=False)
    assert left.metadata["sequences"].item() == "t2"


def test_an_unknown_removal_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown scenario 'all'"):
        ablate(SOME, "all", 0)
