"""Fillers on the crop model's views, beyond the common contract."""

import numpy as np
import pytest

from kitlib.errors import UsageError
from kitlib.models.pseudo.model import ERROR_COLUMNS
from kitlib.models.pseudo.views import MASKED, PseudoViewsModel
from kitlib.terms import LEVELS
from tests.models.builders import as_crops, make_features, make_labels, untrained_grader

LABELS = make_labels(8)
DATA = as_crops(make_features(LABELS))
REMOVED = np.tile([True, False, False], (len(DATA), 1))


def fitted(imputer: str) -> PseudoViewsModel:
    model = PseudoViewsModel(
        imputer, components=3, removed_copies=1, inner_parts=2, start=untrained_grader(), epochs=1
    )
    return model.fit(DATA, LABELS, seed=0)


def test_an_unknown_filler_is_refused() -> None:
    with pytest.raises(UsageError, match="zeros"):
        PseudoViewsModel(imputer="zeros")


def test_masked_fusion_guesses_nothing() -> None:
    model = fitted(MASKED)
    assert model.reconstruction(DATA, REMOVED).empty
    assert tuple(model.reconstruction(DATA, REMOVED).columns) == ERROR_COLUMNS


def test_each_level_of_a_removed_sequence_is_guessed_and_the_mean_is_the_mean() -> None:
    errors = fitted("mean").reconstruction(DATA, REMOVED)
    assert errors["study_id"].value_counts().unique().tolist() == [len(LEVELS)]
    np.testing.assert_allclose(errors["error"], errors["mean_error"])
