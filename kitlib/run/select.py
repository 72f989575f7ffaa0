"""The experiments of a profile: they say what is fitted, the profile how long and on which grey option."""

import dataclasses
from collections.abc import Collection

from kitlib.errors import UsageError, known_name
from kitlib.experiments.registry import Experiment, experiments
from kitlib.models.registry import MODELS
from kitlib.run.profiles import Profile

SUBSETS = ("demo", "smoke")
"""Profiles that run the five-minute subset of a family."""


def chosen_experiments(profile: Profile) -> list[Experiment]:
    """The experiments of the profile's family; what they leave open (grey, epochs) it fills in.

    UsageError on an experiment of another backbone than the one that the run embeds with.
    """
    for entry in experiments(profile.family):
        if entry.backbone not in ("", profile.backbone):
            raise UsageError(
                f"experiment {entry.name!r} is of backbone {entry.backbone!r}, the run of "
                f"{profile.backbone!r}",
                hint=f"Run it with -p backbone={entry.backbone}.",
            )
    return [_as_profiled(entry, profile) for entry in experiments(profile.family)]


def grid_experiments(profile: Profile, family: str, only: Collection[str] = ()) -> list[Experiment]:
    """The experiments of a family for the grid, each with its own backbone, or those of them named in `only`.

    Models keep their own epochs, as far as the profile allows. Without names, the profiles SUBSETS take what
    belongs to the five-minute subset. UsageError on an unknown family or name.
    """
    known_name(family, {entry.family for entry in experiments()}, "family")
    name2entry = {entry.name: entry for entry in experiments(family)}
    for name in only:
        known_name(name, name2entry, "experiment")
    all_of_them = profile.name not in SUBSETS or not any(entry.demo for entry in name2entry.values())
    return [
        _capped(entry, profile)
        for name, entry in name2entry.items()
        if (name in only if only else entry.demo or all_of_them)
    ]


def _as_profiled(entry: Experiment, profile: Profile) -> Experiment:
    parameters = {field.name for field in dataclasses.fields(MODELS[entry.model])}
    if "epochs" in parameters and "epochs" not in entry.parameters:
        entry = entry.with_parameters(epochs=profile.epochs)
    return _placed(entry, profile)


def _capped(entry: Experiment, profile: Profile) -> Experiment:
    """The experiment with its model's own epochs, but no more than the profile's."""
    epochs = {n: value for n, value in dataclasses.asdict(entry.build()).items() if n.endswith("epochs")}
    fewer = {name: profile.epochs for name, value in epochs.items() if value > profile.epochs}
    return _placed(entry.with_parameters(**fewer) if fewer else entry, profile)


def _placed(entry: Experiment, profile: Profile) -> Experiment:
    return dataclasses.replace(
        entry, grey=entry.grey or profile.grey, backbone=entry.backbone or profile.backbone
    )
