import dataclasses

import pytest

from kitlib.errors import UsageError
from kitlib.experiments import registry
from kitlib.experiments.experiment import About, Experiment, Protocol
from kitlib.experiments.registry import experiment, experiments, register, select
from kitlib.inputs.pixels import PixelInput
from kitlib.inputs.slices import SliceInput
from kitlib.models.attention import CellAttentionModel
from kitlib.models.blind import PriorModel
from kitlib.models.boosting import LightGBMModel


@pytest.fixture(autouse=True)
def untouched_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "EXPERIMENTS", dict(registry.EXPERIMENTS))


def test_a_registered_experiment_is_found_by_name_and_tag() -> None:
    entry = register(Experiment("mine", LightGBMModel(trees=3), about=About(tags=("trial",))))
    assert experiment("mine") is entry
    assert experiments("trial") == [entry]
    assert entry in experiments()


def test_every_registered_experiment_can_be_built() -> None:
    for entry in experiments():
        model = entry.build()
        assert model == entry.model
        assert model is not entry.model


def test_the_prior_is_in_the_family_of_every_run() -> None:
    assert "prior" in {entry.name for entry in experiments("first")}


def test_a_name_is_registered_once() -> None:
    with pytest.raises(UsageError, match="registered already"):
        register(Experiment("prior", PriorModel()))


@pytest.mark.parametrize("name", ["", "../up", "a/b", "Upper", ".hidden"])
def test_a_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a folder"):
        Experiment(name, PriorModel())


def test_unknown_names_are_refused_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="unknown split"):
        Experiment("x", PriorModel(), protocol=Protocol("patients"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown experiment"):
        experiment("nothing")
    with pytest.raises(UsageError, match="unknown family"):
        experiments("nothing")
    with pytest.raises(UsageError, match="Did you mean 'prior'"):
        select(["priot"])


def test_experiments_are_selected_by_name_and_by_tag_each_once() -> None:
    entry = register(Experiment("mine", PriorModel(), about=About(tags=("trial",))))
    chosen = select(["mine", "first", "trial", "prior"])
    assert chosen == [entry, *experiments("first")]


def test_parameters_are_changed_in_a_copy() -> None:
    entry = Experiment("x", LightGBMModel(trees=3))
    changed = entry.with_parameters(leaves=4)
    assert changed.model == LightGBMModel(trees=3, leaves=4)
    assert entry.model == LightGBMModel(trees=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.name = "y"  # type: ignore[misc]


def test_the_profile_fills_what_is_open_and_caps_epochs() -> None:
    defaults = {"backbone": "resnet10t", "weights": "shipped", "grey": "greyscale", "longest_px": 256}
    own = SliceInput(grey="equalised")
    entry = Experiment("x", CellAttentionModel(epochs=7), own).completed(defaults, most_epochs=5)
    assert entry.input == SliceInput(256, "resnet10t", "shipped", grey="equalised")
    assert entry.model == CellAttentionModel(epochs=5)
    other = Experiment("x", CellAttentionModel(epochs=7), SliceInput(backbone="resnet50"))
    assert other.completed(defaults, 9).input == SliceInput(256, "resnet50", "", grey="greyscale")
    assert other.completed(defaults, 9).model == other.model
    pixels = Experiment("x", PriorModel(), PixelInput(px=64)).completed(defaults, 9)
    assert pixels.input == PixelInput(256, 64, grey="greyscale")
