"""What a run works on: the experiments that its profile asks for, and the studies and datasets they read.

Datasets come from caches, or are made again where those are lost.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from kitlib.artefacts import load_json
from kitlib.errors import StepError
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.published import DEMO_TAG
from kitlib.experiments.registry import experiments, select
from kitlib.inputs.base import Dataset, Encoder, InputSpec, Pretraining, Resources, input_from_json
from kitlib.prepare.studies import PreparedStudies
from kitlib.run import layout
from kitlib.run.data import resolve_cache
from kitlib.run.profiles import Profile
from kitlib.run.settings import Settings

SUBSETS = ("demo", "smoke")
"""Profiles that run the five-minute subset of a family."""
PRETRAINING, LONG_PRETRAINING = {"demo": (40, 2)}, (300, 4)
"""Phantoms and epochs for a backbone without weights, by profile and for the profiles not named."""


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


def prepare_studies(
    profile: Profile, series: pd.DataFrame, work: Path, study_ids: Sequence[int] | None = None
) -> PreparedStudies:
    """The studies of a table of series, with what is not prepared yet: nothing, after 02_preprocessing.

    In a later Kaggle session everything is: caches are not kept there.
    """
    folder = layout.VOLUMES.under(resolve_cache(work))
    return PreparedStudies.build(
        series, folder, longest_px=profile.longest_px, workers=profile.workers, study_ids=study_ids
    )


def open_encoder(spec: InputSpec, profile: Profile) -> Encoder:
    """The encoder of an input; a backbone that is not the profile's is trained if it has no weights.

    It is trained on phantoms, and kept; in the profile of tests it stays random instead.
    """
    return spec.encoder(resources(profile))


def resources(profile: Profile) -> Resources:
    """What encoders may use in a run of this profile."""
    studies, epochs = PRETRAINING.get(profile.name, LONG_PRETRAINING)
    trained = Pretraining(studies, epochs, profile.workers)
    attached = Path(profile.attached_weights) if profile.attached_weights else None
    found = Resources(attached, profile.embed_batch, trained, profile.workers)
    return replace(found, without_weights="random") if profile.name == "smoke" else found


def open_dataset(encoder: Encoder, studies: PreparedStudies, work: Path) -> Dataset:
    """The dataset of an encoder; what was made before is found again."""
    return encoder.dataset(studies, layout.STORE.under(resolve_cache(work)))
