"""The studies of a run, prepared, and their datasets: from caches, or made again where those are lost."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from kitlib.inputs.base import Dataset, Encoder, InputSpec, Pretraining, Resources
from kitlib.prepare.studies import PreparedStudies
from kitlib.run import layout
from kitlib.run.data import resolve_cache
from kitlib.run.profiles import Profile

PRETRAINING, LONG_PRETRAINING = {"demo": (40, 2)}, (300, 4)
"""Phantoms and epochs for a backbone without weights, by profile and for the profiles not named."""


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
    return Resources(
        profile.attached_dir, profile.embed_batch, "random" if profile.name == "smoke" else trained
    )


def open_dataset(encoder: Encoder, studies: PreparedStudies, work: Path) -> Dataset:
    """The dataset of an encoder; what was made before is found again."""
    return encoder.dataset(studies, layout.STORE.under(resolve_cache(work)))
