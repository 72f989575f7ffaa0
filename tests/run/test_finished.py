"""The models of a finished run: opened, or refused."""

import shutil

import pytest

from kitlib.artefacts import load_json, save_json
from kitlib.errors import ArtefactError, StepError
from kitlib.predict.stream import Handling
from kitlib.run import layout
from kitlib.run.finished import finished_predictor
from kitlib.run.steps import manifest_path
from tests.run.finished import MADE, finish_step, predict_data


@pytest.mark.parametrize("step", ["03_embeddings", "04_modelling", "05_ensembling"])
def test_a_run_is_finished_only_when_its_steps_are_done(data, work, tmp_path, step):
    again = shutil.copytree(work, tmp_path / "work")
    manifest_path(again, step).unlink()  # as a step does when it begins: its earlier files remain
    with pytest.raises(StepError, match=f"{step} is not done .*Run the notebooks to the end"):
        predict_data(data.root, again, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_models_of_embeddings_of_before_are_not_used(data, work, tmp_path):
    again = shutil.copytree(work, tmp_path / "work")
    recorded = load_json(layout.INPUTS.under(again))
    save_json(layout.INPUTS.under(again), {**recorded, "other": {}}, MADE)
    finish_step(again, "03_embeddings")
    with pytest.raises(StepError, match="04_modelling is out of date: 03_embeddings has changed since"):
        predict_data(data.root, again, tmp_path / "out.csv")


def rewrite_inputs(work, **changes):
    """Change the recorded inputs of the run's fold models."""
    for path in (work / layout.MODELLING).glob("*/fold*/input.json"):
        save_json(path, {**load_json(path), **changes}, MADE)
    finish_step(work, "04_modelling")
    finish_step(work, "05_ensembling")


def test_other_weights_than_those_of_the_embeddings_are_refused(data, work, tmp_path):
    again = shutil.copytree(work, tmp_path / "work")
    rewrite_inputs(again, weights="shipped", sha256="0" * 64)
    with pytest.raises(ArtefactError, match="are not those of the embeddings"):
        predict_data(data.root, again, tmp_path / "out.csv", Handling(strict=True))


def test_volumes_of_two_sizes_are_refused(work, tmp_path):
    again = shutil.copytree(work, tmp_path / "work")
    for path in (again / layout.MODELLING / "plain").glob("fold*/input.json"):
        save_json(path, {**load_json(path), "longest_px": 99}, MADE)
    finish_step(again, "04_modelling")
    finish_step(again, "05_ensembling")
    with pytest.raises(ArtefactError, match="volumes of different sizes"):
        finished_predictor(again)


def test_a_run_of_before_whose_models_say_no_input_is_refused_in_a_line(work, tmp_path):
    again = shutil.copytree(work, tmp_path / "work")
    for path in (again / layout.MODELLING).glob("*/fold*/input.json*"):
        path.unlink()
    finish_step(again, "04_modelling")
    finish_step(again, "05_ensembling")
    with pytest.raises(ArtefactError, match=r"input\.json"):
        finished_predictor(again)


def test_folds_of_an_older_run_are_left_alone(work, predictor, tmp_path):
    assert {len(member.models) for member in predictor.members.values()} == {2}
    again = shutil.copytree(work, tmp_path / "work")
    (again / layout.MODELLING / "plain" / "fold7").mkdir()
    assert {len(member.models) for member in finished_predictor(again).members.values()} == {2}
