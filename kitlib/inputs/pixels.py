"""Slices as grey values, for networks that are trained on them end to end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from tqdm.auto import tqdm

from kitlib.artefacts import fingerprint
from kitlib.embed.field_of_view import stack_images
from kitlib.embed.store import TokenStore
from kitlib.embed.tokens import Tokens
from kitlib.inputs.bags import BagDataset
from kitlib.inputs.base import Encoder, InputSpec, Resources
from kitlib.mri.ledger import Ledger
from kitlib.mri.stack import Stack
from kitlib.mri.study import Study
from kitlib.prepare.studies import PreparedStudies
from kitlib.terms import SEQUENCES


@dataclass(frozen=True, eq=False)
class PixelDataset(BagDataset):
    """Slices of px x px grey values; a token is one slice, row by row, uint8."""

    px: int


@dataclass(frozen=True)
class PixelInput(InputSpec):
    """Slices as squares of `px` x `px`."""

    kind: ClassVar[str] = "pixels"

    px: int = 128
    field_of_view: str = "middle"
    """One of FIELDS_OF_VIEW."""
    grey: str = ""
    """One of GREY_OPTIONS."""

    @property
    def folder_name(self) -> str:
        """A readable name with a unique suffix."""
        name = f"pixels-{self.px}px-{self.field_of_view}-{self.grey}"
        return f"{name}-{fingerprint(self.identity())[:8]}"

    @property
    def label(self) -> str:
        """A short description for a table."""
        return f"pixels, {self.px} x {self.px}, {self.grey}"

    def encoder(self, resources: Resources) -> "PixelEncoder":  # noqa: ARG002  # it needs none
        """An encoder, which needs no weights."""
        return PixelEncoder(self)


@dataclass
class PixelEncoder(Encoder):
    """Crop and resize slices; those of many studies go through a store on disk."""

    spec: PixelInput

    def encode(self, study: Study, ledger: Ledger) -> PixelDataset:  # noqa: ARG002  # nothing goes wrong here
        """Encode one study."""
        tokens = {name: [self._tokens(study.stacks(name))] for name in SEQUENCES}
        return PixelDataset(np.array([study.study_id], np.int64), tokens, self.spec.px)

    def dataset(self, studies: PreparedStudies, cache: Path) -> PixelDataset:
        """Encode many studies; the slices are memory-mapped."""
        store = TokenStore(Path(cache) / self.spec.folder_name, self.recipe, self.spec.px**2)
        volumes = studies.volumes
        for key in tqdm(store.outdated(volumes, studies.keys), desc="pixels", mininterval=1):
            store.add(*key, self._tokens(volumes.stacks(*key)), volumes.fingerprint(*key))
        study_ids = np.array(studies.study_ids, np.int64)
        return PixelDataset(study_ids, store.bags(study_ids, studies.series), self.spec.px)

    def _tokens(self, stacks: Sequence[Stack]) -> Tokens:
        spec = self.spec
        images = [
            stack_images(one, spec.px, field_of_view=spec.field_of_view, grey=spec.grey) for one in stacks
        ]
        parts = [Tokens(seen.reshape(-1, spec.px**2), one.centres_mm) for seen, one in zip(images, stacks)]
        return Tokens.joined(parts, spec.px**2)
