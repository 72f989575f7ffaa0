"""The experiments of a profile: they say what is fitted, the profile how long and on which grey option."""

import dataclasses

from kitlib.errors import UsageError
from kitlib.models.registry import MODELS
from kitlib.run.profiles import Profile
from kitlib.training.experiments import Experiment, experiments


def chosen_experiments(profile: Profile) -> list[Experiment]:
    """The experiments of the profile's family; what they leave open (grey, epochs) it fills in.

    UsageError on an experiment of another backbone than the one that the run embeds with.
    """
    return [_as_profiled(entry, profile) for entry in experiments(profile.family)]


def _as_profiled(entry: Experiment, profile: Profile) -> Experiment:
    if entry.backbone not in ("", profile.backbone):
        raise UsageError(
            f"experiment {entry.name!r} is of backbone {entry.backbone!r}, the run of {profile.backbone!r}",
            hint=f"Run it with -p backbone={entry.backbone}.",
        )
    parameters = {field.name for field in dataclasses.fields(MODELS[entry.model])}
    if "epochs" in parameters and "epochs" not in entry.parameters:
        entry = entry.with_parameters(epochs=profile.epochs)
    return dataclasses.replace(entry, grey=entry.grey or profile.grey, backbone=profile.backbone)
