"""The experiments of a run: the names and tags that a profile asks for, completed by the profile."""

from collections.abc import Collection, Iterable

from kitlib.artefacts import load_json
from kitlib.errors import StepError
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.published import DEMO_TAG
from kitlib.experiments.registry import experiments, select
from kitlib.inputs.base import input_from_json
from kitlib.run import layout
from kitlib.run.profiles import Profile
from kitlib.run.settings import Settings

SUBSETS = ("demo", "smoke")
"""Profiles that run the five-minute subset of a family."""


def selected_experiments(profile: Profile) -> list[Experiment]:
    """The experiments that the profile names, by name or tag; UsageError on an unknown one."""
    return completed(select(profile.experiments.replace(",", " ").split()), profile)


def recorded_experiments(settings: Settings) -> list[Experiment]:
    """The experiments of the profile on the inputs that 03_embeddings made, with the weights found there.

    StepError where it was run for others.
    """
    recorded = load_json(settings.need(layout.INPUTS))
    chosen = selected_experiments(settings.profile)
    if absent := [entry.name for entry in chosen if entry.name not in recorded]:
        raise StepError(
            f"03_embeddings has made no input of {', '.join(absent)}",
            where=settings.need(layout.INPUTS),
            hint="Run it with the same experiments.",
        )
    return [entry.reading(input_from_json(recorded[entry.name])) for entry in chosen]


def grid_experiments(profile: Profile, family: str, only: Collection[str] = ()) -> list[Experiment]:
    """The experiments of a family for the grid, or those named in `only`; UsageError on unknown names.

    Without names, the profiles SUBSETS take what belongs to the five-minute subset.
    """
    entries = experiments(family)
    if only:
        return completed(select(only), profile)
    subset = [entry for entry in entries if DEMO_TAG in entry.about.tags]
    return completed(subset if subset and profile.name in SUBSETS else entries, profile)


def completed(entries: Iterable[Experiment], profile: Profile) -> list[Experiment]:
    """Experiments with what they leave open filled in from the profile."""
    return [entry.completed(profile.input_defaults, profile.epochs) for entry in entries]
