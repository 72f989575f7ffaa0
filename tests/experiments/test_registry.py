import dataclasses

import pytest

from kitlib.errors import UsageError
from kitlib.experiments import registry
from kitlib.experiments.registry import Experiment, experiment, experiments, register


@pytest.fixture(autouse=True)
def untouched_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "EXPERIMENTS", dict(registry.EXPERIMENTS))


def test_a_registered_experiment_is_found_by_name_and_family() -> None:
    entry = register(Experiment("mine", "trial", "lightgbm", {"trees": 3}))
    assert experiment("mine") is entry
    assert experiments("trial") == [entry]
    assert entry in experiments()


def test_every_registered_experiment_can_be_built() -> None:
    for entry in experiments():
        assert entry.build().name == entry.model


def test_the_prior_is_in_the_family_of_every_run() -> None:
    assert "prior" in {entry.name for entry in experiments("first")}


def test_a_name_is_registered_once() -> None:
    with pytest.raises(UsageError, match="registered already"):
        register(Experiment("prior", "trial", "prior"))


@pytest.mark.parametrize("name", ["", "../up", "a/b", "Upper", ".hidden"])
def test_a_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a folder"):
        Experiment(name, "trial", "prior")


def test_unknown_names_are_refused_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="unknown model"):
        Experiment("x", "trial", "lightgmb")
    with pytest.raises(UsageError, match="unknown parameter"):
        Experiment("x", "trial", "lightgbm", {"tree": 3})
    with pytest.raises(UsageError, match="not of type int"):
        Experiment("x", "trial", "lightgbm", {"trees": "3"})
    with pytest.raises(UsageError, match="unknown sampling"):
        Experiment("x", "trial", "lightgbm", {"sampling": "smoat"})
    with pytest.raises(UsageError, match="unknown experiment"):
        experiment("nothing")
    with pytest.raises(UsageError, match="unknown family"):
        experiments("nothing")


def test_parameters_are_changed_in_a_copy() -> None:
    entry = Experiment("x", "trial", "lightgbm", {"trees": 3})
    changed = entry.with_parameters(leaves=4)
    assert dict(changed.parameters) == {"trees": 3, "leaves": 4}
    assert dict(entry.parameters) == {"trees": 3}
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.name = "y"  # type: ignore[misc]
