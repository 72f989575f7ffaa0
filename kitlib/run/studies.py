"""What a run works on: the experiments that its profile selects, and the studies and datasets they read.

Datasets come from caches, and are made again if those are lost.
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
"""Profiles that run only the five-minute subset of a family."""
PRETRAINING, LONG_PRETRAINING = {"demo": (40, 2)}, (300, 4)
"""Phantoms and epochs for pretraining a backbone without weights: by profile, and for all other profiles."""


def selected_experiments(profile: Profile) -> list[Experiment]:
    """The experiments that the profile selects by name or tag; raises UsageError on an unknown one."""
    return completed(select(profile.experiments.replace(",", " ").split()), profile)


def recorded_experiments(settings: Settings) -> list[Experiment]:
    """The profile's experiments on the inputs that 03_embeddings made, with the weights it used.

    Raises StepError if it was run for other experiments.
    """
    recorded = load_json(settings.need(layout.INPUTS))
    chosen = selected_experiments(settings.profile)
    if absent := [entry.name for entry in chosen if entry.name not in recorded]:
        raise StepError(
            f"03_embeddings has made no input for {', '.join(absent)}",
            where=settings.need(layout.INPUTS),
            hint="Run it with the same experiments.",
        )
    return [entry.reading(input_from_json(recorded[entry.name])) for entry in chosen]


def grid_experiments(profile: Profile, family: str, only: Collection[str] = ()) -> list[Experiment]:
    """The experiments of a family for the grid, or those named in `only`; UsageError on unknown names.

    Without names, the profiles in SUBSETS take only the five-minute subset.
    """
    entries = experiments(family)
    if only:
        return completed(select(only), profile)
    subset = [entry for entry in entries if DEMO_TAG in entry.about.tags]
    return completed(subset if subset and profile.name in SUBSETS else entries, profile)


def completed(entries: Iterable[Experiment], profile: Profile) -> list[Experiment]:
    """Experiments with their empty fields filled in from the profile."""
    return [entry.completed(profile.input_defaults, profile.epochs) for entry in entries]


def prepare_studies(
    profile: Profile, series: pd.DataFrame, work: Path, study_ids: Sequence[int] | None = None
) -> PreparedStudies:
    """Open the prepared studies of a table of series, preparing those that are missing.

    After 02_preprocessing none is missing; in a later Kaggle session all are, as caches are not kept there.
    """
    folder = layout.VOLUMES.under(resolve_cache(work))
    return PreparedStudies.build(
        series, folder, longest_px=profile.longest_px, workers=profile.workers, study_ids=study_ids
    )


def open_encoder(spec: InputSpec, profile: Profile) -> Encoder:
    """Open the encoder of an input.

    If the input names no weights and none are found, its backbone is pretrained on phantoms, and kept; with
    the profile `smoke` it stays random instead.
    """
    return spec.encoder(resources(profile))


def resources(profile: Profile) -> Resources:
    """The resources of encoders in a run with this profile."""
    studies, epochs = PRETRAINING.get(profile.name, LONG_PRETRAINING)
    trained = Pretraining(studies, epochs, profile.workers)
    attached = Path(profile.attached_weights) if profile.attached_weights else None
    found = Resources(attached, profile.embed_batch, trained, profile.workers)
    return replace(found, without_weights="random") if profile.name == "smoke" else found


def open_dataset(encoder: Encoder, studies: PreparedStudies, work: Path) -> Dataset:
    """Make the dataset of an encoder, reusing what is cached."""
    return encoder.dataset(studies, layout.STORE.under(resolve_cache(work)))
