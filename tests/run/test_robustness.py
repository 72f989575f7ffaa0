"""A finished run under changed conditions: predictions, the folds that make them, and the cache."""

import numpy as np
import pandas as pd
import pytest

from kitlib.artefacts import load_table
from kitlib.competition.metric import score
from kitlib.errors import UsageError
from kitlib.evaluate.baselines import prior_out_of_fold
from kitlib.evaluate.robustness import UNTOUCHED
from kitlib.experiments.experiment import Experiment
from kitlib.inputs.crops import CropInput
from kitlib.models.crop.model import CropModel
from kitlib.run import layout
from kitlib.run.conditions import Condition, removed
from kitlib.run.robustness import FinishedRun, judge_robustness
from kitlib.terms import PROBABILITIES, SEQUENCES
from tests.run.finished import EXPERIMENTS, LONGEST_PX, make_run

FEW = (Condition(UNTOUCHED), removed((SEQUENCES[0],)), removed(SEQUENCES), Condition("off", displaced_mm=9.0))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data):
    """A run that also reads crops."""
    crops = Experiment("crops", CropModel(epochs=1), CropInput(longest_px=LONGEST_PX, slices=1))
    return make_run(tmp_path_factory.mktemp("robust"), data, [*EXPERIMENTS, crops])


@pytest.fixture(scope="module")
def judged(finished, data):
    return judge_robustness(finished, ["attention", "crops"], data_dir=str(data.root), conditions=FEW)


def kept(work, study_id, condition, experiment):
    rows = load_table(work / layout.ROBUSTNESS / f"{study_id}.parquet")
    return rows[(rows["condition"] == condition) & (rows["experiment"] == experiment)][list(PROBABILITIES)]


@pytest.mark.slow
def test_untouched_studies_are_predicted_as_they_were_out_of_fold(finished, data, judged):
    for experiment in ("attention", "crops"):
        oof = load_table(layout.OOF.under(finished, experiment=experiment))
        for study_id in (1, 2):  # from either fold
            again = kept(finished, study_id, UNTOUCHED, experiment)
            before = oof.loc[again.index, list(PROBABILITIES)]
            np.testing.assert_allclose(again, before, atol=1e-3)
        own = judged.table.set_index(["experiment", "condition"]).loc[experiment, UNTOUCHED]
        assert own["score"] == pytest.approx(score(data.train_labels(), oof).total, abs=1e-2)


@pytest.mark.slow
def test_a_study_left_without_an_image_gets_the_prior_of_its_fold(finished, data, judged):
    labels, folds = data.train_labels(), load_table(layout.FOLDS.under(finished)).set_index("study_id")
    prior = prior_out_of_fold(labels, folds["fold"])
    rows = judged.table[judged.table["condition"] == FEW[2].name]
    np.testing.assert_allclose(rows["score"], score(labels, prior).total)
    blind = kept(finished, 1, FEW[2].name, "attention")
    np.testing.assert_allclose(blind, prior.loc[blind.index, list(PROBABILITIES)])


@pytest.mark.slow
def test_whole_slices_have_no_landmarks_to_displace(finished, judged):
    scores = judged.table.set_index(["experiment", "condition"])["score"]
    assert scores["attention", "off"] == scores["attention", UNTOUCHED]
    pd.testing.assert_frame_equal(
        kept(finished, 3, "off", "attention"), kept(finished, 3, UNTOUCHED, "attention")
    )


@pytest.mark.slow
def test_what_was_predicted_is_found_again_and_a_study_can_be_left_out(finished, data, judged, monkeypatch):
    monkeypatch.setattr(FinishedRun, "_encoded", None)  # nothing is encoded again
    asked = {"data_dir": str(data.root), "conditions": FEW}
    again = judge_robustness(finished, ["attention", "crops"], **asked)
    pd.testing.assert_frame_equal(again.table, judged.table)
    few = judge_robustness(finished, ["attention", "crops"], studies=4, **asked)
    assert few.facts["data"].startswith("4 studies of 6 in 2 folds")
    with pytest.raises(TypeError):  # under other conditions everything is encoded
        judge_robustness(finished, ["attention", "crops"], data_dir=str(data.root), conditions=FEW[:2])


@pytest.mark.slow
def test_the_facts_say_which_weights(judged):
    assert list(judged.facts) == ["run", "data", "weights"]
    assert judged.facts["weights"].startswith("attention: resnet10t: ")
    assert "crops: crops, 1 slices, views " in judged.facts["weights"]


def test_an_experiment_that_was_not_run_is_named(work, data):
    with pytest.raises(UsageError, match=r"unknown experiment 'atention'.*Did you mean 'attention'"):
        judge_robustness(work, ["atention"], data_dir=str(data.root))
