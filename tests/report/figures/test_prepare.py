import numpy as np
import pandas as pd
import pytest

from kitlib.prepare.grey import GREY_OPTIONS
from kitlib.report.figures import prepare as figures
from kitlib.report.pages.tables import imputation_errors
from tests.report.builders import drawn


def test_every_grey_option_is_shown_with_its_histogram():
    pixels = np.random.default_rng(0).integers(0, 255, (20, 16), dtype=np.uint8)
    texts = drawn(figures.grey_options(pixels, GREY_OPTIONS, "One slice"))
    assert {*GREY_OPTIONS, "grey value (0-255)", "pixels"} <= set(texts)


def test_imputed_values_stand_beside_the_mean():
    truth = pd.DataFrame({"step_mm": [4.0, 5.0, 6.0, np.nan], "slices": [np.nan] * 4})
    texts = drawn(
        figures.imputation(truth, truth.fillna(1.0), truth.mean(), {"step_mm": "mm", "slices": "slices"})
    )
    assert "true (mm)" in texts
    assert "slices: none held out" in texts


def test_nothing_held_out_says_so():
    assert drawn(figures.imputation(pd.DataFrame(), pd.DataFrame(), pd.Series(), {"a": "mm"})) == [
        "no value was held out"
    ]


def test_errors_of_forest_and_mean():
    errors = imputation_errors(pd.Series([1.0, 3.0]), pd.Series([1.0, 2.0]), 4.0)
    assert errors["forest"] == pytest.approx(0.5)
    assert errors["mean"] == pytest.approx(2.0)
