import numpy as np
import pandas as pd
import pytest

from kitlib.experiments.experiment import SPLITS, Split
from kitlib.experiments.folds import make_folds
from kitlib.experiments.leaks import SLICE_PARTS, Dealt, deal, split2text
from kitlib.terms import CELL_NAMES, SEQUENCES
from tests.models.builders import make_features, make_labels

CODES = make_labels(20)
FEATURES = make_features(CODES)
LABELS = pd.DataFrame(CODES, index=pd.Index(FEATURES.study_ids, name="study_id"), columns=list(CELL_NAMES))
FOLDS = make_folds(LABELS, 5, seed=0)
COUNTS = pd.Series([3, 4] * 10, index=LABELS.index)


def dealt(split: Split, seed: int = 0) -> Dealt:
    return deal(split, FEATURES, LABELS, FOLDS, series_counts=COUNTS, seed=seed)


@pytest.mark.parametrize("split", SPLITS)
def test_rows_features_labels_folds_and_studies_belong_together(split: Split) -> None:
    one = dealt(split)
    assert len(set(one.features.study_ids.tolist())) == len(one.features)
    for table in (one.labels, one.folds, one.study_of, one.features.metadata):
        assert table.index.tolist() == one.features.study_ids.tolist()
    pd.testing.assert_frame_equal(
        one.labels.reset_index(drop=True), LABELS.loc[one.study_of].reset_index(drop=True), check_names=False
    )
    assert split2text[split]


def test_whole_studies_share_nothing_and_keep_their_folds() -> None:
    one = dealt("studies")
    assert one.features is FEATURES
    pd.testing.assert_series_equal(one.folds, FOLDS)
    assert not one.cases["shared"].any()


def test_a_study_of_three_series_makes_three_rows_with_one_embedding() -> None:
    one = dealt("series")
    assert one.study_of.value_counts().to_dict() == COUNTS.to_dict()
    rows = np.flatnonzero(one.study_of.to_numpy() == FEATURES.study_ids[0])
    assert len({id(one.features.tokens[SEQUENCES[0]][row]) for row in rows}) == 1


def test_a_studys_slices_are_dealt_without_loss_and_without_repetition() -> None:
    one = dealt("slices")
    for sequence in SEQUENCES:
        whole = FEATURES.tokens[sequence][3]
        rows = np.flatnonzero(one.study_of.to_numpy() == FEATURES.study_ids[3])
        parts = [one.features.tokens[sequence][row] for row in rows]
        assert len(parts) == SLICE_PARTS
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        places = np.concatenate([part.places_mm for part in parts])
        assert sorted(map(tuple, places)) == sorted(map(tuple, whole.places_mm))


@pytest.mark.parametrize("split", ["series", "slices"])
def test_rows_are_dealt_evenly_and_most_have_their_study_on_the_other_side(split: Split) -> None:
    one = dealt(split)
    sizes = one.folds.value_counts()
    assert len(sizes) == 5
    assert sizes.max() - sizes.min() <= 1
    assert one.cases["shared"].mean() > 0.8
    pd.testing.assert_series_equal(dealt(split).folds, one.folds)
    assert not dealt(split, seed=1).folds.equals(one.folds)


def test_shared_means_another_row_of_the_study_in_another_fold() -> None:
    one = dealt("series")
    for row in (0, 7, 30):
        own = one.study_of == one.study_of[row]
        assert one.cases.loc[row, "shared"] == (own & (one.folds != one.folds[row])).any()


def test_judging_on_the_training_studies_has_one_fold() -> None:
    assert set(dealt("training").folds) == {0}
