from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.artefacts import Provenance, save_json
from kitlib.competition.metric import score
from kitlib.competition.submission import to_array
from kitlib.ensemble.crossfit import Ensemble, Recipe, crossfit
from kitlib.ensemble.names import CALIBRATORS, COMBINERS
from kitlib.errors import ArtefactError, ModelError
from kitlib.evaluate.baselines import score_table
from kitlib.experiments.run import make_folds
from kitlib.terms import PROBABILITIES
from tests.ensemble.builders import make_label_table, make_table

LABELS = make_label_table(90)
FOLDS = make_folds(LABELS, 3, seed=0)
TABLES = {
    "sharp": make_table(LABELS, skill=1.2, sharpness=3.0, seed=1),
    "dull": make_table(LABELS, skill=1.2, sharpness=0.3, seed=2),
}


def test_the_ensemble_beats_its_members_on_studies_it_was_not_fitted_on() -> None:
    fitted = crossfit(LABELS, FOLDS, TABLES)
    best = min(score(LABELS, table).total for table in TABLES.values())
    assert score(LABELS, fitted.calibrated).total < best
    assert list(fitted.calibrated.columns) == [*PROBABILITIES, "model", "fold"]
    assert fitted.weights().index.tolist() == ["0", "1", "2", "all"]
    np.testing.assert_allclose(fitted.weights().sum(axis=1), 1)


@pytest.mark.slow
@pytest.mark.parametrize("combine", COMBINERS)
def test_a_folds_own_labels_are_not_used_for_it(combine: str) -> None:
    recipe = Recipe(combine, tuple(CALIBRATORS))
    labels = LABELS.copy()
    judged = FOLDS.index[FOLDS == 1]
    labels.loc[judged] = (labels.loc[judged] + 1) % 3
    plain, changed = (crossfit(table, FOLDS, TABLES, recipe).calibrated for table in (LABELS, labels))
    of_fold = plain["fold"] == 1
    pd.testing.assert_frame_equal(plain[of_fold], changed[of_fold])
    assert not plain[~of_fold].equals(changed[~of_fold])


def test_rows_are_joined_by_name_not_by_place() -> None:
    shuffled = {name: table.sample(frac=1, random_state=3) for name, table in TABLES.items()}
    pd.testing.assert_frame_equal(
        crossfit(LABELS, FOLDS, TABLES).calibrated,
        crossfit(LABELS.sample(frac=1, random_state=4), FOLDS, shuffled).calibrated,
    )


def test_a_missing_prediction_is_named() -> None:
    short = {**TABLES, "dull": TABLES["dull"].iloc[1:]}
    with pytest.raises(ModelError, match=r"1 cells have no prediction \(dull, first 100_spinal_canal"):
        crossfit(LABELS, FOLDS, short)


@pytest.mark.slow
@pytest.mark.parametrize("combine", COMBINERS)
def test_save_and_load_agree(combine: str, tmp_path: Path) -> None:
    ensemble = crossfit(LABELS, FOLDS, TABLES, Recipe(combine, tuple(CALIBRATORS))).final
    ensemble.save(tmp_path / "ensemble.json", Provenance())
    opened = Ensemble.load(tmp_path / "ensemble.json")
    arrays = {name: to_array(LABELS.index, table) for name, table in TABLES.items()}
    np.testing.assert_allclose(opened.apply(arrays), ensemble.apply(arrays))
    assert [one.name for one in (opened.combiner, *opened.calibrators)] == [combine, *CALIBRATORS]


def test_an_ensemble_of_an_earlier_version_says_what_to_do(tmp_path: Path) -> None:
    save_json(tmp_path / "ensemble.json", {"weights": {"a": 1.0}, "calibration": {}}, Provenance())
    with pytest.raises(ArtefactError, match=r"earlier version .*Run 05_ensembling again"):
        Ensemble.load(tmp_path / "ensemble.json")


@pytest.mark.parametrize("content", [{"combiner": 1}, [], {"combiner": {}, "calibrators": []}])
def test_what_was_saved_but_is_no_ensemble_is_refused_in_one_line(tmp_path: Path, content: object) -> None:
    save_json(tmp_path / "ensemble.json", content, Provenance())
    with pytest.raises(ArtefactError, match=r"ensemble\.json"):
        Ensemble.load(tmp_path / "ensemble.json")


def test_calibrators_are_fitted_on_what_those_before_them_give() -> None:
    twice = crossfit(LABELS, FOLDS, TABLES, Recipe(calibrate=("temperature", "temperature"))).final
    first, second = (one.group2parameters for one in twice.calibrators)
    assert first.keys() == {"spinal", "foraminal", "subarticular"}
    assert all(abs(parameters[0] - 1) < 0.05 for parameters in second.values())


def test_without_a_calibrator_a_calibrated_blend_is_the_blend() -> None:
    fitted = crossfit(LABELS, FOLDS, TABLES, Recipe(calibrate=()))
    pd.testing.assert_frame_equal(fitted.calibrated[[*PROBABILITIES]], fitted.blended[[*PROBABILITIES]])


def test_the_table_of_scores_has_a_row_a_prediction() -> None:
    table = score_table(LABELS, TABLES)
    assert table["prediction"].tolist() == ["sharp", "dull"]
    assert ((table["low"] < table["total"]) & (table["total"] < table["high"])).all()
