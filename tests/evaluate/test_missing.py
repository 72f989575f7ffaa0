import numpy as np
import pandas as pd
import pytest

from kitlib.evaluate.missing import TABLE_COLUMNS, missing_table
from kitlib.models.pseudo.model import ERROR_COLUMNS
from kitlib.terms import CELL_NAMES, EMPTY, PROBABILITIES, SAGITTAL_T1
from tests.report.builders import make_labels, make_predictions

LABELS = make_labels(40)
MEAN = make_predictions(LABELS)
SCENARIO = "random_30"


def towards_truth(share: float) -> pd.DataFrame:
    """The mean's predictions with a share of the true label mixed in, or taken out if negative."""
    codes = LABELS[list(CELL_NAMES)].to_numpy().ravel()
    truth = np.eye(3)[codes.clip(0)] * (codes != EMPTY)[:, None]
    mixed = np.maximum(MEAN[list(PROBABILITIES)].to_numpy() + share * truth, 1e-9)
    return pd.DataFrame(mixed, index=MEAN.index, columns=list(PROBABILITIES))


def errors_of(share: float) -> pd.DataFrame:
    """Guesses whose squared errors are about `share` of the mean's."""
    mean_error = np.random.default_rng(0).uniform(1, 2, len(LABELS))
    columns = dict(zip(ERROR_COLUMNS, (LABELS.index, SAGITTAL_T1, share * mean_error, mean_error)))
    return pd.DataFrame(columns).assign(
        variation=mean_error, cosine=0.9, mean_cosine=0.8, scenario=SCENARIO, fold=0
    )


def test_guesses_with_an_r2_of_zero_or_less_do_not_beat_the_mean() -> None:
    """They may still beat the training studies' mean, which is not the mean of the held-out ones."""
    errors = errors_of(0.9).assign(variation=lambda table: table["error"])
    table = missing_table(LABELS, {"pseudo_dae": {SCENARIO: MEAN}}, {"pseudo_dae": errors}, resamples=50)
    assert table["r2"].item() == 0
    assert table["verdict"].item() == "does not beat the mean (guesses no better)"


def table_of(predicted: float, guessed: float) -> pd.DataFrame:
    return missing_table(
        LABELS,
        {"pseudo_mean": {SCENARIO: MEAN}, "pseudo_dae": {SCENARIO: towards_truth(predicted)}},
        {"pseudo_mean": errors_of(1.0), "pseudo_dae": errors_of(guessed)},
        resamples=200,
    )


@pytest.mark.parametrize(
    ("predicted", "guessed", "verdict"),
    [
        (0.2, 0.5, "beats the mean (guesses better, predicts better)"),
        (0.0, 0.5, "beats the mean in part (guesses better, predicts no better)"),
        (0.0, 1.0, "does not beat the mean (guesses no better, predicts no better)"),
        (-0.2, 1.5, "does not beat the mean (guesses worse, predicts worse)"),
    ],
)
def test_the_verdict_says_whether_the_mean_was_beaten(predicted: float, guessed: float, verdict: str) -> None:
    table = table_of(predicted, guessed)
    assert tuple(table.columns) == TABLE_COLUMNS
    assert table["verdict"].tolist() == ["the mean itself", verdict]
    row = table.iloc[1]
    assert row["low"] <= row["difference"] <= row["high"]
    assert row["r2"] == pytest.approx(1 - guessed, abs=1e-3)
    assert row["guesses"] == len(LABELS)


def test_the_difference_is_that_of_the_scores() -> None:
    scores = table_of(0.2, 0.5).set_index("experiment")["score"]
    difference = table_of(0.2, 0.5).set_index("experiment").at["pseudo_dae", "difference"]
    assert difference == pytest.approx(scores["pseudo_dae"] - scores["pseudo_mean"], abs=2e-3)


def test_without_the_mean_or_reconstructions_nothing_is_claimed() -> None:
    table = missing_table(LABELS, {"fusion": {SCENARIO: MEAN}}, {}, resamples=50)
    assert table["verdict"].tolist() == ["not compared with the mean"]
    assert table[["difference", "r2"]].isna().all(axis=None)
    assert tuple(missing_table(LABELS, {}, {}).columns) == TABLE_COLUMNS


def test_fillers_of_views_are_compared_with_masked_fusion_and_their_guesses_with_the_mean() -> None:
    predictions = {"views_none": {SCENARIO: MEAN}, "views_mean": {SCENARIO: MEAN}}
    predictions |= {
        "views_dae": {SCENARIO: towards_truth(0.2)},
        "pseudo_mean": {SCENARIO: towards_truth(0.4)},
    }
    errors = {"views_mean": errors_of(1.0), "views_dae": errors_of(0.5)}
    table = missing_table(LABELS, predictions, errors, resamples=200).set_index("experiment")
    assert table["verdict"].to_dict() == {
        "views_none": "masked fusion itself",
        "views_mean": "does not beat masked fusion (guesses no better, predicts no better)",
        "views_dae": "beats masked fusion (guesses better, predicts better)",
        "pseudo_mean": "the mean itself",
    }
