import json

import numpy as np
import pandas as pd
import pytest

from kitlib.competition.priors import Prior
from kitlib.evaluate.baselines import baselines, prior_out_of_fold, score_table, uniform
from kitlib.phantom.truth import truth_file
from kitlib.terms import CELL_NAMES, PROBABILITIES


def make_labels(studies=30):
    codes = np.random.default_rng(0).choice(3, (studies, 25), p=(0.7, 0.2, 0.1))
    return pd.DataFrame(codes, index=np.arange(studies) + 10, columns=list(CELL_NAMES))


def test_the_table_has_a_row_a_prediction_with_an_interval_around_its_total():
    labels = make_labels()
    table = score_table(
        labels, {"1/3": uniform(labels.index), "prior": Prior.fit(labels).predict(labels.index)}
    )
    assert table["prediction"].tolist() == ["1/3", "prior"]
    assert table["total"][0] == pytest.approx(0.9994, abs=0.05)
    assert ((table["low"] < table["total"]) & (table["total"] < table["high"])).all()
    parts = ["spinal", "foraminal", "subarticular", "any_severe_spinal"]
    np.testing.assert_allclose(table[parts].mean(axis=1), table["total"])


def test_the_prior_out_of_fold_has_not_seen_the_study_it_is_judged_on():
    labels = make_labels()
    folds = pd.Series(np.arange(30) % 3, index=labels.index)
    before = prior_out_of_fold(labels, folds)
    assert len(before) == 25 * 30
    changed = labels.copy()
    changed.loc[folds == 0] = 2 - changed.loc[folds == 0]
    after = prior_out_of_fold(changed, folds)
    own = [row for row in before.index if folds[int(row.split("_")[0])] == 0]
    pd.testing.assert_frame_equal(before.loc[own], after.loc[own])
    assert not before.drop(own).equals(after.drop(own))


def test_thirds_of_no_study_is_an_empty_table():
    assert uniform([]).empty
    assert list(uniform([1]).columns) == list(PROBABILITIES)


def test_the_oracle_is_a_mark_where_the_truth_is_known(tmp_path):
    labels = make_labels(studies=3)
    prior = Prior.fit(labels).predict(labels.index)
    assert list(baselines(labels, prior, tmp_path)) == ["prior", "1/3"]
    for study_id, codes in labels.iterrows():
        file = truth_file(tmp_path, study_id)
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"grades": [code + 0.5 for code in codes.tolist()]}))
    totals = score_table(labels, baselines(labels, prior, tmp_path)).set_index("prediction")["total"]
    assert totals["oracle"] < 0.5 < totals["prior"]
