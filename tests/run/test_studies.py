import dataclasses

import pytest

from kitlib.artefacts import save_json
from kitlib.errors import StepError, UsageError
from kitlib.experiments import registry
from kitlib.experiments.experiment import About, Experiment
from kitlib.inputs.slices import SliceInput
from kitlib.models.attention import CellAttentionModel
from kitlib.models.blind import PriorModel
from kitlib.run import layout
from kitlib.run.profiles import profile_named
from kitlib.run.settings import Settings
from kitlib.run.steps import STEPS
from kitlib.run.studies import grid_experiments, recorded_experiments, selected_experiments
from tests.run.finished import MADE

SMOKE = profile_named("smoke")
MINE = About(tags=("mine",))


@pytest.fixture
def registered(monkeypatch):
    own = Experiment("own", CellAttentionModel(epochs=7), SliceInput(grey="greyscale"), about=MINE)
    plain = Experiment("plain", CellAttentionModel(), about=MINE)
    monkeypatch.setattr(registry, "EXPERIMENTS", {"own": own, "plain": plain})
    return plain


def test_the_profile_fills_what_an_experiment_leaves_open(registered):
    profile = dataclasses.replace(SMOKE, experiments="mine", epochs=2, grey="equalised")
    own, plain = selected_experiments(profile)
    assert (own.model.epochs, own.input.grey, own.input.backbone) == (2, "greyscale", SMOKE.backbone)
    assert (plain.model.epochs, plain.input.grey, plain.input.weights) == (2, "equalised", "shipped")
    assert registered.model.epochs > 2


@pytest.mark.usefixtures("registered")
def test_experiments_are_named_or_tagged_in_any_mixture():
    for text, names in (
        ("plain", ["plain"]),
        ("plain,own", ["plain", "own"]),
        ("own, mine", ["own", "plain"]),
    ):
        chosen = selected_experiments(dataclasses.replace(SMOKE, experiments=text))
        assert [entry.name for entry in chosen] == names
    with pytest.raises(UsageError, match="Did you mean 'plain'"):
        selected_experiments(dataclasses.replace(SMOKE, experiments="plane"))


def test_experiments_of_different_backbones_may_stand_in_one_run():
    profile = dataclasses.replace(SMOKE, experiments="svc,fusion_2,vit")
    svc, fusion, vit = selected_experiments(profile)
    assert (svc.input.backbone, svc.input.weights) == (SMOKE.backbone, "shipped")
    assert (fusion.input.backbone, fusion.input.weights) == ("resnet50", "auto")
    assert vit.input.kind == "pixels"
    assert {entry.input.longest_px for entry in (svc, fusion, vit)} == {SMOKE.longest_px}


def test_short_profiles_take_the_demo_subset_and_names_take_precedence():
    demo, bench = profile_named("demo"), profile_named("bench")
    assert all("demo" in entry.about.tags for entry in grid_experiments(demo, "published"))
    assert len(grid_experiments(bench, "published")) == len(registry.experiments("published"))
    assert [entry.name for entry in grid_experiments(demo, "published", ["pseudo_knn"])] == ["pseudo_knn"]
    assert len(grid_experiments(demo, "first")) == 5  # a family without a subset runs completely


def test_experiments_are_recorded_with_the_inputs_that_were_found(tmp_path):
    settings = Settings(STEPS[3], dataclasses.replace(SMOKE, experiments="prior"), None, tmp_path, 0.0)
    found = SliceInput(128, "resnet10t", "shipped", 160, "middle", "greyscale", "0f", 512)
    save_json(layout.INPUTS.under(tmp_path), {"prior": found.to_json()}, MADE)
    (entry,) = recorded_experiments(settings)
    assert (entry.model, entry.input) == (PriorModel(), found)
    other = dataclasses.replace(settings, profile=dataclasses.replace(SMOKE, experiments="svc"))
    with pytest.raises(StepError, match="03_embeddings has made no input for svc"):
        recorded_experiments(other)
