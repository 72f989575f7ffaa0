import numpy as np
import pandas as pd
import pytest

from kitlib.errors import ModelError
from kitlib.experiments.experiment import SPLITS, SplitName
from kitlib.experiments.leaks import SLICE_PARTS, Split, make_split, row_table, split2text
from kitlib.experiments.run import make_folds
from kitlib.terms import CELL_NAMES, SEQUENCES
from tests.models.builders import make_features, make_labels

CODES = make_labels(20)
FEATURES = make_features(CODES)
LABELS = pd.DataFrame(CODES, index=pd.Index(FEATURES.study_ids, name="study_id"), columns=list(CELL_NAMES))
FOLDS = make_folds(LABELS, 5, seed=0)
COUNTS = pd.Series([3, 4] * 10, index=LABELS.index)


def split_by(name: SplitName, seed: int = 0) -> Split:
    return make_split(name, FEATURES, LABELS, FOLDS, series_counts=COUNTS, seed=seed)


def shared(split: Split) -> pd.Series:
    return row_table(split.labels, split.folds, split.study_of)["shared"]


@pytest.mark.parametrize("split", SPLITS)
def test_rows_data_labels_folds_and_studies_belong_together(split: SplitName) -> None:
    rows = split_by(split)
    assert len(set(rows.data.study_ids.tolist())) == len(rows.data)
    for table in (rows.labels, rows.folds, rows.study_of, rows.data.metadata):
        assert table.index.tolist() == rows.data.study_ids.tolist()
    pd.testing.assert_frame_equal(
        rows.labels.reset_index(drop=True),
        LABELS.loc[rows.study_of].reset_index(drop=True),
        check_names=False,
    )
    assert split2text[split]


def test_whole_studies_share_nothing_and_keep_their_folds() -> None:
    rows = split_by("studies")
    assert rows.data is FEATURES
    pd.testing.assert_series_equal(rows.folds, FOLDS)
    assert not shared(rows).any()


def test_a_study_of_three_series_makes_three_rows_with_one_embedding() -> None:
    rows = split_by("series")
    assert rows.study_of.value_counts().to_dict() == COUNTS.to_dict()
    own = np.flatnonzero(rows.study_of.to_numpy() == FEATURES.study_ids[0])
    assert len({id(rows.data.tokens[SEQUENCES[0]][row]) for row in own}) == 1


def test_a_studys_slices_are_dealt_without_loss_and_without_repetition() -> None:
    rows = split_by("slices")
    for sequence in SEQUENCES:
        whole = FEATURES.tokens[sequence][3]
        own = np.flatnonzero(rows.study_of.to_numpy() == FEATURES.study_ids[3])
        parts = [rows.data.tokens[sequence][row] for row in own]
        assert len(parts) == SLICE_PARTS
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        positions = np.concatenate([part.positions_mm for part in parts])
        assert sorted(map(tuple, positions)) == sorted(map(tuple, whole.positions_mm))


@pytest.mark.parametrize("split", ["series", "slices"])
def test_rows_are_dealt_evenly_and_most_have_their_study_on_the_other_side(split: SplitName) -> None:
    rows = split_by(split)
    sizes = rows.folds.value_counts()
    assert len(sizes) == 5
    assert sizes.max() - sizes.min() <= 1
    assert shared(rows).mean() > 0.8
    pd.testing.assert_series_equal(split_by(split).folds, rows.folds)
    assert not split_by(split, seed=1).folds.equals(rows.folds)


def test_shared_means_another_row_of_the_study_in_another_fold() -> None:
    rows = split_by("series")
    for row in (0, 7, 30):
        own = rows.study_of == rows.study_of[row]
        assert shared(rows)[row] == (own & (rows.folds != rows.folds[row])).any()


def test_judging_on_the_training_studies_has_one_fold() -> None:
    assert set(split_by("training").folds) == {0}


def test_a_study_without_a_fold_or_labels_or_twice_is_an_error() -> None:
    with pytest.raises(ModelError, match="1 of 20 studies have no labels"):
        make_split("studies", FEATURES, LABELS.iloc[1:], FOLDS)
    with pytest.raises(ModelError, match="occurs twice"):
        make_split("studies", FEATURES.take([0, 0]), LABELS, FOLDS)
