import dataclasses

import pytest

from kitlib.errors import UsageError
from kitlib.experiments import registry as experiments
from kitlib.experiments.registry import Experiment
from kitlib.run.profiles import profile_named
from kitlib.run.select import chosen_experiments, grid_experiments

SMOKE = profile_named("smoke")


@pytest.fixture
def registered(monkeypatch):
    own = Experiment("own", "mine", "cell_attention", {"epochs": 7}, grey="greyscale")
    plain = Experiment("plain", "mine", "cell_attention")
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"own": own, "plain": plain})
    return plain


def test_the_profile_fills_what_an_experiment_leaves_open(registered):
    profile = dataclasses.replace(SMOKE, family="mine", epochs=2, grey="equalised")
    own, plain = chosen_experiments(profile)
    assert (own.parameters["epochs"], own.grey) == (7, "greyscale")
    assert (plain.parameters["epochs"], plain.grey) == (2, "equalised")
    assert "epochs" not in registered.parameters


def test_models_without_epochs_are_given_none():
    chosen = chosen_experiments(SMOKE)
    assert {entry.family for entry in chosen} == {SMOKE.family}
    assert all("epochs" not in entry.parameters for entry in chosen if entry.model in ("prior", "svc"))


def test_an_experiment_of_another_backbone_is_refused(monkeypatch):
    other = Experiment("other", SMOKE.family, "svc", backbone="resnet50")
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"other": other})
    with pytest.raises(UsageError, match="resnet50"):
        chosen_experiments(SMOKE)
    assert chosen_experiments(dataclasses.replace(SMOKE, backbone="resnet50"))[0].backbone == "resnet50"


def test_the_grid_keeps_backbones_and_a_models_own_epochs_up_to_the_profiles(monkeypatch):
    long = Experiment("long", "mine", "cell_attention", {"epochs": 7}, backbone="resnet50", grey="equalised")
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"long": long})
    (short,) = grid_experiments(dataclasses.replace(SMOKE, epochs=2), "mine")
    assert (short.parameters["epochs"], short.backbone, short.grey) == (2, "resnet50", "equalised")
    (whole,) = grid_experiments(dataclasses.replace(SMOKE, epochs=120), "mine")
    assert whole.parameters["epochs"] == 7


def test_short_profiles_take_the_demo_subset_and_names_take_precedence():
    demo, bench = profile_named("demo"), profile_named("bench")
    assert all(entry.demo for entry in grid_experiments(demo, "seeds"))
    assert len(grid_experiments(bench, "seeds")) == len(experiments.experiments("seeds"))
    assert [entry.name for entry in grid_experiments(demo, "seeds", ["pseudo_knn"])] == ["pseudo_knn"]
    assert len(grid_experiments(demo, "first")) == 4  # a family without a subset is run whole
