import numpy as np
import pandas as pd
import pytest

from kitlib.errors import ModelError
from kitlib.experiments.folds import make_folds
from kitlib.terms import CELL_NAMES, CELLS
from tests.models.builders import make_labels


def label_table(studies: int, seed: int = 0) -> pd.DataFrame:
    index = pd.Index(np.arange(studies) * 13 + 5, name="study_id")
    return pd.DataFrame(make_labels(studies, seed=seed), index=index, columns=list(CELL_NAMES))


def test_every_study_has_one_fold_and_sizes_are_even() -> None:
    labels = label_table(43)
    folds = make_folds(labels, 5, seed=1)
    assert folds.index.equals(labels.index)
    assert sorted(folds.unique()) == [0, 1, 2, 3, 4]
    assert folds.value_counts().max() - folds.value_counts().min() <= 1


def test_disease_is_spread_evenly() -> None:
    labels = label_table(200)
    folds = make_folds(labels, 5, seed=1)
    spinal = [cell.name for cell in CELLS if cell.group == "spinal"]
    any_severe = (labels[spinal] == 2).any(axis=1).groupby(folds).sum()
    assert any_severe.max() - any_severe.min() <= 2
    disease = labels.clip(lower=0).sum(axis=1).groupby(folds).mean()
    assert disease.max() / disease.min() < 1.1


def test_the_seed_alone_decides() -> None:
    labels = label_table(30)
    assert make_folds(labels, 3, seed=4).equals(make_folds(labels, 3, seed=4))
    assert not make_folds(labels, 3, seed=4).equals(make_folds(labels, 3, seed=5))


@pytest.mark.parametrize(("studies", "n_folds"), [(4, 5), (0, 2), (10, 1)])
def test_too_few_studies_or_folds_are_refused(studies: int, n_folds: int) -> None:
    with pytest.raises(ModelError, match=f"{studies} studies cannot make {n_folds} folds"):
        make_folds(label_table(studies), n_folds, seed=0)


def test_a_study_that_stands_twice_is_refused() -> None:
    labels = label_table(10)
    with pytest.raises(ModelError, match="twice"):
        make_folds(pd.concat([labels, labels.iloc[:1]]), 2, seed=0)
